/* Vectors of T for the matrix product, included once per type with T, BITS and F(name) defined.
 *
 * A vector fills a register of the instruction set; load_n and store_n touch only the first n of its W elements, so
 * that edges need no padded copies. Only what GCC's vector extensions cannot say is written in intrinsics. */
#define W (VECTOR_BYTES * 8 / BITS) /* elements in a vector */
#define LANE (128 / BITS)           /* elements in a 128-bit lane: the piece a transposition works on */
#define V F(vec)

typedef T V __attribute__((vector_size(VECTOR_BYTES)));
#if BITS == 32
typedef int32_t F(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#else
typedef int64_t F(ivec) __attribute__((vector_size(VECTOR_BYTES)));
#endif

INLINE V F(load)(const T *p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

INLINE void F(store)(T *p, V v) { __builtin_memcpy(p, &v, sizeof v); }

INLINE V F(splat)(T x) { return x - (V){0}; } /* x - 0 is x, also for -0: one broadcast */

#if defined(__AVX512F__) && BITS == 32
INLINE V F(load_n)(const T *p, int n) { return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void F(store_n)(T *p, V v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
INLINE V F(fma)(V a, V b, V c) { return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE V F(relu)(V x) {
  __m512 zero = _mm512_setzero_ps();
  return (V)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)x, zero, _CMP_NLE_UQ), (__m512)x);
}
#elif defined(__AVX512F__)
INLINE V F(load_n)(const T *p, int n) { return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
INLINE void F(store_n)(T *p, V v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
INLINE V F(fma)(V a, V b, V c) { return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE V F(relu)(V x) {
  __m512d zero = _mm512_setzero_pd();
  return (V)_mm512_maskz_mov_pd(_mm512_cmp_pd_mask((__m512d)x, zero, _CMP_NLE_UQ), (__m512d)x);
}
#elif defined(__AVX2__) && BITS == 32
INLINE __m256i F(mask)(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE V F(load_n)(const T *p, int n) { return (V)_mm256_maskload_ps(p, F(mask)(n)); }
INLINE void F(store_n)(T *p, V v, int n) { _mm256_maskstore_ps(p, F(mask)(n), (__m256)v); }
INLINE V F(fma)(V a, V b, V c) { return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(__AVX2__)
INLINE __m256i F(mask)(int n) { return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)); }
INLINE V F(load_n)(const T *p, int n) { return (V)_mm256_maskload_pd(p, F(mask)(n)); }
INLINE void F(store_n)(T *p, V v, int n) { _mm256_maskstore_pd(p, F(mask)(n), (__m256d)v); }
INLINE V F(fma)(V a, V b, V c) { return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#else
INLINE V F(load_n)(const T *p, int n) {
  V v = {0};
  for (int i = 0; i < n && i < W; i++) v[i] = p[i];
  return v;
}
INLINE void F(store_n)(T *p, V v, int n) {
  for (int i = 0; i < n && i < W; i++) p[i] = v[i];
}
#if defined(__aarch64__) && BITS == 32
INLINE V F(fma)(V a, V b, V c) { return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#elif defined(__aarch64__)
INLINE V F(fma)(V a, V b, V c) { return (V)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
#else
INLINE V F(fma)(V a, V b, V c) { return a * b + c; }
#endif
#endif

#ifndef __AVX512F__
INLINE V F(relu)(V x) { return (V)((F(ivec))x & ~(F(ivec))(x <= (V){0})); } /* NaN stays, -0 becomes 0 */
#endif

/* the columns [0, STEP) of W rows: u[c] is column c. Row r is at row[r], or at p + r * step where row is NULL. */
#define STEP (VECTOR_BYTES == 16 ? LANE : 2 * LANE)
#define ROW(r) (row ? row[r] + k : p + (r) * step + k)
INLINE void F(load_rows)(V *u, const T *const *row, const T *p, int64_t step, int64_t k) {
  UNROLL for (int i = 0; i < LANE; i++) { /* lane l of u[i] and of u[LANE + i]: two pieces of row i + l * LANE */
#if defined(__AVX512F__)
    const __m512i lo = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), hi = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    __m512i x = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)ROW(i)));
    __m512i y = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)ROW(i + LANE)));
    x = _mm512_inserti64x4(x, _mm256_loadu_si256((const void *)ROW(i + 2 * LANE)), 1);
    y = _mm512_inserti64x4(y, _mm256_loadu_si256((const void *)ROW(i + 3 * LANE)), 1);
    u[i] = (V)_mm512_permutex2var_epi64(x, lo, y);
    u[LANE + i] = (V)_mm512_permutex2var_epi64(x, hi, y);
#elif defined(__AVX2__)
    __m256i x = _mm256_loadu_si256((const void *)ROW(i)), y = _mm256_loadu_si256((const void *)ROW(i + LANE));
    u[i] = (V)_mm256_permute2x128_si256(x, y, 0x20);
    u[LANE + i] = (V)_mm256_permute2x128_si256(x, y, 0x31);
#else
    u[i] = F(load)(ROW(i));
#endif
  }
}

/* (LANE, LANE) transposed within each lane: v[i] held row i, now holds column i */
INLINE void F(transpose_lanes)(V *v) {
#if BITS == 32
  V a = SHUFFLE(v[0], v[1], ZIP, 0), b = SHUFFLE(v[0], v[1], ZIP, 2);
  V c = SHUFFLE(v[2], v[3], ZIP, 0), d = SHUFFLE(v[2], v[3], ZIP, 2);
  v[0] = SHUFFLE(a, c, PAIR, 0);
  v[1] = SHUFFLE(a, c, PAIR, 2);
  v[2] = SHUFFLE(b, d, PAIR, 0);
  v[3] = SHUFFLE(b, d, PAIR, 2);
#else
  V a = v[0];
  v[0] = SHUFFLE(a, v[1], ONE, 0);
  v[1] = SHUFFLE(a, v[1], ONE, 1);
#endif
}

INLINE void F(load_columns)(V *u, const T *const *row, const T *p, int64_t step, int64_t k) {
  F(load_rows)(u, row, p, step, k);
  UNROLL for (int i = 0; i < STEP; i += LANE) F(transpose_lanes)(u + i);
}

/* u[0..LANES-1] -> lane i is the sum of the lanes of u[i] */
INLINE V F(sum_lanes)(const V *u) {
#if defined(__AVX512F__)
  __m512i a = (__m512i)u[0], b = (__m512i)u[1], c = (__m512i)u[2], d = (__m512i)u[3];
  a = (__m512i)((V)_mm512_shuffle_i64x2(a, b, 0x44) + (V)_mm512_shuffle_i64x2(a, b, 0xee));
  c = (__m512i)((V)_mm512_shuffle_i64x2(c, d, 0x44) + (V)_mm512_shuffle_i64x2(c, d, 0xee));
  return (V)_mm512_shuffle_i64x2(a, c, 0x88) + (V)_mm512_shuffle_i64x2(a, c, 0xdd);
#elif defined(__AVX2__)
  __m256i a = (__m256i)u[0], b = (__m256i)u[1];
  return (V)_mm256_permute2x128_si256(a, b, 0x20) + (V)_mm256_permute2x128_si256(a, b, 0x31);
#else
  return u[0];
#endif
}
