/* The loops of the micro-operations and their table: loop(dst, a, b, c, n) on n contiguous elements; dst may be one
 * of the operands. Names and codes are in micro_ops. */
#ifndef MICRO_H
#define MICRO_H
#include "fused.h"
#include "vecmath.h"

typedef void (*Loop)(void *d, const void *a, const void *b, const void *c, int64_t n);

/* element i of the result never touches element j of an operand */
#ifdef __clang__
#define EACH(n) _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < (n); i++)
#else
#define EACH(n) _Pragma("GCC ivdep") for (int64_t i = 0; i < (n); i++)
#endif
#define LOOP(op) DL_PASTE(loop_##op, S)

#define UNARY(op, R, value)                                                                      \
  static void LOOP(op)(void *d_, const void *a_, const void *b_, const void *c_, int64_t n) {    \
    R *d = d_;                                                                                   \
    const T *a = a_;                                                                             \
    (void)b_, (void)c_;                                                                          \
    EACH(n) {                                                                                    \
      T x = a[i];                                                                                \
      d[i] = value;                                                                              \
    }                                                                                            \
  }

#define BINARY(op, R, value)                                                                     \
  static void LOOP(op)(void *d_, const void *a_, const void *b_, const void *c_, int64_t n) {    \
    R *d = d_;                                                                                   \
    const T *a = a_, *b = b_;                                                                    \
    (void)c_;                                                                                    \
    EACH(n) {                                                                                    \
      T x = a[i], y = b[i];                                                                      \
      d[i] = value;                                                                              \
    }                                                                                            \
  }

#define TERNARY(op, R, value)                                                                    \
  static void LOOP(op)(void *d_, const void *a_, const void *b_, const void *c_, int64_t n) {    \
    R *d = d_;                                                                                   \
    const T *a = a_, *b = b_, *c = c_;                                                           \
    EACH(n) {                                                                                    \
      T x = a[i], y = b[i], z = c[i];                                                            \
      d[i] = value;                                                                              \
    }                                                                                            \
  }

/* fast where `inside` holds for all elements; else element by element, those inside with the same fast formula */
#define GUARDED(op, inside, fast, slow)                                                          \
  static void LOOP(op)(void *d_, const void *a_, const void *b_, const void *c_, int64_t n) {    \
    T *d = d_;                                                                                   \
    const T *a = a_;                                                                             \
    int outside = 0;                                                                             \
    (void)b_, (void)c_;                                                                          \
    for (int64_t i = 0; i < n; i++) {                                                            \
      T x = a[i];                                                                                \
      outside |= !(inside);                                                                      \
    }                                                                                            \
    if (!outside)                                                                                \
      EACH(n) {                                                                                  \
        T x = a[i];                                                                              \
        d[i] = fast;                                                                             \
      }                                                                                          \
    else                                                                                         \
      for (int64_t i = 0; i < n; i++) {                                                          \
        T x = a[i];                                                                              \
        if (inside)                                                                              \
          d[i] = fast;                                                                           \
        else                                                                                     \
          d[i] = slow;                                                                           \
      }                                                                                          \
  }

#define GUARDED2(op, inside, fast, slow)                                                         \
  static void LOOP(op)(void *d_, const void *a_, const void *b_, const void *c_, int64_t n) {    \
    T *d = d_;                                                                                   \
    const T *a = a_, *b = b_;                                                                    \
    int outside = 0;                                                                             \
    (void)c_;                                                                                    \
    for (int64_t i = 0; i < n; i++) {                                                            \
      T x = a[i], y = b[i];                                                                      \
      outside |= !(inside);                                                                      \
    }                                                                                            \
    if (!outside)                                                                                \
      EACH(n) {                                                                                  \
        T x = a[i], y = b[i];                                                                    \
        d[i] = fast;                                                                             \
      }                                                                                          \
    else                                                                                         \
      for (int64_t i = 0; i < n; i++) {                                                          \
        T x = a[i], y = b[i];                                                                    \
        d[i] = slow;                                                                             \
      }                                                                                          \
  }

static inline int64_t to_i64(double x) { /* outside the range and NaN: the smallest, as on x86 */
  int inside = (x >= -0x1p63) & (x < 0x1p63);
  int64_t y = (int64_t)(inside ? x : 0.0);
  return inside ? y : INT64_MIN;
}

#define BOOL_OR_SAME(x) (x)
#define T float
#define S f32
#include "micro_float.inc"
#include "micro_any.inc"
#undef T
#undef S
#define T double
#define S f64
#include "micro_float.inc"
#include "micro_any.inc"
#undef T
#undef S
#define T int64_t
#define S i64
#include "micro_any.inc"
#include "micro_int.inc"
#undef T
#undef S
#undef BOOL_OR_SAME
#define BOOL_OR_SAME(x) ((x) != 0)
#define T uint8_t
#define S bool
#include "micro_any.inc"
UNARY(to_i64, int64_t, x != 0)
BINARY(maximum, uint8_t, (x != 0) | (y != 0))
BINARY(minimum, uint8_t, (x != 0) & (y != 0))
#undef T
#undef S
#undef BOOL_OR_SAME

#endif
