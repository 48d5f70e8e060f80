/* What the elementary functions are written in: the bits of a float and one fma. Selection is ?: between values that
 * are already there, so that a loop over any of these functions becomes vector code and every lane gets the bits that
 * the scalar code gets: only +, -, *, /, sqrt, fma and bit operations are used, and they round the same everywhere. */
#ifndef VM_BASE_H
#define VM_BASE_H
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "dl.h"

#define VM static inline __attribute__((always_inline, unused))

/* A product and a sum: rounded once where the processor can, twice elsewhere; chosen here and nowhere else. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define VM_HAS_FMA 1
#define FMA_f32(a, b, c) __builtin_fmaf(a, b, c)
#define FMA_f64(a, b, c) __builtin_fma(a, b, c)
#else
#define VM_HAS_FMA 0
#define FMA_f32(a, b, c) ((a) * (b) + (c))
#define FMA_f64(a, b, c) ((a) * (b) + (c))
#endif

VM uint32_t bits_f32(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

VM float from_f32(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

VM uint64_t bits_f64(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

VM double from_f64(uint64_t u) {
  double x;
  memcpy(&x, &u, sizeof x);
  return x;
}

#define ABS_f32(x) __builtin_fabsf(x)
#define ABS_f64(x) __builtin_fabs(x)
#define COPYSIGN_f32(x, s) __builtin_copysignf(x, s)
#define COPYSIGN_f64(x, s) __builtin_copysign(x, s)
#define SQRT_f32(x) __builtin_sqrtf(x)
#define SQRT_f64(x) __builtin_sqrt(x)
#define FLOOR_f32(x) __builtin_floorf(x)
#define FLOOR_f64(x) __builtin_floor(x)
#define CEIL_f32(x) __builtin_ceilf(x)
#define CEIL_f64(x) __builtin_ceil(x)
#define RINT_f32(x) __builtin_rintf(x)
#define RINT_f64(x) __builtin_rint(x)
#define TRUNC_f32(x) __builtin_truncf(x)
#define TRUNC_f64(x) __builtin_trunc(x)
#define INF_f64 __builtin_inf()
#define NAN_f64 __builtin_nan("")
#define INF_f32 __builtin_inff()
#define NAN_f32 __builtin_nanf("")

/* x held to [lo, hi]; NaN stays */
VM float hold_f32(float x, float lo, float hi) {
  float y = x < lo ? lo : x;
  return x > hi ? hi : y;
}

VM double hold_f64(double x, double lo, double hi) {
  double y = x < lo ? lo : x;
  return x > hi ? hi : y;
}

/* a b = product + *error exactly */
VM double product_f64(double a, double b, double *error) {
  double p = a * b;
#if VM_HAS_FMA
  *error = __builtin_fma(a, b, -p);
#else
  double ah = from_f64(bits_f64(a) & 0xfffffffff8000000u), al = a - ah; /* Dekker, 1971 */
  double bh = from_f64(bits_f64(b) & 0xfffffffff8000000u), bl = b - bh;
  *error = ((ah * bh - p) + ah * bl + al * bh) + al * bl;
#endif
  return p;
}

#endif
