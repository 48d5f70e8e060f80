/* The inputs of one knot: the minimum of a small convex quadratic between limits. */
#ifndef DDP_BOX_H
#define DDP_BOX_H
#include <math.h>
#include <string.h>

#include "dl.h"

enum { MOST_NEWTON = 100 };

typedef struct {
  double *VA, *VB, *Qxx, *Qux, *Quu, *H, *G, *Qx, *Qu, *v, *L, *y, *z, *grad;
  int *free;
} Room;

/* L of H = LL' over the free inputs, packed; 0 where H is not positive definite */
static inline __attribute__((always_inline)) int factor(const Room *r, int64_t m, int64_t n_free) {
  for (int64_t i = 0; i < n_free; i++)
    for (int64_t j = 0; j <= i; j++) {
      double s = r->H[r->free[i] * m + r->free[j]];
      for (int64_t l = 0; l < j; l++) s -= r->L[i * m + l] * r->L[j * m + l];
      if (i == j) {
        if (!(s > 1e-14 * fabs(r->H[r->free[i] * m + r->free[i]])) || !(s > 0) || isinf(s)) return 0;
        r->L[i * m + i] = sqrt(s);
      } else {
        r->L[i * m + j] = s / r->L[j * m + j];
      }
    }
  return 1;
}

/* b <- H^-1 b over the free inputs, b (n_free, q) with rows `step` apart */
static inline __attribute__((always_inline)) void solve(const Room *r, int64_t m, int64_t n_free, double *b, int64_t q) {
  for (int64_t i = 0; i < n_free; i++) {
    for (int64_t l = 0; l < i; l++)
      for (int64_t j = 0; j < q; j++) b[i * q + j] -= r->L[i * m + l] * b[l * q + j];
    for (int64_t j = 0; j < q; j++) b[i * q + j] /= r->L[i * m + i];
  }
  for (int64_t i = n_free - 1; i >= 0; i--) {
    for (int64_t l = i + 1; l < n_free; l++)
      for (int64_t j = 0; j < q; j++) b[i * q + j] -= r->L[l * m + i] * b[l * q + j];
    for (int64_t j = 0; j < q; j++) b[i * q + j] /= r->L[i * m + i];
  }
}

static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/* the value of 1/2 x'Hx + x'q, and its gradient */
static inline __attribute__((always_inline)) double value(const Room *r, const double *x, double *grad, int64_t m) {
  double sum = 0;
  for (int64_t i = 0; i < m; i++) {
    double s = 0;
    for (int64_t j = 0; j < m; j++) s += r->H[i * m + j] * x[j];
    sum += x[i] * (0.5 * s + r->Qu[i]);
    if (grad) grad[i] = s + r->Qu[i];
  }
  return sum;
}

/* x minimises 1/2 x'Hx + x'Qu over lo <= x <= hi; the free inputs are in r->free and their factor in L. The number of
 * free inputs, -1 where H is not positive definite there. */
static inline __attribute__((always_inline)) int64_t boxed(const Room *r, double *x, const double *lo, const double *hi,
                                                           int64_t m) {
  int64_t n_free = 0;
  double old = 0;
  for (int64_t i = 0; i < m; i++) x[i] = clamp(0, lo[i], hi[i]);
  for (int round = 0; round < MOST_NEWTON; round++) {
    double now = value(r, x, r->grad, m), slope = 0, size = 0;
    n_free = 0;
    for (int64_t i = 0; i < m; i++)
      if (!((x[i] <= lo[i] && r->grad[i] > 0) || (x[i] >= hi[i] && r->grad[i] < 0))) {
        r->y[n_free] = r->grad[i];
        r->free[n_free++] = (int)i;
      }
    if (n_free == 0) return 0;
    if (!factor(r, m, n_free)) return -1;
    if (round && old - now <= 1e-15 * fabs(old)) return n_free;
    old = now;
    solve(r, m, n_free, r->y, 1);
    for (int64_t i = 0; i < n_free; i++) slope += r->y[i] * r->grad[r->free[i]], size += fabs(r->y[i]);
    if (!(slope > 0)) return n_free;
    double step = 1, *trial = r->grad + m;
    int inside = 1;
    for (; step > 1e-12; step *= 0.6) {
      memcpy(trial, x, (size_t)m * sizeof *x);
      for (int64_t i = 0; i < n_free; i++) {
        int64_t at = r->free[i];
        double wanted = x[at] - step * r->y[i];
        trial[at] = clamp(wanted, lo[at], hi[at]);
        inside &= trial[at] == wanted;
      }
      double gain = 0;
      for (int64_t i = 0; i < m; i++) gain += r->grad[i] * (x[i] - trial[i]);
      if (inside || (gain > 0 && value(r, trial, NULL, m) <= now - 0.1 * gain)) break;
      inside = 1;
    }
    if (step <= 1e-12) return n_free;
    memcpy(x, trial, (size_t)m * sizeof *x);
    if (inside && n_free == m) return n_free; /* the minimum without limits lies inside them */
  }
  return n_free;
}

#endif
