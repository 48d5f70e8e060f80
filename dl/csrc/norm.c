/* layer_norm and rms_norm over the last axis, and their gradients. The file includes itself once per type. Lines go in
 * groups, one step over all of a group after the other, since a line's own steps wait for each other. */
#ifndef REAL
#include "norm.h"

enum { GROUP = 16 };

/* a thread's scratch: three lines for each of a group, and weight and bias where they are absent or strided */
static size_t room_bytes(int64_t len) { return line_bytes(len) * (3 * GROUP + 2); }

static int last_axis(const Array *a) { return a->ndim - 1; }

#define REAL 32
#include "norm.c"
#undef REAL
#define REAL 64
#include "norm.c"

enum { RMS, CENTRED };
#define FOR_BOTH(NAME, CORE, CENTRED)                                    \
  static void NAME(const Call *call, const Team *team) {                 \
    if (call->args[0].dtype == DL_F32) CORE##_f32(call, team, CENTRED);  \
    else CORE##_f64(call, team, CENTRED);                                \
  }
FOR_BOTH(layer_norm, forward, CENTRED)
FOR_BOTH(rms_norm, forward, RMS)
FOR_BOTH(layer_norm_backward, backward, CENTRED)
FOR_BOTH(rms_norm_backward, backward, RMS)

/* one number per line of x */
static int per_line(const Array *a, const Array *x) {
  if (!a->data || a->dtype != x->dtype || a->ndim != x->ndim - 1) return 0;
  for (int i = 0; i < a->ndim; i++)
    if (a->shape[i] != x->shape[i]) return 0;
  return 1;
}

static const char *check_forward(const Call *call, int centred) {
  const Array *x = &call->args[2 + centred], *weight = x + 1;
  if (call->n_floats != 1 || !alike(&call->args[0], x) || x->ndim < 1)
    return "wants x (..., D), float32 or float64, and y like it";
  for (int i = 1; i <= 1 + centred; i++)
    if (!per_line(&call->args[i], x)) return "mean and rstd must have x's dtype and its shape without the last axis";
  for (int i = 0; i <= centred; i++)
    if (!vector_or_absent(weight + i, x->shape[last_axis(x)], x)) return "weight and bias must be (D,) with x's dtype";
  return NULL;
}

static const char *check_layer_norm(const Call *call) {
  return call->n_args == 6 ? check_forward(call, 1) : "wants (y, mean, rstd; x, weight, bias), eps";
}

static const char *check_rms_norm(const Call *call) {
  return call->n_args == 4 ? check_forward(call, 0) : "wants (y, rstd; x, weight), eps";
}

static const char *check_backward(const Call *call, int centred) {
  const Array *dx = &call->args[0], *g = &call->args[2 + centred], *x = g + 1;
  if (!alike(dx, g) || !alike(dx, x) || x->ndim < 1) return "dx, g and x (..., D) must be of one shape and dtype";
  int64_t len = x->shape[last_axis(x)];
  for (int i = 1; i <= 1 + centred; i++)
    if (!call->args[i].data || !vector_or_absent(&call->args[i], len, x))
      return "dweight and dbias must be (D,) with x's dtype";
  for (int i = 1; i <= 1 + centred; i++)
    if (!per_line(x + i, x)) return "mean and rstd must have x's dtype and its shape without the last axis";
  return vector_or_absent(x + 2 + centred, len, x) ? NULL : "weight must be (D,) with x's dtype";
}

static const char *check_layer_norm_backward(const Call *call) {
  return call->n_args == 8 ? check_backward(call, 1) : "wants (dx, dweight, dbias; g, x, mean, rstd, weight)";
}

static const char *check_rms_norm_backward(const Call *call) {
  return call->n_args == 6 ? check_backward(call, 0) : "wants (dx, dweight; g, x, rstd, weight)";
}

static size_t workspace(const Call *call, int nt) {
  const Array *x = &call->args[0];
  return room_bytes(x->shape[last_axis(x)]) * (size_t)nt;
}

static size_t workspace_backward(const Call *call, int nt) {
  Lines x = lines_of(&call->args[0], last_axis(&call->args[0]));
  return workspace(call, nt) + (size_t)blocks_of(x.n, GROUP) * 2 * line_bytes(x.len);
}

const Kernel K(layer_norm) = {"layer_norm", layer_norm, workspace, check_layer_norm};
const Kernel K(rms_norm) = {"rms_norm", rms_norm, workspace, check_rms_norm};
const Kernel K(layer_norm_backward) = {"layer_norm_backward", layer_norm_backward, workspace_backward,
                                       check_layer_norm_backward};
const Kernel K(rms_norm_backward) = {"rms_norm_backward", rms_norm_backward, workspace_backward,
                                     check_rms_norm_backward};

#else /* once per type */
#include "real.h"
#include "norm.h"

typedef struct {
  int count;
  int64_t first, len;
  const T *in[2][GROUP];
  T *out[GROUP], mean[GROUP], rstd[GROUP];
} R(Group);

/* lines first ... of out and of one or two inputs */
static void R(group_open)(R(Group) *g, const Lines *out, const Lines *a, const Lines *b, int64_t first, int64_t end,
                          char *room) {
  size_t line = line_bytes(out->len);
  g->count = (int)(end - first < GROUP ? end - first : GROUP);
  g->first = first, g->len = out->len;
  for (int k = 0; k < g->count; k++, room += 3 * line) {
    g->out[k] = R(line_out)(out, first + k, (T *)room);
    g->in[0][k] = R(line_in)(a, first + k, (T *)(room + line));
    if (b) g->in[1][k] = R(line_in)(b, first + k, (T *)(room + 2 * line));
  }
}

static void R(group_done)(const R(Group) *g, const Lines *y) {
  for (int k = 0; k < g->count; k++) R(line_done)(y, g->first + k, g->out[k]);
}

LANE_INLINE void R(group_moments)(R(Group) *g, T eps, int centred) {
  for (int k = 0; k < g->count; k++) g->mean[k] = centred ? R(moment)(g->in[0][k], g->len, 0, 1) : 0;
  for (int k = 0; k < g->count; k++) g->rstd[k] = R(moment)(g->in[0][k], g->len, g->mean[k], 2);
  FOR_LANES(g->count, vstore_tail(g->rstd + i, 1 / vsqrt(vtail(g->rstd + i, m, 1) + eps), m););
}

static void R(normalise_line)(const T *x, T *y, int64_t n, T mean, T rstd, const T *weight, const T *bias) {
  FOR_LANES(n, V xhat = (vtail(x + i, m, 0) - mean) * rstd;
            vstore_tail(y + i, vfma(xhat, vtail(weight + i, m, 0), vtail(bias + i, m, 0)), m););
}

LANE_INLINE void R(forward)(const Call *call, const Team *team, int centred) {
  const Array *a = call->args, *in = a + 2 + centred;
  Lines y = lines_of(a, last_axis(a)), x = lines_of(in, last_axis(in)), mean = lines_of(a + 1, -1),
        rstd = lines_of(a + 1 + centred, -1);
  char *room = (char *)call->work + (size_t)team->tid * room_bytes(x.len);
  char *spare = room + 3 * GROUP * line_bytes(x.len);
  const T *weight = R(vector_in)(in + 1, x.len, 1, (T *)spare);
  const T *bias = R(vector_in)(centred ? in + 2 : NULL, x.len, 0, (T *)(spare + line_bytes(x.len)));
  int64_t begin, end;
  team_split(team, x.n, GROUP, &begin, &end);
  for (R(Group) g; begin < end; begin += GROUP) {
    R(group_open)(&g, &y, &x, NULL, begin, end, room);
    R(group_moments)(&g, (T)call->floats[0], centred);
    for (int k = 0; k < g.count; k++)
      R(normalise_line)(g.in[0][k], g.out[k], g.len, g.mean[k], g.rstd[k], weight, bias);
    for (int k = 0; k < g.count; k++) {
      if (centred) *R(element)(&mean, begin + k) = g.mean[k];
      *R(element)(&rstd, begin + k) = g.rstd[k];
    }
    R(group_done)(&g, &y);
  }
}

/* means over the line of g w and g w xhat */
LANE_INLINE void R(line_means)(const T *g, const T *x, const T *weight, int64_t n, T mean, T rstd, T *plain, T *hat) {
  V a = vset(0), b = a;
  FOR_LANES(n, V gw = vtail(g + i, m, 0) * vtail(weight + i, m, 0); a += gw;
            b = vfma(gw, (vtail(x + i, m, 0) - mean) * rstd, b););
  *plain = vsum(a) / (T)n;
  *hat = vsum(b) / (T)n;
}

/* dx = rstd (g w - mean(g w) - xhat mean(g w xhat)); dweight += g xhat, dbias += g */
LANE_INLINE void R(group_back)(R(Group) *q, const T *weight, T *dweight, T *dbias, int centred) {
  T plain[GROUP], hat[GROUP];
  for (int k = 0; k < q->count; k++) {
    R(line_means)(q->in[0][k], q->in[1][k], weight, q->len, q->mean[k], q->rstd[k], &plain[k], &hat[k]);
    if (!centred) plain[k] = 0;
  }
  FOR_LANES(q->len, V dw = vtail(dweight + i, m, 0), db = vtail(dbias + i, m, 0), w = vtail(weight + i, m, 0);
            for (int k = 0; k < q->count; k++) {
              V g = vtail(q->in[0][k] + i, m, 0), xhat = (vtail(q->in[1][k] + i, m, 0) - q->mean[k]) * q->rstd[k];
              dw = vfma(g, xhat, dw);
              db += g;
              vstore_tail(q->out[k] + i, (g * w - plain[k] - xhat * hat[k]) * q->rstd[k], m);
            }
            vstore_tail(dweight + i, dw, m); vstore_tail(dbias + i, db, m););
}

LANE_INLINE void R(backward)(const Call *call, const Team *team, int centred) {
  const Array *a = call->args, *grad = a + 2 + centred;
  int axis = last_axis(a);
  Lines dx = lines_of(a, axis), g = lines_of(grad, axis), x = lines_of(grad + 1, axis), mean = lines_of(grad + 2, -1),
        rstd = lines_of(grad + 2 + centred, -1);
  size_t line = line_bytes(x.len);
  char *partial = call->work, *rooms = partial + (size_t)blocks_of(x.n, GROUP) * 2 * line;
  char *room = rooms + (size_t)team->tid * room_bytes(x.len);
  const T *weight = R(vector_in)(grad + 3 + centred, x.len, 1, (T *)(room + 3 * GROUP * line));
  int64_t begin, end, rows = block_lines(x.n, GROUP);
  team_split(team, blocks_of(x.n, GROUP), 1, &begin, &end);
  for (int64_t block = begin; block < end; block++) {
    T *dweight = (T *)(partial + (size_t)block * 2 * line), *dbias = (T *)((char *)dweight + line);
    memset(dweight, 0, 2 * line);
    int64_t first = block * rows, last = first + rows < x.n ? first + rows : x.n;
    for (R(Group) q; first < last; first += GROUP) {
      R(group_open)(&q, &dx, &g, &x, first, last, room);
      for (int k = 0; k < q.count; k++) {
        q.mean[k] = centred ? *R(element)(&mean, first + k) : 0;
        q.rstd[k] = *R(element)(&rstd, first + k);
      }
      R(group_back)(&q, weight, dweight, dbias, centred);
      R(group_done)(&q, &dx);
    }
  }
  team_barrier(team);
  R(sum_blocks)(a + 1, partial, 2 * line, blocks_of(x.n, GROUP), team);
  if (centred) R(sum_blocks)(a + 2, partial + line, 2 * line, blocks_of(x.n, GROUP), team);
}
#endif
