/* Vectors as wide as the instruction set has them, for float and double, in GCC's vector types (+ - * / and comparisons
 * are the compiler's own); here is what these types lack. A file that includes itself once per type (real.h) writes
 * vload, vmax ... and gets the right one. */
#ifndef DL_LANES_H
#define DL_LANES_H
#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define LANE_BYTES 64
#elif defined(__AVX2__)
#define LANE_BYTES 32
#else
#define LANE_BYTES 16
#endif
#define LANES_F32 (LANE_BYTES / 4)
#define LANES_F64 (LANE_BYTES / 8)
typedef float v_f32 __attribute__((vector_size(LANE_BYTES)));
typedef double v_f64 __attribute__((vector_size(LANE_BYTES)));
typedef int32_t v_i32 __attribute__((vector_size(LANE_BYTES)));
typedef int64_t v_i64 __attribute__((vector_size(LANE_BYTES)));
typedef float v_f32_at __attribute__((vector_size(LANE_BYTES), aligned(4), may_alias)); /* anywhere in memory */
typedef double v_f64_at __attribute__((vector_size(LANE_BYTES), aligned(8), may_alias));

#define LANE_INLINE static inline __attribute__((always_inline, unused))

/* vmax(a, b) is b where one of them is NaN (and vhigh may miss a NaN);
 * vload_part reads n < W elements and fills the rest with `fill`; vstore_part writes n; neither touches more memory */
#define LANES_COMMON(S, C)                                                                \
  LANE_INLINE v_##S vload_##S(const C *p) { return *(const v_##S##_at *)p; }              \
  LANE_INLINE void vstore_##S(C *p, v_##S a) { *(v_##S##_at *)p = a; }                    \
  LANE_INLINE v_##S vset_##S(C x) { return x - (v_##S){0}; }                              \
  LANE_INLINE v_##S vtail_##S(const C *p, int64_t n, C fill) {                            \
    return n >= (int64_t)(LANE_BYTES / sizeof(C)) ? vload_##S(p) : vload_part_##S(p, n, fill); \
  }                                                                                       \
  LANE_INLINE void vstore_tail_##S(C *p, v_##S a, int64_t n) {                            \
    if (n >= (int64_t)(LANE_BYTES / sizeof(C))) vstore_##S(p, a);                         \
    else vstore_part_##S(p, a, n);                                                        \
  }

#if defined(__AVX512F__)
#define LANES_512(S, C, X, M, BITS)                                                                               \
  LANE_INLINE v_##S vmax_##S(v_##S a, v_##S b) { return _mm512_max_##X(a, b); }                                   \
  LANE_INLINE v_##S vsqrt_##S(v_##S a) { return _mm512_sqrt_##X(a); }                                             \
  LANE_INLINE v_##S vfma_##S(v_##S a, v_##S b, v_##S c) { return _mm512_fmadd_##X(a, b, c); }                     \
  LANE_INLINE C vsum_##S(v_##S a) { return _mm512_reduce_add_##X(a); }                                            \
  LANE_INLINE C vhigh_##S(v_##S a) { return _mm512_reduce_max_##X(a); }                                           \
  LANE_INLINE v_##S vload_part_##S(const C *p, int64_t n, C fill) {                                               \
    return _mm512_mask_loadu_##X(_mm512_set1_##X(fill), (M)((1u << n) - 1), p);                                   \
  }                                                                                                               \
  LANE_INLINE void vstore_part_##S(C *p, v_##S a, int64_t n) { _mm512_mask_storeu_##X(p, (M)((1u << n) - 1), a); }
LANES_512(f32, float, ps, __mmask16, 32)
LANES_512(f64, double, pd, __mmask8, 64)
#elif defined(__AVX2__)
static const int32_t lane_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
LANE_INLINE __m256i lane_mask_of(int64_t words) { return _mm256_loadu_si256((const __m256i *)(lane_mask + 8 - words)); }
#define LANES_256(S, C, X, WORDS)                                                                                 \
  LANE_INLINE v_##S vmax_##S(v_##S a, v_##S b) { return _mm256_max_##X(a, b); }                                   \
  LANE_INLINE v_##S vsqrt_##S(v_##S a) { return _mm256_sqrt_##X(a); }                                             \
  LANE_INLINE v_##S vfma_##S(v_##S a, v_##S b, v_##S c) { return _mm256_fmadd_##X(a, b, c); }                     \
  LANE_INLINE v_##S vload_part_##S(const C *p, int64_t n, C fill) {                                               \
    __m256i mask = lane_mask_of(n * WORDS);                                                                       \
    return _mm256_blendv_##X(_mm256_set1_##X(fill), _mm256_maskload_##X(p, mask), (v_##S)mask);                   \
  }                                                                                                               \
  LANE_INLINE void vstore_part_##S(C *p, v_##S a, int64_t n) { _mm256_maskstore_##X(p, lane_mask_of(n * WORDS), a); }
LANES_256(f32, float, ps, 1)
LANES_256(f64, double, pd, 2)
#define FOLD_256(NAME, OP)                                                                          \
  LANE_INLINE float NAME##_f32(v_f32 a) {                                                           \
    __m128 b = _mm_##OP##_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));               \
    b = _mm_##OP##_ps(b, _mm_movehl_ps(b, b));                                                      \
    return _mm_cvtss_f32(_mm_##OP##_ss(b, _mm_movehdup_ps(b)));                                     \
  }                                                                                                 \
  LANE_INLINE double NAME##_f64(v_f64 a) {                                                          \
    __m128d b = _mm_##OP##_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));              \
    return _mm_cvtsd_f64(_mm_##OP##_sd(b, _mm_unpackhi_pd(b, b)));                                  \
  }
FOLD_256(vsum, add)
FOLD_256(vhigh, max)
#else
#define LANES_PLAIN(S, C, ROOT)                                                                       \
  LANE_INLINE v_##S vmax_##S(v_##S a, v_##S b) {                                                      \
    for (size_t i = 0; i < LANE_BYTES / sizeof(C); i++) a[i] = a[i] > b[i] ? a[i] : b[i];             \
    return a;                                                                                         \
  }                                                                                                   \
  LANE_INLINE v_##S vsqrt_##S(v_##S a) {                                                              \
    for (size_t i = 0; i < LANE_BYTES / sizeof(C); i++) a[i] = ROOT(a[i]);                            \
    return a;                                                                                         \
  }                                                                                                   \
  LANE_INLINE C vsum_##S(v_##S a) {                                                                   \
    C s = a[0];                                                                                       \
    for (size_t i = 1; i < LANE_BYTES / sizeof(C); i++) s += a[i];                                    \
    return s;                                                                                         \
  }                                                                                                   \
  LANE_INLINE C vhigh_##S(v_##S a) {                                                                  \
    C s = a[0];                                                                                       \
    for (size_t i = 1; i < LANE_BYTES / sizeof(C); i++) s = a[i] > s ? a[i] : s;                      \
    return s;                                                                                         \
  }                                                                                                   \
  LANE_INLINE v_##S vload_part_##S(const C *p, int64_t n, C fill) {                                   \
    v_##S a = fill - (v_##S){0};                                                                      \
    for (int64_t i = 0; i < n; i++) a[i] = p[i];                                                      \
    return a;                                                                                         \
  }                                                                                                   \
  LANE_INLINE void vstore_part_##S(C *p, v_##S a, int64_t n) {                                        \
    for (int64_t i = 0; i < n; i++) p[i] = a[i];                                                      \
  }
LANES_PLAIN(f32, float, __builtin_sqrtf)
LANES_PLAIN(f64, double, __builtin_sqrt)
#if defined(__aarch64__)
LANE_INLINE v_f32 vfma_f32(v_f32 a, v_f32 b, v_f32 c) {
  return (v_f32)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
LANE_INLINE v_f64 vfma_f64(v_f64 a, v_f64 b, v_f64 c) {
  return (v_f64)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
#else
LANE_INLINE v_f32 vfma_f32(v_f32 a, v_f32 b, v_f32 c) { return a * b + c; }
LANE_INLINE v_f64 vfma_f64(v_f64 a, v_f64 b, v_f64 c) { return a * b + c; }
#endif
#endif
LANES_COMMON(f32, float)
LANES_COMMON(f64, double)
#endif
