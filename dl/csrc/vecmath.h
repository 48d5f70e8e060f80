/* Elementary functions of float and double, name_f32 and name_f64. Edge cases are C99's; denormals are neither
 * flushed nor rounded twice. Largest error in units of the last place over all magnitudes
 * (tests/test_dl_elementwise_kernels.py reads this table and holds it against long double); for derivatives of
 * activations, which cross zero, in units of 2^-24 and 2^-53. Beyond TRIG_LIMIT sin, cos and tan are libm's, and pow
 * of double always is.
 *
 *   name        float  double        name            float  double
 *   exp         1.1    1.1           asinh           0.6    1.9
 *   expm1       1.7    2.3           acosh           0.6    2.1
 *   exp2        1.1    1.2           atanh           0.6    2.2
 *   log         1.0    1.0           sigmoid         2.5    2.4
 *   log1p       0.6    1.0           erf             1.4    1.4
 *   log2        0.6    1.0           erfc            0.6    6.5
 *   log10       0.6    1.0           softplus        2.3    1.8
 *   sin         1.7    1.6           gelu            6.0    6.5
 *   cos         1.7    1.6           gelu_tanh       3.4    3.5
 *   tan         0.6    3.1           silu            3.5    2.7
 *   asin        0.6    2.4           mish            4.0    3.4
 *   acos        0.6    1.3           gelu_grad       4.5    4.0
 *   atan        0.6    2.5           gelu_tanh_grad  4.5    4.0
 *   sinh        0.6    2.6           silu_grad       4.5    4.0
 *   cosh        0.6    1.6           mish_grad       4.5    4.0
 *   tanh        2.6    2.8           pow             0.6    1.0
 *   atan2       0.6    2.5           hypot           0.6    1.1
 */
#ifndef VECMATH_H
#define VECMATH_H
#include "vm_inverse.h"
#include "vm_nn.h"
#include "vm_pow.h"
#include "vm_trig.h"

/* float through double: half a unit and a little */
#define THROUGH_DOUBLE(name) \
  VM float name##_f32(float x) { return (float)name##_f64((double)x); }
THROUGH_DOUBLE(log1p)
THROUGH_DOUBLE(log2)
THROUGH_DOUBLE(log10)
THROUGH_DOUBLE(tan)
THROUGH_DOUBLE(asin)
THROUGH_DOUBLE(acos)
THROUGH_DOUBLE(atan)
THROUGH_DOUBLE(sinh)
THROUGH_DOUBLE(cosh)
THROUGH_DOUBLE(asinh)
THROUGH_DOUBLE(acosh)
THROUGH_DOUBLE(atanh)
THROUGH_DOUBLE(erfc)
VM float atan2_f32(float y, float x) { return (float)atan2_f64((double)y, (double)x); }

#endif
