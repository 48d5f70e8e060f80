/* Includes CONV_BODY once for float and once for double: REAL is the type, R(name) a name of its own for each. */
#ifdef __AVX512F__
#include <immintrin.h>
#endif
#if defined(__AVX512F__)
#define VBYTES 64
#define MR 12
#elif defined(__AVX2__)
#define VBYTES 32
#define MR 6
#else
#define VBYTES 16
#define MR 4
#endif
#if MR == 12
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#elif MR == 6
#define HEIGHTS(X) X(1) X(2) X(3) X(4) X(5) X(6)
#else
#define HEIGHTS(X) X(1) X(2) X(3) X(4)
#endif
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")
#define V R(Vector)
#define NV 2
#define W VLANES
#define NR (NV * W)

#define REAL float
#define LANE int32_t
#define VLANES (VBYTES / 4)
#define R(name) DL_PASTE(name, f32)
#include CONV_BODY
#undef REAL
#undef LANE
#undef VLANES
#undef R

#define REAL double
#define LANE int64_t
#define VLANES (VBYTES / 8)
#define R(name) DL_PASTE(name, f64)
#include CONV_BODY
#undef REAL
#undef LANE
#undef VLANES
#undef R
