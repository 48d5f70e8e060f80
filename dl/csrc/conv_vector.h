/* Vectors of REAL and the transpose of a W x W block; included once per type (see conv_types.h). */

typedef REAL V __attribute__((vector_size(VBYTES)));
typedef REAL R(Loose) __attribute__((vector_size(VBYTES), aligned(sizeof(REAL)), may_alias));
typedef LANE R(Mask) __attribute__((vector_size(VBYTES)));

INLINE V R(load)(const REAL *p) { return *(const R(Loose) *)p; }
INLINE void R(store)(REAL *p, V v) { *(R(Loose) *)p = v; }

/* the first n numbers, zeros behind them */
INLINE V R(load_n)(const REAL *p, int64_t n) {
  if (n >= W) return R(load)(p);
#ifdef __AVX512F__
  if (sizeof(REAL) == 4) return (V)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
  return (V)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
  V v = {0};
  for (int64_t i = 0; i < n; i++) v[i] = p[i];
  return v;
#endif
}

INLINE void R(store_n)(REAL *p, V v, int64_t n) {
  if (n >= W) {
    R(store)(p, v);
    return;
  }
#ifdef __AVX512F__
  if (sizeof(REAL) == 4) _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
  else _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
  for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

/* rows i and i + d exchange the blocks of d lanes that lie off the diagonal, for d = 1, 2, 4, ... W / 2 */
#define LOW(j, d) ((j) & (d) ? W + (j) - (d) : (j))
#define HIGH(j, d) ((j) & (d) ? W + (j) : (j) + (d))
#if VLANES == 16
#define LANES(f, d) {f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d), f(8, d), f(9, d), \
                     f(10, d), f(11, d), f(12, d), f(13, d), f(14, d), f(15, d)}
#elif VLANES == 8
#define LANES(f, d) {f(0, d), f(1, d), f(2, d), f(3, d), f(4, d), f(5, d), f(6, d), f(7, d)}
#elif VLANES == 4
#define LANES(f, d) {f(0, d), f(1, d), f(2, d), f(3, d)}
#else
#define LANES(f, d) {f(0, d), f(1, d)}
#endif
#define EXCHANGE(d)                                                \
  if (d < W) {                                                     \
    const R(Mask) low = LANES(LOW, d), high = LANES(HIGH, d);      \
    UNROLL for (int i = 0; i < W; i++) if (!(i & d)) {             \
      V a = r[i], b = r[i + d];                                    \
      r[i] = __builtin_shuffle(a, b, low);                         \
      r[i + d] = __builtin_shuffle(a, b, high);                    \
    }                                                              \
  }

INLINE void R(transpose)(V *r) {
#ifdef __clang__
  for (int i = 0; i < W; i++)
    for (int j = 0; j < i; j++) {
      REAL t = r[i][j];
      r[i][j] = r[j][i];
      r[j][i] = t;
    }
#else
  EXCHANGE(1)
  EXCHANGE(2)
  EXCHANGE(4)
  EXCHANGE(8)
#endif
}

#undef LOW
#undef HIGH
#undef LANES
#undef EXCHANGE
