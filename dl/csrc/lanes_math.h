/* exp and log of vecmath.h on whole vectors: the compiler turns the loops over lanes into vector code. */
#ifndef DL_LANES_MATH_H
#define DL_LANES_MATH_H
#include "lanes.h"
#include "vecmath.h"

#define LANES_MATH(S, C, NAME)                                                               \
  LANE_INLINE v_##S v##NAME##_##S(v_##S x) {                                                 \
    C in[LANE_BYTES / sizeof(C)], out[LANE_BYTES / sizeof(C)];                               \
    vstore_##S(in, x);                                                                       \
    for (size_t i = 0; i < LANE_BYTES / sizeof(C); i++) out[i] = NAME##_##S(in[i]);          \
    return vload_##S(out);                                                                   \
  }
/* e^x, and zero where that is below the normal numbers: masks make many such terms, and denormals are slow */
#define EXP_FLUSHED(S, C, I, LOW)                                                            \
  LANE_INLINE v_##S vexp_flushed_##S(v_##S x) {                                              \
    v_##S low = vset_##S(LOW);                                                               \
    return (v_##S)((I)vexp_##S(vmax_##S(low, x)) & ~(I)(x < low));                              \
  }
LANES_MATH(f32, float, exp)
LANES_MATH(f32, float, log)
LANES_MATH(f64, double, exp)
LANES_MATH(f64, double, log)
EXP_FLUSHED(f32, float, v_i32, -87.3f)
EXP_FLUSHED(f64, double, v_i64, -708.3)
#endif
