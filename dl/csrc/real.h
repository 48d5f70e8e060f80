/* The type a file is being compiled for: included with REAL set to 32, then to 64, by files that include themselves.
 * T: the type; V: a vector of W of them; R(name): the name with the type's suffix. */
#undef T
#undef V
#undef W
#undef R
#if REAL == 32
#define T float
#define V v_f32
#define W LANES_F32
#define R(name) name##_f32
#else
#define T double
#define V v_f64
#define W LANES_F64
#define R(name) name##_f64
#endif
#ifndef DL_REAL_H
#define DL_REAL_H
#include "lanes.h"
#define vload R(vload)
#define vstore R(vstore)
#define vset R(vset)
#define vmax R(vmax)
#define vsqrt R(vsqrt)
#define vfma R(vfma)
#define vsum R(vsum)
#define vhigh R(vhigh)
#define vload_part R(vload_part)
#define vstore_part R(vstore_part)
#define vtail R(vtail)
#define vstore_tail R(vstore_tail)
#define vexp_flushed R(vexp_flushed)
#define vlog R(vlog)

/* runs the statements for i = 0, W, 2 W ... with m = W, known to the compiler, and again with the m < W left over */
#define FOR_LANES(n, ...)              \
  do {                                 \
    int64_t i = 0;                     \
    for (; i + W <= (n); i += W) {     \
      const int64_t m = W;             \
      __VA_ARGS__                      \
    }                                  \
    if (i < (n)) {                     \
      const int64_t m = (n) - i;       \
      __VA_ARGS__                      \
    }                                  \
  } while (0)
#endif
