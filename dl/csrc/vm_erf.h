/* The error function: x + x P(x^2) below 1, where P is a minimax polynomial (Remez); above, erfc(t) e^(t^2) (t + c) is
 * a polynomial in u = (t - c) / (t + c) for all t >= 0 (Shepherd and Laframboise, 1981). */
#ifndef VM_ERF_H
#define VM_ERF_H
#include "vm_exp.h"

VM double erf_small_f64(double x) {
  double z = x * x, w = z * z, v = w * w;
  double a = FMA_f64(z, -0.37612638903184098, 0.12837916709551259);
  double b = FMA_f64(z, -0.026866170648031693, 0.11283791670971099);
  double c = FMA_f64(z, -0.0008548328535267633, 0.0052239776526935618);
  double d = FMA_f64(z, -1.49268794531423e-05, 0.00012055386144346289);
  double e = FMA_f64(z, -1.6556476284261937e-07, 1.6481012181128116e-06);
  double f = FMA_f64(w, 1.4294014875816313e-10, FMA_f64(z, -1.6439491786867279e-09, 1.6007760597842041e-08));
  double p = FMA_f64(v, FMA_f64(v, FMA_f64(w, f, e), FMA_f64(w, d, c)), FMA_f64(w, b, a));
  return FMA_f64(x, p, x);
}

/* erfc(t) e^(t^2), t in [0, 27.4] */
VM double erfcx_f64(double t) {
  double r = 1.0 / (t + 3.75), u = (t - 3.75) * r;
  u = FMA_f64(FMA_f64(-u, t + 3.75, t - 3.75), r, u);
  double z = u * u, w = z * z, v = w * w;
  double a = FMA_f64(z, FMA_f64(u, -0.49047029120767854, 0.73631892522175146),
                     FMA_f64(u, -0.9587415766529096, 1.0919229095627891));
  double b = FMA_f64(z, FMA_f64(u, -0.012535880041028697, 0.049118778614939677),
                     FMA_f64(u, -0.13195540117853347, 0.27906204903379783));
  double c = FMA_f64(z, FMA_f64(u, 1.0593992574113724e-05, -0.00034864689095176726),
                     FMA_f64(u, 0.00079482309908374452, 0.0009863380840222551));
  double d = FMA_f64(z, FMA_f64(u, 1.6560104514643848e-06, -3.2901764802168507e-06),
                     FMA_f64(u, -8.9039458441717879e-06, 3.7471915350700674e-05));
  double e = FMA_f64(z, FMA_f64(u, 3.9714300894070808e-08, -2.9059507322807024e-08),
                     FMA_f64(u, -2.6348287747033837e-07, 2.8146942226515161e-07));
  double f = FMA_f64(z, FMA_f64(u, 1.7197418131658555e-10, -8.0472433270576211e-10),
                     FMA_f64(u, -4.7113548695803964e-09, 4.7977480526213942e-09));
  double high = FMA_f64(w, f, e), mid = FMA_f64(w, d, c);
  return r * FMA_f64(v, FMA_f64(v, high, mid), FMA_f64(w, b, a));
}

VM float erfcx_f32(float t) { /* t in [0, 10.2] */
  float r = 1.0f / (t + 2.25f), u = (t - 2.25f) * r;
  u = FMA_f32(FMA_f32(-u, t + 2.25f, t - 2.25f), r, u);
  float z = u * u, w = z * z;
  float a = FMA_f32(z, FMA_f32(u, -0.101210274f, 0.371517658f), FMA_f32(u, -0.751959026f, 1.03989267f));
  float b = FMA_f32(z, FMA_f32(u, -0.00162139907f, -0.000780398608f), FMA_f32(u, 0.0116567481f, -0.00361381937f));
  float c = FMA_f32(z, 4.8523787e-05f, FMA_f32(u, 0.000240869762f, 4.22984776e-05f));
  return r * FMA_f32(w, FMA_f32(w, c, b), a);
}

/* erfc(t) = p s2 for t >= 0; e^(-t^2) with the rounding error of t^2 */
VM double erfc_parts_f64(double t, double *s2) {
  double s1, error, square = product_f64(t, t, &error), p = exp_parts_f64(-square, &s1, s2);
  return FMA_f64(-p, error, p) * s1 * erfcx_f64(t);
}

VM double erfc_f64(double x) {
  double a = hold_f64(ABS_f64(x), 0.0, 27.4), s2, tail = erfc_parts_f64(a, &s2) * s2;
  return a < 0.5 ? 1.0 - erf_small_f64(x) : x < 0.0 ? 2.0 - tail : tail;
}

VM double erf_f64(double x) {
  double a = hold_f64(ABS_f64(x), 0.0, 6.0), s2, large = 1.0 - erfc_parts_f64(a, &s2) * s2;
  return COPYSIGN_f64(a < 1.0 ? erf_small_f64(a) : large, x);
}

VM float erf_small_f32(float x) {
  float z = x * x, p = FMA_f32(z, 7.80690389e-05f, -0.00079978531f);
  p = FMA_f32(z, FMA_f32(z, p, 0.0051871622f), -0.0268533472f);
  p = FMA_f32(z, FMA_f32(z, FMA_f32(z, p, 0.112835787f), -0.37612626f), 0.128379166f);
  return FMA_f32(x, p, x);
}

/* above 1: 1 - e^(-L(x)), a polynomial L */
VM float erf_f32(float x) {
  float a = hold_f32(ABS_f32(x), 0.0f, 4.0f), z = a * a;
  float q = FMA_f32(z, -0.000186376477f, FMA_f32(a, 0.00294763339f, -0.021837974f));
  q = FMA_f32(z, FMA_f32(z, q, FMA_f32(a, 0.103106596f, 0.63814497f)), FMA_f32(a, 1.12708914f, 0.000341524341f));
  uint32_t k;
  float r = reduce_ln2_f32(-q, &k), s = power2_f32(k);
  float large = (1.0f - s) - s * FMA_f32(r * r, em1_poly_f32(r), r);
  return COPYSIGN_f32(a < 1.0f ? erf_small_f32(a) : large, x);
}

#endif
