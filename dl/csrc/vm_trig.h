/* sin, cos, tan for |x| <= TRIG_LIMIT (beyond it the loops ask libm): x = k pi/2 + r with pi/2 in pieces of which the
 * first times k is exact (Cody and Waite, 1980), then sin and cos of |r| <= pi/4 by minimax polynomials (Remez). */
#ifndef VM_TRIG_H
#define VM_TRIG_H
#include "vm_base.h"

#define TRIG_LIMIT 1.6e6

/* float: reduced in double, where two pieces are enough */
VM float reduce_pi2_f32(float x, uint32_t *k) {
  double t = FMA_f64((double)x, 0.63661977236758138, 6755399441055744.0), kf = t - 6755399441055744.0;
  *k = (uint32_t)bits_f64(t);
  return (float)FMA_f64(kf, -0x1.0b4611a626331p-34, FMA_f64(kf, -0x1.921fb544p+0, (double)x));
}

VM float sin_poly_f32(float r) {
  float z = r * r, p = FMA_f32(z, FMA_f32(z, -0.000195182845f, 0.00833218917f), -0.166666552f);
  return FMA_f32(z * r, p, r);
}

VM float cos_poly_f32(float r) {
  float z = r * r, p = FMA_f32(z, FMA_f32(z, 2.44323273e-05f, -0.00138873095f), 0.0416666456f);
  return FMA_f32(z * z, p, FMA_f32(z, -0.5f, 1.0f));
}

VM float quadrant_f32(float r, uint32_t k) {
  float s = sin_poly_f32(r), c = cos_poly_f32(r), y = k & 1u ? c : s;
  return from_f32(bits_f32(y) ^ ((k & 2u) << 30));
}

VM float sin_f32(float x) {
  uint32_t k;
  float r = reduce_pi2_f32(x, &k);
  return x == 0.0f ? x : quadrant_f32(r, k);
}

VM float cos_f32(float x) {
  uint32_t k;
  float r = reduce_pi2_f32(x, &k);
  return quadrant_f32(r, k + 1u);
}

/* r to one rounding: with fma the first difference is exact, without it the first two products are */
VM double reduce_pi2_f64(double x, uint64_t *k) {
  double t = FMA_f64(x, 0.63661977236758138, 6755399441055744.0), kf = t - 6755399441055744.0;
  *k = bits_f64(t);
#if VM_HAS_FMA
  double r = __builtin_fma(kf, -0x1.921fb54442d18p+0, x);
  return __builtin_fma(kf, 0x1.f1976b7ed8fbcp-110, __builtin_fma(kf, -0x1.1a62633145c07p-54, r));
#else
  double a = x - kf * 0x1.921fb544p+0, b = kf * 0x1.0b4611a6p-34, r = a - b;
  return r + (((a - r) - b) - kf * 0x1.3198a2e037073p-69);
#endif
}

VM double sin_poly_f64(double r) {
  double z = r * r, w = z * z;
  double a = FMA_f64(z, 0.0083333333333218407, -0.1666666666666663);
  double b = FMA_f64(z, 2.7557313538514259e-06, -0.00019841269829358528);
  double c = FMA_f64(z, 1.5895433292609745e-10, -2.5050734389276588e-08);
  return FMA_f64(z * r, FMA_f64(w, FMA_f64(w, c, b), a), r);
}

VM double cos_poly_f64(double r) {
  double z = r * r, w = z * z, h = 0.5 * z, one = 1.0 - h;
  double a = FMA_f64(z, -0.0013888888888873338, 0.041666666666666595);
  double b = FMA_f64(z, -2.7557314215299145e-07, 2.4801587288997482e-05);
  double c = FMA_f64(z, -1.1358732776864844e-11, 2.0875705115003671e-09);
  return one + FMA_f64(w, FMA_f64(w, FMA_f64(w, c, b), a), (1.0 - one) - h);
}

VM double quadrant_f64(double r, uint64_t k) {
  double s = sin_poly_f64(r), c = cos_poly_f64(r), y = k & 1u ? c : s;
  return from_f64(bits_f64(y) ^ ((k & 2u) << 62));
}

VM double sin_f64(double x) {
  uint64_t k;
  double r = reduce_pi2_f64(x, &k);
  return x == 0.0 ? x : quadrant_f64(r, k);
}

VM double cos_f64(double x) {
  uint64_t k;
  double r = reduce_pi2_f64(x, &k);
  return quadrant_f64(r, k + 1u);
}

VM double tan_f64(double x) {
  uint64_t k;
  double r = reduce_pi2_f64(x, &k), s = sin_poly_f64(r), c = cos_poly_f64(r);
  double y = k & 1u ? -c / s : s / c;
  return x == 0.0 ? x : y;
}

#endif
