/* Logarithms: x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1; then log1p(f) by f - f^2/2 + f^3 P(f), or with
 * s = f / (2 + f) by 2 atanh(s) = 2 s + s^3 R(s^2); minimax polynomials (Remez). */
#ifndef VM_LOG_H
#define VM_LOG_H
#include "vm_base.h"

#define LN2_HI_f64 0x1.62e42feep-1 /* 32 bits: times an exponent it is exact */
#define LN2_LO_f64 0x1.a39ef35793c76p-33

VM float log_f32(float x) {
  float y = x < 1.17549435e-38f ? x * 8388608.0f : x;
  uint32_t u = bits_f32(y) - 0x3f3504f3u; /* the bits of sqrt(1/2) */
  int32_t k = (int32_t)u >> 23;
  float f = from_f32((u & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  float kf = (float)k - (x < 1.17549435e-38f ? 23.0f : 0.0f), z = f * f;
  float a = FMA_f32(f, -0.250008196f, 0.333333313f), b = FMA_f32(f, -0.166233569f, 0.200012267f);
  float c = FMA_f32(f, -0.131601855f, 0.142017558f), d = FMA_f32(f, -0.076345101f, 0.127615944f);
  float p = FMA_f32(z * z, FMA_f32(z, d, c), FMA_f32(z, b, a));
  float t = FMA_f32(kf, -2.12194440e-4f, z * FMA_f32(f, p, -0.5f));
  t = FMA_f32(kf, 0.693359375f, f + t);
  t = x == INF_f32 ? x : t;
  return x > 0.0f ? t : x == 0.0f ? -INF_f32 : NAN_f32;
}

/* x > 0 as 2^k (1 + f) */
VM double log_parts_f64(double x, double *k) {
  double y = x < 0x1p-1022 ? x * 0x1p54 : x;
  uint64_t u = bits_f64(y) - 0x3fe6a09e667f3bcdu + 0x4000000000000000u;
  *k = from_f64((u >> 52) | 0x4330000000000000u) - (x < 0x1p-1022 ? 0x1p52 + 1078.0 : 0x1p52 + 1024.0);
  return from_f64((u & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu) - 1.0;
}

/* log1p(f) = f - tail: the tail to add the small pieces to before the last rounding */
VM double log_tail_f64(double f, double small) {
  double s = f / (2.0 + f), z = s * s, w = z * z, h = 0.5 * f * f;
  double a = FMA_f64(w, FMA_f64(w, 0.15314100336246977, 0.22222198616099922), 0.39999999999416935);
  double b = FMA_f64(w, FMA_f64(w, FMA_f64(w, 0.14795480991523999, 0.18183562249472696), 0.28571428741933769),
                     0.6666666666666734);
  double r = FMA_f64(w, a, z * b);
  return h - FMA_f64(s, h + r, small);
}

VM double log_edges_f64(double x, double y) {
  y = x == INF_f64 ? x : y;
  return x > 0.0 ? y : x == 0.0 ? -INF_f64 : NAN_f64;
}

VM double log_f64(double x) {
  double k, f = log_parts_f64(x, &k), t = log_tail_f64(f, k * LN2_LO_f64);
  return log_edges_f64(x, FMA_f64(k, LN2_HI_f64, f - t));
}

/* u = 1 + x loses c; log1p(x) = log(u) + c / u, with f = x itself where k = 0 (Kahan) */
VM double log1p_f64(double x) {
  double u = 1.0 + x, k, f = log_parts_f64(u, &k);
  double c = x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x);
  f = k == 0.0 ? x : f;
  c = k == 0.0 ? 0.0 : c / u;
  double y = FMA_f64(k, LN2_HI_f64, f - log_tail_f64(f, FMA_f64(k, LN2_LO_f64, c)));
  y = x == INF_f64 ? x : y;
  y = ABS_f64(x) < 0x1p-60 ? x : y;
  return x > -1.0 ? y : x == -1.0 ? -INF_f64 : NAN_f64;
}

/* log1p(e) for e in [0, 1] */
VM float log1p_unit_f32(float e) {
  float s = e / (2.0f + e), z = s * s;
  float p = FMA_f32(z, FMA_f32(z, 0.24246344f, 0.214437187f), 0.286152184f);
  p = FMA_f32(z, FMA_f32(z, p, 0.399989486f), 0.666666746f);
  return FMA_f32(-s, FMA_f32(-z, p, e), e);
}

VM double log1p_unit_f64(double e) { return log1p_f64(e); }

/* log(m) = hi + lo with 21 bits in hi, times 1 / ln(base) in two pieces; k log_base(2) is added by the caller */
VM double log_base_f64(double f, double c_hi, double c_lo, double *lo) {
  double h = 0.5 * f * f, hi = from_f64(bits_f64(f - h) & 0xffffffff00000000u);
  double rest = (f - hi) - h + (h - log_tail_f64(f, 0.0));
  *lo = FMA_f64(rest, c_hi, FMA_f64(rest, c_lo, hi * c_lo));
  return hi * c_hi;
}

VM double log2_f64(double x) {
  double k, f = log_parts_f64(x, &k), lo, hi = log_base_f64(f, 0x1.71547652p+0, 0x1.705fc2eefa2p-33, &lo);
  double w = k + hi;
  return log_edges_f64(x, w + (lo + ((k - w) + hi)));
}

VM double log10_f64(double x) {
  double k, f = log_parts_f64(x, &k), lo, hi = log_base_f64(f, 0x1.bcb7b152p-2, 0x1.b9438ca9aadd5p-36, &lo);
  double kh = k * 0x1.34413509f6p-2, w = kh + hi; /* log10(2) in two pieces, the first times k exact */
  return log_edges_f64(x, w + (FMA_f64(k, 0x1.9fef311f12b36p-42, lo) + ((kh - w) + hi)));
}

VM double asinh_f64(double x) {
  double a = ABS_f64(x), h = SQRT_f64(FMA_f64(a, a, 1.0)), t = a + a * (a / (1.0 + h));
  int large = a > 0x1p60;
  double y = log1p_f64(large ? a : t) + (large ? 0.69314718055994529 : 0.0);
  return COPYSIGN_f64(y, x);
}

VM double acosh_f64(double x) {
  double t = x - 1.0, u = t + SQRT_f64(FMA_f64(t, t, 2.0 * t));
  int large = x > 0x1p60;
  double y = log1p_f64(large ? x : u) + (large ? 0.69314718055994529 : 0.0);
  return x < 1.0 ? NAN_f64 : y;
}

VM double atanh_f64(double x) {
  double a = ABS_f64(x);
  return COPYSIGN_f64(0.5 * log1p_f64(2.0 * a / (1.0 - a)), x);
}

#endif
