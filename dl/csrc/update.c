/* What an optimiser does to its parameters, in place, over many tensors in one call: adam, sgd, rmsprop; ema of
 * parameters; scale_inplace of gradients by their norm. The inputs are some numbers (0-d arrays), then the tensors in
 * groups: p0, g0, m0, v0, p1, ... The threads share the elements of all tensors, one after the other. Formulas as in
 * torch.optim. The file includes itself once per type. */
#ifndef REAL
#include <math.h>

#include "strided.h"

typedef enum { ADAM, SGD, RMSPROP, EMA, SCALE } Rule;
enum { MOST = 5, CHUNK = 256 }; /* tensors in a group; elements copied at a time where they are strided */

typedef struct {
  Rule rule;
  int first, group, groups; /* index of the first tensor, tensors in a group, groups */
  unsigned writes;          /* bit i: tensor i of a group is written to */
  int flag[2];
  double c[8];
} Plan;

/* the tensors of a group are dense and lie alike, so that they may be taken as they come in memory */
static int is_flat(const Array *a, int group) {
  if (!is_dense(a)) return 0;
  for (int i = 1; i < group; i++)
    for (int j = 0; j < a->ndim; j++)
      if (a->shape[j] > 1 && a[i].stride[j] != a->stride[j]) return 0;
  return 1;
}

#define REAL 32
#include "update.c"
#undef REAL
#define REAL 64
#include "update.c"

static void sweep(const Plan *plan, const Call *call, const Team *team) {
  const Array *a = call->args + plan->first;
  int64_t total = 0, begin, end;
  for (int i = 0; i < plan->groups; i++) total += array_size(a + i * plan->group);
  team_split(team, total, 64, &begin, &end);
  for (int i = 0; i < plan->groups && end > 0; i++, a += plan->group) {
    int64_t n = array_size(a), from = begin > 0 ? begin : 0, to = end < n ? end : n;
    if (from < to) (a->dtype == DL_F32 ? sweep_f32 : sweep_f64)(plan, a, from, to);
    begin -= n, end -= n;
  }
}

static int tensors(const Call *call, int first, int group) { return (call->n_args - first) / group; }
static double number(const Call *call, int i) { return *(const double *)call->args[i].data; }

/* The count that this step has, the first being 1; the array is raised once all threads have read it. The last integer
 * says that it was raised before: a step in several calls begins with one that has no tensors. */
static int64_t next_step(const Call *call, const Team *team) {
  int64_t *count = call->args[0].data, step = *count + 1;
  if (call->ints[call->n_ints - 1]) return *count;
  team_barrier(team);
  if (team->tid == 0) *count = step;
  return step;
}

static void adam(const Call *call, const Team *team) {
  const double *f = call->floats, lr = number(call, 1);
  double step = (double)next_step(call, team), rate = lr / (1 - pow(f[0], step)), root = sqrt(1 - pow(f[1], step));
  Plan plan = {ADAM, 2, 4, tensors(call, 2, 4), 1 | 4 | 8, {call->ints[0] != 0},
               {1 - f[0], f[1], 1 - f[1], f[2], f[3], 1 - lr * f[3], rate, root}};
  sweep(&plan, call, team);
}

static int sgd_group(const Call *call) { return call->floats[0] != 0 ? 3 : 2; }

static void sgd(const Call *call, const Team *team) {
  const double *f = call->floats, lr = number(call, 1);
  int group = sgd_group(call), first = next_step(call, team) == 1;
  Plan plan = {SGD, 2, group, tensors(call, 2, group), 1 | 4, {group == 3, call->ints[0] != 0},
               {lr, first ? 0 : f[0], first ? 1 : 1 - f[1], f[2], f[0]}};
  sweep(&plan, call, team);
}

static int rmsprop_group(const Call *call) { return 3 + (call->ints[0] != 0) + (call->floats[3] != 0); }

static void rmsprop(const Call *call, const Team *team) {
  const double *f = call->floats, lr = number(call, 1);
  int group = rmsprop_group(call);
  next_step(call, team);
  Plan plan = {RMSPROP, 2, group, tensors(call, 2, group), 1 | 4 | 8 | 16, {call->ints[0] != 0, f[3] != 0},
               {lr, f[0], 1 - f[0], f[1], f[2], f[3]}};
  sweep(&plan, call, team);
}

static void ema(const Call *call, const Team *team) {
  Plan plan = {EMA, 1, 2, tensors(call, 1, 2), 1, {0}, {1 - number(call, 0)}};
  sweep(&plan, call, team);
}

static void scale_inplace(const Call *call, const Team *team) {
  double factor = call->floats[0] / (number(call, 0) + 1e-6);
  Plan plan = {SCALE, 1, 1, tensors(call, 1, 1), 1, {0}, {factor}};
  if (!(factor >= 1)) sweep(&plan, call, team);
}

static int is_number(const Array *a, int dtype) { return a->data && a->dtype == dtype && a->ndim == 0; }

static const char *check_groups(const Call *call, int first, int group) {
  if ((call->n_args - first) % group) return "wants the same number of tensors for each parameter";
  for (int i = first; i < call->n_args; i++)
    if (!alike(&call->args[first + (i - first) / group * group], &call->args[i]))
      return "a parameter, its gradient and its state must have one shape and one dtype, float32 or float64";
  return NULL;
}

static const char *check_stepping(const Call *call, int ints, int floats) {
  if (call->n_args < 2 || !is_number(call->args, DL_I64) || !is_number(call->args + 1, DL_F64))
    return "wants the step count (0-d int64) and the learning rate (0-d float64) first";
  return call->n_ints == ints && call->n_floats == floats ? NULL : "got too few or too many numbers";
}

static const char *check_adam(const Call *call) {
  const char *wrong = check_stepping(call, 2, 4);
  return wrong ? wrong : check_groups(call, 2, 4);
}

static const char *check_sgd(const Call *call) {
  const char *wrong = check_stepping(call, 2, 3);
  return wrong ? wrong : check_groups(call, 2, sgd_group(call));
}

static const char *check_rmsprop(const Call *call) {
  const char *wrong = check_stepping(call, 2, 4);
  return wrong ? wrong : check_groups(call, 2, rmsprop_group(call));
}

static const char *check_ema(const Call *call) {
  if (call->n_args < 1 || !is_number(call->args, DL_F64)) return "wants the decay (0-d float64) first";
  return check_groups(call, 1, 2);
}

static const char *check_scale(const Call *call) {
  if (call->n_args < 1 || !is_number(call->args, DL_F64) || call->n_floats != 1)
    return "wants the norm (0-d float64) first, and the largest norm";
  return check_groups(call, 1, 1);
}

const Kernel K(adam) = {"adam", adam, NULL, check_adam};
const Kernel K(sgd) = {"sgd", sgd, NULL, check_sgd};
const Kernel K(rmsprop) = {"rmsprop", rmsprop, NULL, check_rmsprop};
const Kernel K(ema) = {"ema", ema, NULL, check_ema};
const Kernel K(scale_inplace) = {"scale_inplace", scale_inplace, NULL, check_scale};

#else /* once per type */
#include "real.h"

/* c: 1 - beta1, beta2, 1 - beta2, eps, weight decay, 1 - lr weight decay, lr / bias, sqrt(bias of v) */
static void R(adam)(T *const *x, int64_t n, const T *c, const int *decoupled) {
  FOR_LANES(n, V p = vtail(x[0] + i, m, 0), g = vtail(x[1] + i, m, 0);
            V mean = vtail(x[2] + i, m, 0), v = vtail(x[3] + i, m, 0);
            if (*decoupled) p = p * c[5];
            else if (c[4] != 0) g = g + c[4] * p;
            mean = mean + (g - mean) * c[0]; v = v * c[1] + c[2] * g * g;
            vstore_tail(x[2] + i, mean, m); vstore_tail(x[3] + i, v, m);
            vstore_tail(x[0] + i, p - c[6] * mean / (vsqrt(v) / c[7] + c[3]), m););
}

/* c: lr, momentum and 1 - dampening of this step, weight decay, momentum */
static void R(sgd)(T *const *x, int64_t n, const T *c, const int *flag) {
  FOR_LANES(n, V p = vtail(x[0] + i, m, 0), g = vtail(x[1] + i, m, 0);
            if (c[3] != 0) g = g + c[3] * p;
            if (flag[0]) {
              V moving = vtail(x[2] + i, m, 0) * c[1] + c[2] * g;
              vstore_tail(x[2] + i, moving, m);
              g = flag[1] ? g + c[4] * moving : moving;
            }
            vstore_tail(x[0] + i, p - c[0] * g, m););
}

/* c: lr, alpha, 1 - alpha, eps, weight decay, momentum; x: p, g, mean square, [mean], [momentum] */
static void R(rmsprop)(T *const *x, int64_t n, const T *c, const int *flag) {
  T *moving = flag[1] ? x[flag[0] ? 4 : 3] : NULL;
  FOR_LANES(n, V p = vtail(x[0] + i, m, 0), g = vtail(x[1] + i, m, 0), square = vtail(x[2] + i, m, 0), variance;
            if (c[4] != 0) g = g + c[4] * p;
            square = square * c[1] + c[2] * g * g; vstore_tail(x[2] + i, square, m); variance = square;
            if (flag[0]) {
              V mean = vtail(x[3] + i, m, 0);
              mean = mean + (g - mean) * c[2];
              vstore_tail(x[3] + i, mean, m);
              variance = square - mean * mean;
            }
            g = g / (vsqrt(variance) + c[3]);
            if (moving) {
              g = vtail(moving + i, m, 0) * c[5] + g;
              vstore_tail(moving + i, g, m);
            }
            vstore_tail(x[0] + i, p - c[0] * g, m););
}

static void R(ema)(T *const *x, int64_t n, const T *c) {
  FOR_LANES(n, V a = vtail(x[0] + i, m, 0); vstore_tail(x[0] + i, a + (vtail(x[1] + i, m, 0) - a) * c[0], m););
}

static void R(scale)(T *const *x, int64_t n, const T *c) {
  FOR_LANES(n, vstore_tail(x[0] + i, vtail(x[0] + i, m, 0) * c[0], m););
}

static void R(apply)(const Plan *plan, T *const *x, int64_t n) {
  T c[8];
  for (int i = 0; i < 8; i++) c[i] = (T)plan->c[i];
  switch (plan->rule) {
    case ADAM: R(adam)(x, n, c, plan->flag); break;
    case SGD: R(sgd)(x, n, c, plan->flag); break;
    case RMSPROP: R(rmsprop)(x, n, c, plan->flag); break;
    case EMA: R(ema)(x, n, c); break;
    case SCALE: R(scale)(x, n, c); break;
  }
}

/* elements from ... from + n between an array of any strides and dense memory */
static void R(copy_elements)(const Array *a, int64_t from, int64_t n, T *dense, int out) {
  int64_t index[DL_MAXDIM], rest = from;
  T *p = a->data;
  for (int d = a->ndim - 1; d >= 0; d--) {
    index[d] = rest % a->shape[d], rest /= a->shape[d];
    p += index[d] * a->stride[d];
  }
  for (int64_t i = 0; i < n; i++) {
    if (out) *p = dense[i];
    else dense[i] = *p;
    for (int d = a->ndim - 1; d >= 0; d--) {
      p += a->stride[d];
      if (++index[d] < a->shape[d]) break;
      p -= a->stride[d] * a->shape[d];
      index[d] = 0;
    }
  }
}

static void R(sweep)(const Plan *plan, const Array *a, int64_t from, int64_t to) {
  T *x[MOST], room[MOST][CHUNK];
  int flat = is_flat(a, plan->group), all = 1, dense[MOST];
  for (int i = 0; i < plan->group; i++) all &= dense[i] = flat || array_contiguous(a + i);
  int64_t step = all ? to - from : CHUNK;
  for (; from < to; from += step) {
    int64_t n = to - from < step ? to - from : step;
    for (int i = 0; i < plan->group; i++) {
      x[i] = dense[i] ? (T *)a[i].data + from : room[i];
      if (!dense[i]) R(copy_elements)(a + i, from, n, x[i], 0);
    }
    R(apply)(plan, x, n);
    for (int i = 0; i < plan->group; i++)
      if (!dense[i] && plan->writes >> i & 1) R(copy_elements)(a + i, from, n, x[i], 1);
  }
}
#endif
