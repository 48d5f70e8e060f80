/* The backward pass of differential dynamic programming with limits on the inputs, for the model of each knot
 *
 *   dx+ = A dx + B du + gap,  h (l + lx'dx + lu'du + 1/2 dx'lxx dx + du'lux dx + 1/2 du'luu du),  lo <= du <= hi
 *
 * It gives du = k - K dx and the cost to go Vx, Vxx. At each knot the inputs come from a projected Newton method; those
 * that end at a limit have no feedback. Regularisation: mu_u |du|^2 / 2 is part of the cost, so that the knots before
 * know that it will be paid; mu_x |A dx + B du|^2 / 2 counts in the minimisation alone (Tassa, Erez, Todorov 2012,
 * eq. 10; Tassa, Mansard, Todorov 2014, section IV). One thread: knots depend on each other and are small. */
#include "ddp_box.h"

enum { K_OUT, GAIN, VX, VXX, INFO, A_, B_, LX, LU, LXX, LUX, LUU, LX_END, LXX_END, H_, LO, HI, GAP, N_ARGS };
enum { FAILED, SLOPE, CURVATURE, GRADIENT, SLOPE_GAP, CURVATURE_GAP, N_INFO };

static size_t doubles(int64_t n, int64_t m) { return (size_t)(2 * n * n + 4 * n * m + 3 * m * m + 3 * n + 6 * m); }

static Room room_of(const Call *call, int64_t n, int64_t m) {
  double *p = call->work;
  Room r;
  r.VA = p, p += n * n;
  r.Qxx = p, p += n * n;
  r.VB = p, p += n * m;
  r.Qux = p, p += m * n;
  r.G = p, p += m * n;
  r.grad = p, p += m * n + 2 * m;
  r.Quu = p, p += m * m;
  r.H = p, p += m * m;
  r.L = p, p += m * m;
  r.Qx = p, p += n;
  r.v = p, p += n;
  r.z = p, p += n;
  r.Qu = p, p += m;
  r.y = p, p += m;
  r.free = (int *)p;
  return r;
}

static inline double *row(const Call *call, int which, int64_t k) {
  const Array *a = &call->args[which];
  return (double *)a->data + k * a->stride[0];
}

/* columns that stay in registers while a sum runs */
typedef double V8 __attribute__((vector_size(64), aligned(8), may_alias));
typedef double V4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef double V2 __attribute__((vector_size(16), aligned(8), may_alias));

#define ADD_COLUMNS(V) \
  for (int64_t i = 0; i < p; i++) { \
    V sum = {0}; \
    for (int64_t k = 0; k < r; k++) sum += a[k * p + i] * *(const V *)(b + k * q + j); \
    *(V *)(out + i * q + j) += scale * sum; \
  }

/* out (p, q) += scale a' b, a (r, p), b (r, q) */
static inline __attribute__((always_inline)) void add_product(double *restrict out, const double *a, const double *b,
                                                              double scale, int64_t r, int64_t p, int64_t q) {
  int64_t j = 0;
#ifdef __AVX512F__ /* vectors that the processor has not go through memory */
  for (; j + 8 <= q; j += 8) ADD_COLUMNS(V8)
#endif
#ifdef __AVX__
  for (; j + 4 <= q; j += 4) ADD_COLUMNS(V4)
#endif
  for (; j + 2 <= q; j += 2) ADD_COLUMNS(V2)
  if (q - j >= 1)
    for (int64_t i = 0; i < p; i++) {
      double sum = 0;
      for (int64_t k = 0; k < r; k++) sum += a[k * p + i] * b[k * q + j];
      out[i * q + j] += scale * sum;
    }
}

static inline __attribute__((always_inline)) void scaled(double *restrict out, const double *a, double s, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = s * a[i];
}

static inline __attribute__((always_inline)) void model(const Call *call, const Room *r, int64_t k, int64_t n,
                                                        int64_t m) {
  const double *A = row(call, A_, k), *B = row(call, B_, k), *V = row(call, VXX, k + 1), *V1 = row(call, VX, k + 1);
  double h = *row(call, H_, k);
  memcpy(r->v, V1, (size_t)n * sizeof *r->v);
  if (call->args[GAP].data) add_product(r->v, V, row(call, GAP, k), 1, n, n, 1);
  memset(r->VA, 0, (size_t)(n * n) * sizeof *r->VA);
  memset(r->VB, 0, (size_t)(n * m) * sizeof *r->VB);
  add_product(r->VA, V, A, 1, n, n, n);
  add_product(r->VB, V, B, 1, n, n, m);
  scaled(r->Qx, row(call, LX, k), h, n);
  scaled(r->Qu, row(call, LU, k), h, m);
  scaled(r->Qxx, row(call, LXX, k), h, n * n);
  scaled(r->Qux, row(call, LUX, k), h, m * n);
  scaled(r->Quu, row(call, LUU, k), h, m * m);
  add_product(r->Qx, A, r->v, 1, n, n, 1);
  add_product(r->Qu, B, r->v, 1, n, m, 1);
  add_product(r->Qxx, A, r->VA, 1, n, n, n);
  add_product(r->Qux, B, r->VA, 1, n, m, n);
  add_product(r->Quu, B, r->VB, 1, n, m, m);
  for (int64_t i = 0; i < m; i++) r->Quu[i * m + i] += call->floats[0];
  memcpy(r->H, r->Quu, (size_t)(m * m) * sizeof *r->H);
  memcpy(r->G, r->Qux, (size_t)(m * n) * sizeof *r->G);
  if (call->floats[1] > 0) {
    add_product(r->H, B, B, call->floats[1], n, m, m);
    add_product(r->G, B, A, call->floats[1], n, m, n);
  }
}

/* the feedback of the free inputs; the others have none */
static inline __attribute__((always_inline)) void gains(const Room *r, double *K, int64_t n_free, int64_t n, int64_t m) {
  double *packed = r->grad;
  for (int64_t i = 0; i < n_free; i++) memcpy(packed + i * n, r->G + r->free[i] * n, (size_t)n * sizeof *K);
  solve(r, m, n_free, packed, n);
  memset(K, 0, (size_t)(m * n) * sizeof *K);
  for (int64_t i = 0; i < n_free; i++) memcpy(K + r->free[i] * n, packed + i * n, (size_t)n * sizeof *K);
}

/* Vx = Qx - K'(Quu k + Qu) + Qux'k, Vxx = Qxx + K'(Quu K - Qux) - Qux'K */
static inline __attribute__((always_inline)) void cost_to_go(const Room *r, const double *k, const double *K, double *Vx,
                                                             double *Vxx, double *info, int64_t n, int64_t m) {
  for (int64_t i = 0; i < m; i++) {
    double s = 0;
    for (int64_t j = 0; j < m; j++) s += r->Quu[i * m + j] * k[j];
    info[SLOPE] += k[i] * r->Qu[i];
    info[CURVATURE] += k[i] * s;
    r->y[i] = s + r->Qu[i];
  }
  memcpy(Vx, r->Qx, (size_t)n * sizeof *Vx);
  add_product(Vx, K, r->y, -1, m, n, 1);
  add_product(Vx, r->Qux, k, 1, m, n, 1);
  double *W = r->G;
  for (int64_t i = 0; i < m * n; i++) W[i] = -r->Qux[i];
  add_product(W, r->Quu, K, 1, m, m, n);
  add_product(r->Qxx, K, W, 1, m, n, n);
  add_product(r->Qxx, r->Qux, K, -1, m, n, n);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) Vxx[i * n + j] = 0.5 * (r->Qxx[i * n + j] + r->Qxx[j * n + i]);
}

/* how far the gradient by the inputs is from zero, or from pointing out of the limits */
static double stationarity(const Room *r, const double *lo, const double *hi, int64_t m, double worst) {
  for (int64_t i = 0; i < m; i++) {
    double g = r->Qu[i], out = (lo[i] >= 0 && g > 0) || (hi[i] <= 0 && g < 0) ? 0 : fabs(g);
    if (out > worst) worst = out;
  }
  return worst;
}

static inline __attribute__((always_inline)) void backward(const Call *call, int64_t T, int64_t n, int64_t m) {
  Room r = room_of(call, n, m);
  double *info = call->args[INFO].data;
  memset(info, 0, N_INFO * sizeof *info);
  info[FAILED] = -1;
  memcpy(row(call, VX, T), call->args[LX_END].data, (size_t)n * sizeof(double));
  memcpy(row(call, VXX, T), call->args[LXX_END].data, (size_t)(n * n) * sizeof(double));
  for (int64_t k = T - 1; k >= 0; k--) {
    double *u = row(call, K_OUT, k), *K = row(call, GAIN, k);
    model(call, &r, k, n, m);
    info[GRADIENT] = stationarity(&r, row(call, LO, k), row(call, HI, k), m, info[GRADIENT]);
    int64_t n_free = boxed(&r, u, row(call, LO, k), row(call, HI, k), m);
    if (n_free < 0) {
      info[FAILED] = (double)k;
      return;
    }
    gains(&r, K, n_free, n, m);
    cost_to_go(&r, u, K, row(call, VX, k), row(call, VXX, k), info, n, m);
  }
}

/* with gaps: the first and second derivative of the cost along the linear model's own step */
static void along(const Call *call, int64_t T, int64_t n, int64_t m) {
  Room r = room_of(call, n, m);
  double *info = call->args[INFO].data, *dx = r.v, *next = r.z, *du = r.y;
  memset(dx, 0, (size_t)n * sizeof *dx);
  for (int64_t k = 0; k <= T; k++) {
    const double *lx = k < T ? row(call, LX, k) : call->args[LX_END].data;
    const double *lxx = k < T ? row(call, LXX, k) : call->args[LXX_END].data;
    double h = k < T ? *row(call, H_, k) : 1, slope = 0, curve = 0;
    for (int64_t i = 0; i < n; i++) {
      slope += lx[i] * dx[i];
      for (int64_t j = 0; j < n; j++) curve += dx[i] * lxx[i * n + j] * dx[j];
    }
    if (k < T) {
      const double *lu = row(call, LU, k), *luu = row(call, LUU, k), *lux = row(call, LUX, k);
      const double *K = row(call, GAIN, k), *A = row(call, A_, k), *B = row(call, B_, k);
      for (int64_t i = 0; i < m; i++) {
        du[i] = row(call, K_OUT, k)[i];
        for (int64_t j = 0; j < n; j++) du[i] -= K[i * n + j] * dx[j];
      }
      for (int64_t i = 0; i < m; i++) {
        slope += lu[i] * du[i];
        for (int64_t j = 0; j < m; j++) curve += du[i] * luu[i * m + j] * du[j];
        for (int64_t j = 0; j < n; j++) curve += 2 * du[i] * lux[i * n + j] * dx[j];
      }
      for (int64_t i = 0; i < n; i++) {
        next[i] = row(call, GAP, k)[i];
        for (int64_t j = 0; j < n; j++) next[i] += A[i * n + j] * dx[j];
        for (int64_t j = 0; j < m; j++) next[i] += B[i * m + j] * du[j];
      }
      memcpy(dx, next, (size_t)n * sizeof *dx);
    }
    info[SLOPE_GAP] += h * slope;
    info[CURVATURE_GAP] += h * curve;
  }
}

static void run(const Call *call, const Team *team) {
  int64_t T = call->args[GAIN].shape[0], m = call->args[GAIN].shape[1], n = call->args[GAIN].shape[2];
  double *info = call->args[INFO].data;
  if (team->tid) return;
  if (n == 4 && m == 1) backward(call, T, 4, 1); /* sizes the compiler knows make the loops vector code */
  else if (n == 2 && m == 1) backward(call, T, 2, 1);
  else if (n == 6 && m == 2) backward(call, T, 6, 2);
  else if (n == 12 && m == 4) backward(call, T, 12, 4);
  else if (n == 14 && m == 7) backward(call, T, 14, 7);
  else backward(call, T, n, m);
  if (call->args[GAP].data && info[FAILED] < 0) along(call, T, n, m);
}

static size_t workspace(const Call *call, int nt) {
  (void)nt;
  int64_t m = call->args[GAIN].shape[1], n = call->args[GAIN].shape[2];
  return doubles(n, m) * sizeof(double);
}

/* float64 with these sizes, rows one after the other; the first axis may have any stride */
static int fits(const Array *a, int ndim, const int64_t *shape, int first) {
  int64_t step = 1;
  if (!a->data || a->dtype != DL_F64 || a->ndim != ndim) return 0;
  for (int i = ndim - 1; i >= 0; i--) {
    if (a->shape[i] != shape[i]) return 0;
    if (i >= first && shape[i] != 1 && a->stride[i] != step) return 0;
    step *= shape[i];
  }
  return 1;
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != N_ARGS || call->n_floats != 2) return "wants 5 outputs, 13 inputs and 2 numbers";
  if (!a[GAIN].data || a[GAIN].ndim != 3) return "K must be (T, m, n)";
  int64_t T = a[GAIN].shape[0], m = a[GAIN].shape[1], n = a[GAIN].shape[2], info = N_INFO;
  if (m < 1 || n < 1) return "wants at least one state and one input";
  const int64_t Tm[] = {T, m}, Tn[] = {T, n}, Tmn[] = {T, m, n}, Tnn[] = {T, n, n}, Tnm[] = {T, n, m};
  const int64_t Tmm[] = {T, m, m}, En[] = {T + 1, n}, Enn[] = {T + 1, n, n};
  int good = fits(&a[K_OUT], 2, Tm, 1) && fits(&a[GAIN], 3, Tmn, 1) && fits(&a[VX], 2, En, 1) &&
             fits(&a[VXX], 3, Enn, 1) && fits(&a[INFO], 1, &info, 0) && fits(&a[A_], 3, Tnn, 1) &&
             fits(&a[B_], 3, Tnm, 1) && fits(&a[LX], 2, Tn, 1) && fits(&a[LU], 2, Tm, 1) &&
             fits(&a[LXX], 3, Tnn, 1) && fits(&a[LUX], 3, Tmn, 1) && fits(&a[LUU], 3, Tmm, 1) &&
             fits(&a[LX_END], 1, Tn + 1, 0) && fits(&a[LXX_END], 2, Tnn + 1, 0) && fits(&a[H_], 1, Tm, 1) &&
             fits(&a[LO], 2, Tm, 1) && fits(&a[HI], 2, Tm, 1) && (!a[GAP].data || fits(&a[GAP], 2, Tn, 1));
  return good ? NULL : "the arrays must be float64 of sizes that fit K (T, m, n), each knot's entries contiguous";
}

const Kernel K(ddp_backward) = {"ddp_backward", run, workspace, check};
