/* softmax, log_softmax, logsumexp and their gradients along one axis. The file includes itself once per type. */
#ifndef REAL
#include "softmax.h"

enum { SOFTMAX, LOG_SOFTMAX };

static int axis_of(const Call *call) { return (int)call->ints[0]; }

#define REAL 32
#include "softmax.c"
#undef REAL
#define REAL 64
#include "softmax.c"

static int axis_fits(const Call *call, const Array *a) {
  return call->n_ints == 1 && call->ints[0] >= 0 && call->ints[0] < (a->ndim > 0 ? a->ndim : 1);
}

static const char *check_along(const Call *call) {
  if (call->n_args < 2) return "wants an output and an input at least";
  for (int i = 1; i < call->n_args; i++)
    if (!alike(&call->args[0], &call->args[i])) return "wants arrays of one shape, float32 or float64 alike";
  return axis_fits(call, &call->args[0]) ? NULL : "dim is outside the array's dimensions";
}

static const char *check_forward(const Call *call) {
  return call->n_args == 2 ? check_along(call) : "wants (y; x)";
}

static const char *check_backward(const Call *call) {
  return call->n_args == 3 ? check_along(call) : "wants (dx; g, y)";
}

static const char *check_logsumexp(const Call *call) {
  if (call->n_args != 2 || !is_real(&call->args[0]) || !is_real(&call->args[1])) return "wants (y; x), real arrays";
  const Array *y = &call->args[0], *x = &call->args[1];
  if (y->dtype != x->dtype) return "y and x must have one dtype";
  if (!axis_fits(call, x)) return "dim is outside the array's dimensions";
  if (y->ndim != (x->ndim ? x->ndim - 1 : 0)) return "y must have one dimension less than x";
  for (int i = 0; i < y->ndim; i++)
    if (y->shape[i] != x->shape[i + (i >= axis_of(call))]) return "y must have the shape of x without dim";
  return NULL;
}

static size_t workspace(const Call *call, int nt) {
  const Array *x = &call->args[call->n_args - 1];
  return room_bytes(x->ndim ? x->shape[axis_of(call)] : 1) * (size_t)nt;
}

#define BOTH(NAME)                                                \
  static void NAME(const Call *call, const Team *team) {          \
    if (call->args[0].dtype == DL_F32) NAME##_f32(call, team);    \
    else NAME##_f64(call, team);                                  \
  }
BOTH(softmax)
BOTH(log_softmax)
BOTH(logsumexp)
BOTH(softmax_backward)
BOTH(log_softmax_backward)

const Kernel K(softmax) = {"softmax", softmax, workspace, check_forward};
const Kernel K(log_softmax) = {"log_softmax", log_softmax, workspace, check_forward};
const Kernel K(logsumexp) = {"logsumexp", logsumexp, workspace, check_logsumexp};
const Kernel K(softmax_backward) = {"softmax_backward", softmax_backward, workspace, check_backward};
const Kernel K(log_softmax_backward) = {"log_softmax_backward", log_softmax_backward, workspace, check_backward};

#else /* once per type */
#include "real.h"
#include "softmax.h"

static void R(subtract_line)(const T *x, T *y, int64_t n, T high, T log_sum) {
  FOR_LANES(n, vstore_tail(y + i, vtail(x + i, m, 0) - high - log_sum, m););
}

static void R(softmax)(const Call *call, const Team *team) {
  Lines y = lines_of(&call->args[0], axis_of(call)), x = lines_of(&call->args[1], axis_of(call));
  R(Group) g;
  int64_t begin, end;
  team_split(team, x.n, 1, &begin, &end);
  for (; begin < end; begin += GROUP) {
    R(group_in)(&g, &x, &y, begin, end, room_of(call, team, x.len));
    R(group_sums)(&g, 0, 1);
    for (int k = 0; k < g.count; k++) R(scale_line)(g.out[k], g.len, (T)(1 / g.sum[k]));
    R(group_done)(&g, &y);
  }
}

static void R(log_softmax)(const Call *call, const Team *team) {
  Lines y = lines_of(&call->args[0], axis_of(call)), x = lines_of(&call->args[1], axis_of(call));
  R(Group) g;
  int64_t begin, end;
  team_split(team, x.n, 1, &begin, &end);
  for (; begin < end; begin += GROUP) {
    R(group_in)(&g, &x, &y, begin, end, room_of(call, team, x.len));
    R(group_sums)(&g, 0, 0);
    R(group_logs)(&g);
    for (int k = 0; k < g.count; k++) R(subtract_line)(g.in[k], g.out[k], g.len, g.high[k], g.log_sum[k]);
    R(group_done)(&g, &y);
  }
}

static void R(logsumexp)(const Call *call, const Team *team) {
  Lines y = lines_of(&call->args[0], -1), x = lines_of(&call->args[1], axis_of(call));
  R(Group) g;
  int64_t begin, end;
  team_split(team, x.n, 1, &begin, &end);
  for (; begin < end; begin += GROUP) {
    R(group_in)(&g, &x, NULL, begin, end, room_of(call, team, x.len));
    R(group_sums)(&g, 1, 0);
    R(group_logs)(&g);
    for (int k = 0; k < g.count; k++) *R(element)(&y, begin + k) = g.log_sum[k] + g.high[k];
  }
}

/* dx = y (g - sum(g y)) */
static void R(softmax_line_back)(const T *g, const T *y, T *dx, int64_t n) {
  V dot = vset(0);
  FOR_LANES(n, dot = vfma(vtail(g + i, m, 0), vtail(y + i, m, 0), dot););
  T s = vsum(dot);
  FOR_LANES(n, vstore_tail(dx + i, vtail(y + i, m, 0) * (vtail(g + i, m, 0) - s), m););
}

/* dx = g - exp(y) sum(g) */
static void R(log_softmax_line_back)(const T *g, const T *y, T *dx, int64_t n) {
  V sum = vset(0);
  FOR_LANES(n, sum += vtail(g + i, m, 0););
  T s = vsum(sum);
  FOR_LANES(n, vstore_tail(dx + i, vtail(g + i, m, 0) - vexp_flushed(vtail(y + i, m, 0)) * s, m););
}

LANE_INLINE void R(along_back)(const Call *call, const Team *team, int log) {
  int axis = axis_of(call);
  Lines dx = lines_of(&call->args[0], axis), g = lines_of(&call->args[1], axis), y = lines_of(&call->args[2], axis);
  size_t line = line_bytes(y.len);
  char *room = room_of(call, team, y.len);
  int64_t begin, end;
  team_split(team, y.n, 1, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const T *gr = R(line_in)(&g, r, (T *)room), *yr = R(line_in)(&y, r, (T *)(room + line));
    T *out = R(line_out)(&dx, r, (T *)(room + 2 * line));
    if (log) R(log_softmax_line_back)(gr, yr, out, y.len);
    else R(softmax_line_back)(gr, yr, out, y.len);
    R(line_done)(&dx, r, out);
  }
}
static void R(softmax_backward)(const Call *call, const Team *team) { R(along_back)(call, team, SOFTMAX); }
static void R(log_softmax_backward)(const Call *call, const Team *team) { R(along_back)(call, team, LOG_SOFTMAX); }
#endif
