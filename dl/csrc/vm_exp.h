/* Exponentials: x = k ln 2 + r, |r| <= ln(2) / 2, e^x = 2^k e^r; ln 2 in two pieces of which the first times k is exact
 * (Cody and Waite, 1980), e^r by minimax polynomials (Remez). */
#ifndef VM_EXP_H
#define VM_EXP_H
#include "vm_base.h"

/* (e^r - 1 - r) / r^2; relative error of e^r - 1 2^-28 */
VM float em1_poly_f32(float r) {
  float z = r * r;
  float a = FMA_f32(r, 0.166666672f, 0.5f), b = FMA_f32(r, 0.00833321828f, 0.0416663215f);
  float c = FMA_f32(r, 0.000199633112f, 0.00139437197f);
  return FMA_f32(z, FMA_f32(z, c, b), a);
}

/* relative error of e^r - 1 2^-56 */
VM double em1_poly_f64(double r) {
  double z = r * r, z2 = z * z;
  double a = FMA_f64(r, 0.16666666666666671, 0.50000000000000011);
  double b = FMA_f64(r, 0.008333333333325886, 0.041666666666651753);
  double c = FMA_f64(r, 0.00019841269875698581, 0.0013888888895784175);
  double d = FMA_f64(r, 2.7557254282333911e-06, 2.4801574301875714e-05);
  double e = FMA_f64(z, 1.768793404143903e-09, FMA_f64(r, 2.5105683150345405e-08, 2.7568024811583948e-07));
  return FMA_f64(z2, FMA_f64(z2, e, FMA_f64(z, d, c)), FMA_f64(z, b, a));
}

/* x = k ln 2 + r; k as an integer modulo 2^32 or 2^64; for |x| below 2^20 */
VM float reduce_ln2_f32(float x, uint32_t *k) {
  float t = FMA_f32(x, 1.44269504f, 12582912.0f), kf = t - 12582912.0f; /* 1.5 * 2^23: the low bits of t are k */
  *k = bits_f32(t) - 0x4b400000u;
  return FMA_f32(kf, 2.12194440e-4f, FMA_f32(kf, -0.693359375f, x));
}

VM double reduce_ln2_f64(double x, uint64_t *k) {
  double t = FMA_f64(x, 1.4426950408889634, 6755399441055744.0), kf = t - 6755399441055744.0;
  *k = bits_f64(t) - 0x4338000000000000u;
  return FMA_f64(kf, -0x1.a39ef35793c76p-33, FMA_f64(kf, -0x1.62e42feep-1, x));
}

/* a power of two from its exponent, which must be that of a normal number */
VM float power2_f32(uint32_t k) { return from_f32((k + 127u) << 23); }
VM double power2_f64(uint64_t k) { return from_f64((k + 1023u) << 52); }

/* e^r = p, 2^k = s1 s2: p s1 s2 rounds a denormal once, and a factor below 100 can come in between */
VM float scales_f32(float r, uint32_t k, float *s1, float *s2) {
  uint32_t h = (k + 512u) >> 1;
  *s1 = power2_f32(h - 256u);
  *s2 = power2_f32(k - h + 256u);
  return FMA_f32(r * r, em1_poly_f32(r), r) + 1.0f;
}

/* e^x = p s1 s2 */
VM float exp_parts_f32(float x, float *s1, float *s2) {
  uint32_t k;
  float r = reduce_ln2_f32(hold_f32(x, -112.0f, 90.0f), &k);
  return scales_f32(r, k, s1, s2);
}

/* the same for an argument that float32 does not hold well enough: its error times x would show */
VM float exp_parts_of_f64(double x, float *s1, float *s2) {
  x = hold_f64(x, -112.0, 90.0);
  double t = FMA_f64(x, 1.4426950408889634, 6755399441055744.0), kf = t - 6755399441055744.0;
  return scales_f32((float)FMA_f64(kf, -0.69314718055994529, x), (uint32_t)bits_f64(t), s1, s2);
}

VM double exp_parts_f64(double x, double *s1, double *s2) {
  uint64_t k;
  double r = reduce_ln2_f64(hold_f64(x, -760.0, 720.0), &k);
  uint64_t h = (k + 4096u) >> 1;
  *s1 = power2_f64(h - 2048u);
  *s2 = power2_f64(k - h + 2048u);
  return FMA_f64(r * r, em1_poly_f64(r), r) + 1.0;
}

VM float exp_f32(float x) {
  float s1, s2, p = exp_parts_f32(x, &s1, &s2);
  return p * s1 * s2;
}

VM double exp_f64(double x) {
  double s1, s2, p = exp_parts_f64(x, &s1, &s2);
  return p * s1 * s2;
}

VM float exp2_f32(float x) {
  x = hold_f32(x, -160.0f, 130.0f);
  float t = x + 12582912.0f, s1, s2, p = scales_f32((x - (t - 12582912.0f)) * 0.693147181f, bits_f32(t), &s1, &s2);
  return p * s1 * s2;
}

VM double exp2_f64(double x) {
  x = hold_f64(x, -1100.0, 1040.0);
  double t = x + 6755399441055744.0, r = (x - (t - 6755399441055744.0)) * 0.69314718055994529;
  uint64_t k = bits_f64(t) - 0x4338000000000000u, h = (k + 4096u) >> 1;
  double p = FMA_f64(r * r, em1_poly_f64(r), r) + 1.0;
  return p * power2_f64(h - 2048u) * power2_f64(k - h + 2048u);
}

/* (e^x - 1) / 4, which does not overflow before sinh does */
VM float quarter_expm1_f32(float x) {
  uint32_t k;
  float r = reduce_ln2_f32(hold_f32(x, -20.0f, 89.3f), &k), s = power2_f32(k - 2u);
  return FMA_f32(s, FMA_f32(r * r, em1_poly_f32(r), r), s - 0.25f);
}

VM double quarter_expm1_f64(double x) {
  uint64_t k;
  double r = reduce_ln2_f64(hold_f64(x, -45.0, 710.6), &k), s = power2_f64(k - 2u);
  return FMA_f64(s, FMA_f64(r * r, em1_poly_f64(r), r), s - 0.25);
}

VM float expm1_f32(float x) { return ABS_f32(x) < 1e-18f ? x : 4.0f * quarter_expm1_f32(x); }
VM double expm1_f64(double x) { return ABS_f64(x) < 1e-150 ? x : 4.0 * quarter_expm1_f64(x); }

VM double sinh_f64(double x) {
  double a = ABS_f64(x), q = quarter_expm1_f64(a), h = q > 0x1p60 ? 0x1p60 : q;
  return COPYSIGN_f64(a < 1e-150 ? a : 2.0 * (q + h / FMA_f64(4.0, h, 1.0)), x);
}

VM double cosh_f64(double x) {
  double s1, s2, h = exp_parts_f64(ABS_f64(x), &s1, &s2);
  h = h * s1 * (0.5 * s2);
  return h + 0.25 / h;
}

/* (e^2a - 1) / (e^2a + 1) with 2a = k ln 2 + 2r: the polynomial of above in r, its coefficients times powers of two */
VM float tanh_f32(float x) {
  float a = ABS_f32(x), b = a > 9.5f ? 9.5f : a;
  float t = FMA_f32(b, 2.88539008f, 12582912.0f), kf = t - 12582912.0f;
  float r = FMA_f32(kf, 1.06097220e-4f, FMA_f32(kf, -0.3466796875f, b)), z = r * r;
  float p0 = FMA_f32(r, 8 * 0.166666672f, 2.0f), p1 = FMA_f32(r, 32 * 0.00833321828f, 16 * 0.0416663215f);
  float p2 = FMA_f32(r, 128 * 0.000199633112f, 64 * 0.00139437197f);
  float s = from_f32((bits_f32(t) << 23) + 0x3f800000u);
  float q = FMA_f32(s, FMA_f32(z, FMA_f32(z, FMA_f32(z, p2, p1), p0), r + r), s - 1.0f);
  return COPYSIGN_f32(q / (q + 2.0f), x);
}

VM double tanh_f64(double x) {
  double a = ABS_f64(x), q = quarter_expm1_f64(-2.0 * a);
  return COPYSIGN_f64(a < 1e-150 ? a : -q / (q + 0.5), x);
}

#endif
