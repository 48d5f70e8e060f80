/* Powers, remainders and the hypotenuse. */
#ifndef VM_POW_H
#define VM_POW_H
#include "vm_exp.h"
#include "vm_log.h"

/* |x|^y = 2^(y log2|x|) in double: 0.51 ulp of float */
VM float pow_f32(float x_, float y_) {
  double x = (double)x_, y = (double)y_, a = ABS_f64(x), half = 0.5 * y;
  double p = exp2_f64(y * log2_f64(a));
  int whole = y == __builtin_trunc(y), odd = whole && half != __builtin_trunc(half);
  p = x < 0.0 && !whole && a != INF_f64 ? NAN_f64 : p;
  p = bits_f64(x) >> 63 && odd ? -p : p;
  return (float)(x == 1.0 || y == 0.0 || (x == -1.0 && ABS_f64(y) == INF_f64) ? 1.0 : p);
}

VM double pow_f64(double x, double y) { return pow(x, y); }

VM float hypot_f32(float x_, float y_) {
  double x = (double)x_, y = (double)y_, h = SQRT_f64(FMA_f64(x, x, y * y));
  return (float)(ABS_f64(x) == INF_f64 || ABS_f64(y) == INF_f64 ? INF_f64 : h);
}

VM double hypot_f64(double x, double y) {
  double a = ABS_f64(x), b = ABS_f64(y), big = a > b ? a : b;
  double scale = big > 0x1p500 ? 0x1p-600 : 1.0, back = big > 0x1p500 ? 0x1p600 : 1.0;
  scale = big < 0x1p-450 ? 0x1p600 : scale;
  back = big < 0x1p-450 ? 0x1p-600 : back;
  double u = a * scale, v = b * scale, eu, ev, uu = product_f64(u, u, &eu), vv = product_f64(v, v, &ev);
  double s = uu + vv, t = s - uu, rest = (uu - (s - t)) + (vv - t) + (eu + ev);
  double h = SQRT_f64(s);
  h = (s > 0.0 ? h + 0.5 * rest / h : h) * back;
  return a == INF_f64 || b == INF_f64 ? INF_f64 : h;
}

/* a - b trunc(a / b) exactly, where fmod_is_near */
VM float fmod_near_f32(float a_, float b_) {
  double a = (double)a_, b = (double)b_, q = __builtin_trunc(a / b);
  return COPYSIGN_f32((float)(a - q * b), a_);
}

VM double fmod_near_f64(double a, double b) {
#if VM_HAS_FMA
  double q = __builtin_trunc(a / b), r = __builtin_fma(-q, b, a), x = ABS_f64(r); /* q may be one too large */
  return COPYSIGN_f64(r != 0.0 && (r < 0.0) != (a < 0.0) ? ABS_f64(b) - x : x, a);
#else
  return fmod(a, b);
#endif
}

VM int fmod_is_near_f32(float a, float b) {
  return (ABS_f32(a) < 0x1p24f * ABS_f32(b)) & (ABS_f32(b) < INF_f32);
}

VM int fmod_is_near_f64(double a, double b) {
  return VM_HAS_FMA && ((ABS_f64(a) < 0x1p52 * ABS_f64(b)) & (ABS_f64(b) < INF_f64));
}

VM float fmod_f32(float a, float b) { return fmod_is_near_f32(a, b) ? fmod_near_f32(a, b) : fmodf(a, b); }
VM double fmod_f64(double a, double b) { return fmod_is_near_f64(a, b) ? fmod_near_f64(a, b) : fmod(a, b); }

#define S f32
#define T float
#include "vm_round.inc"
#undef S
#undef T
#define S f64
#define T double
#include "vm_round.inc"
#undef S
#undef T

#endif
