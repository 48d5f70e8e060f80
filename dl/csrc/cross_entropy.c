/* cross_entropy by rows: -log softmax(x)[target] for each row, with the softmax, and its gradient. The file includes
 * itself once per type. */
#ifndef REAL
#include "softmax.h"

/* a class that does not exist: its row becomes NaN, and nothing is read */
static int class_of(const Lines *target, int64_t row, int64_t classes, int64_t *class) {
  *class = ((const int64_t *)target->array->data)[line_at(target, row)];
  return *class >= 0 && *class < classes;
}

#define REAL 32
#include "cross_entropy.c"
#undef REAL
#define REAL 64
#include "cross_entropy.c"

#define BOTH(NAME)                                                \
  static void NAME(const Call *call, const Team *team) {          \
    if (call->args[0].dtype == DL_F32) NAME##_f32(call, team);    \
    else NAME##_f64(call, team);                                  \
  }
BOTH(cross_entropy)
BOTH(cross_entropy_backward)

static const char *check_rows(const Array *rows, const Array *losses, const Array *target) {
  if (rows->ndim != 2 || losses->ndim != 1 || target->ndim != 1) return "wants classes (N, C), losses and target (N,)";
  if (target->dtype != DL_I64) return "target must be int64";
  if (losses->dtype != rows->dtype) return "losses must have the dtype of the classes";
  if (losses->shape[0] != rows->shape[0] || target->shape[0] != rows->shape[0])
    return "classes (N, C), losses (N,) and target (N,) must have one N";
  return NULL;
}

static const char *check_cross_entropy(const Call *call) {
  if (call->n_args != 4 || !alike(&call->args[1], &call->args[2]) || !is_real(&call->args[0]) || !call->args[3].data)
    return "wants (loss (N,), softmax (N, C); logits (N, C), target (N,))";
  return check_rows(&call->args[2], &call->args[0], &call->args[3]);
}

static const char *check_cross_entropy_backward(const Call *call) {
  if (call->n_args != 4 || !alike(&call->args[0], &call->args[2]) || !is_real(&call->args[1]) || !call->args[3].data)
    return "wants (dlogits (N, C); g (N,), softmax (N, C), target (N,))";
  return check_rows(&call->args[2], &call->args[1], &call->args[3]);
}

static size_t workspace_rows(const Call *call, int nt) { return room_bytes(call->args[2].shape[1]) * (size_t)nt; }

const Kernel K(cross_entropy) = {"cross_entropy", cross_entropy, workspace_rows, check_cross_entropy};
const Kernel K(cross_entropy_backward) = {"cross_entropy_backward", cross_entropy_backward, workspace_rows,
                                          check_cross_entropy_backward};

#else /* once per type */
#include "real.h"
#include "softmax.h"

static void R(cross_entropy)(const Call *call, const Team *team) {
  Lines loss = lines_of(&call->args[0], -1), p = lines_of(&call->args[1], 1), x = lines_of(&call->args[2], 1),
        target = lines_of(&call->args[3], -1);
  R(Group) g;
  int64_t begin, end, class;
  team_split(team, x.n, 1, &begin, &end);
  for (; begin < end; begin += GROUP) {
    R(group_in)(&g, &x, &p, begin, end, room_of(call, team, x.len));
    R(group_sums)(&g, 0, 1);
    R(group_logs)(&g);
    for (int k = 0; k < g.count; k++) {
      R(scale_line)(g.out[k], g.len, (T)(1 / g.sum[k]));
      int known = class_of(&target, begin + k, x.len, &class);
      *R(element)(&loss, begin + k) = known ? g.log_sum[k] - (g.in[k][class] - g.high[k]) : (T)NAN;
    }
    R(group_done)(&g, &p);
  }
}

/* g (p - e_target) */
static void R(cross_entropy_backward)(const Call *call, const Team *team) {
  Lines dx = lines_of(&call->args[0], 1), g = lines_of(&call->args[1], -1), p = lines_of(&call->args[2], 1),
        target = lines_of(&call->args[3], -1);
  char *room = room_of(call, team, p.len);
  int64_t begin, end, class;
  team_split(team, p.n, 1, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const T *in = R(line_in)(&p, r, (T *)room);
    T *out = R(line_out)(&dx, r, (T *)(room + line_bytes(p.len)));
    int known = class_of(&target, r, p.len, &class);
    T scale = known ? *R(element)(&g, r) : (T)NAN;
    FOR_LANES(p.len, vstore_tail(out + i, vtail(in + i, m, 0) * scale, m););
    if (known) out[class] = (in[class] - 1) * scale;
    R(line_done)(&dx, r, out);
  }
}
#endif
