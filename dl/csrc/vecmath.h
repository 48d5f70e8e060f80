#ifndef VECMATH_H
#define VECMATH_H
#include "vm_base.h"
#include "vm_exp.h"
#include "vm_log.h"
#include "vm_trig.h"
#include "vm_inverse.h"
#include "vm_erf.h"
#include "vm_pow.h"
#include "vm_nn.h"

/* float through double: half an ulp and a little */
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
