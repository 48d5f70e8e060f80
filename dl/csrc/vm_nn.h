/* What the activations of both dtypes are made of where the dtypes differ; then the activations, twice from
 * vm_nn.inc. */
#ifndef VM_NN_H
#define VM_NN_H
#include "vm_erf.h"
#include "vm_log.h"

/* e^(-a^2 / 2) = p s2; the square is not rounded to float, nor its error lost in double */
VM float gauss_parts_f32(float a, float *s2) {
  float s1, p = exp_parts_of_f64(-0.5 * (double)a * (double)a, &s1, s2);
  return p * s1;
}

VM double gauss_parts_f64(double a, double *s2) {
  double s1, error, square = product_f64(a, a, &error), p = exp_parts_f64(-0.5 * square, &s1, s2);
  return FMA_f64(-0.5 * p, error, p) * s1;
}

/* v = sqrt(8 / pi) (a + 0.044715 a^3) = a (C1 + C2 a^2); e^(-v) = p s2 */
#define GELU_C1 0x1.9884533d43651p+0
#define GELU_C2 0x1.2444f2a4d8b4bp-4

VM float gelu_tanh_parts_f32(float a, float *s2) {
  double x = (double)a;
  float s1, p = exp_parts_of_f64(-x * FMA_f64(GELU_C2, x * x, GELU_C1), &s1, s2);
  return p * s1;
}

VM double gelu_tanh_parts_f64(double a, double *s2) {
  double e2, e3, ev, s1, square = product_f64(a, a, &e2), q = product_f64(GELU_C2, square, &e3);
  double s = GELU_C1 + q, b = s - GELU_C1, es = (GELU_C1 - (s - b)) + (q - b);
  es += FMA_f64(GELU_C2, e2, e3) + FMA_f64(-0x1.6c843a29d1c70p-61, square, -0x1.cbc0d30ebfd15p-54);
  double v = product_f64(a, s, &ev), p = exp_parts_f64(-v, &s1, s2);
  return FMA_f64(-p, FMA_f64(a, es, ev), p) * s1;
}

/* below LOW e^x |x| is 0; beyond GAUSS_MAX, GELU_MAX the tails are 0 */
#define LOW_f32 -112.0f
#define LOW_f64 -760.0
#define GAUSS_MAX_f32 14.5f
#define GAUSS_MAX_f64 38.7
#define GELU_MAX_f32 12.0f
#define GELU_MAX_f64 22.0

#define S f32
#define T float
#include "vm_nn.inc"
#undef S
#undef T
#define S f64
#define T double
#include "vm_nn.inc"
#undef S
#undef T

#endif
