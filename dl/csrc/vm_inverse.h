/* Inverse trigonometric functions in double; minimax polynomials (Remez) below 1/2 and below tan(pi/8). */
#ifndef VM_INVERSE_H
#define VM_INVERSE_H
#include "vm_base.h"

#define PI2_HI 0x1.921fb54442d18p+0 /* pi/2 in two pieces */
#define PI2_LO 0x1.1a62633145c07p-54

/* (asin(s) - s) / s for z = s^2 <= 1/4 */
VM double asin_poly_f64(double z) {
  double w = z * z, v = w * w;
  double a = FMA_f64(z, 0.074999999999708508, 0.1666666666666676);
  double b = FMA_f64(z, 0.030381942708466673, 0.044642857174584112);
  double c = FMA_f64(z, 0.017351611943140662, 0.022372214981506728);
  double d = FMA_f64(z, 0.011398878969212387, 0.013980823142844958);
  double e = FMA_f64(z, 0.00370529044053633, 0.010780497419972205);
  double f = FMA_f64(w, 0.032632062939039176, FMA_f64(z, -0.021004059535915776, 0.021710592256143836));
  double high = FMA_f64(w, f, e);
  return z * FMA_f64(v, FMA_f64(v, high, FMA_f64(w, d, c)), FMA_f64(w, b, a));
}

VM double asin_f64(double x) {
  double a = ABS_f64(x);
  int large = a > 0.5;
  double z = large ? 0.5 * (1.0 - a) : a * a, s = large ? SQRT_f64(z) : a, t = FMA_f64(s, asin_poly_f64(z), s);
  return COPYSIGN_f64(large ? PI2_HI - (2.0 * t - PI2_LO) : t, x);
}

VM double acos_f64(double x) {
  double a = ABS_f64(x);
  int large = a > 0.5;
  double z = large ? 0.5 * (1.0 - a) : a * a, s = large ? SQRT_f64(z) : x, p = asin_poly_f64(z);
  double t = 2.0 * FMA_f64(s, p, s), inner = PI2_HI - (x - FMA_f64(-x, p, PI2_LO));
  double outer = x > 0.0 ? t : 2.0 * PI2_HI - (t - 2.0 * PI2_LO);
  return large ? outer : inner;
}

/* atan(num / den) for 0 <= num <= den, den > 0: pi/4 + atan((num - den) / (num + den)) above tan(pi/8) */
VM double atan_ratio_f64(double num, double den) {
  int large = num > 0.41421356237309503 * den;
  double q = (large ? num - den : num) / (large ? num + den : den), z = q * q, w = z * z, v = w * w;
  double a = FMA_f64(z, 0.19999999999953666, -0.33333333333333198);
  double b = FMA_f64(z, 0.11111110783439315, -0.14285714280198614);
  double c = FMA_f64(z, 0.076920601784502038, -0.090908977558465554);
  double d = FMA_f64(z, 0.058478878352713988, -0.066631037134356891);
  double e = FMA_f64(w, -0.017907502529775746, FMA_f64(z, 0.038064674939099673, -0.050393033931028272));
  double p = FMA_f64(v, FMA_f64(v, e, FMA_f64(w, d, c)), FMA_f64(w, b, a));
  double t = FMA_f64(q * z, p, q);
  return large ? 0.5 * PI2_HI + (t + 0.5 * PI2_LO) : t;
}

VM double atan_f64(double x) {
  double a = ABS_f64(x);
  int large = a > 1.0;
  double t = atan_ratio_f64(large ? 1.0 : a, large ? a : 1.0);
  return COPYSIGN_f64(large ? PI2_HI - (t - PI2_LO) : t, x);
}

VM double atan2_f64(double y, double x) {
  double a = ABS_f64(y), b = ABS_f64(x);
  int swap = a > b;
  double den = swap ? a : b, num = swap ? b : a;
  double unit = num == INF_f64 ? 1.0 : num * 0.0;
  num = den == INF_f64 ? unit : num;
  den = den == INF_f64 || den == 0.0 ? 1.0 : den;
  double scale = den > 0x1p1020 ? 0x1p-4 : 1.0;
  double t = atan_ratio_f64(num * scale, den * scale);
  t = swap ? PI2_HI - (t - PI2_LO) : t;
  t = bits_f64(x) >> 63 ? 2.0 * PI2_HI - (t - 2.0 * PI2_LO) : t;
  return COPYSIGN_f64(t, y);
}

#endif
