/* group_norm over (B, C, *spatial) and its gradient, item by item, for both ways an item lies in memory: ROWS, each
 * channel's L places together (as PyTorch has it), and COLUMNS, each place's C channels together (as our convolutions
 * write it). An operand that lies otherwise than x is copied. The file includes itself once per type. */
#ifndef REAL
#include "group_norm.h"

#define REAL 32
#include "group_norm.c"
#undef REAL
#define REAL 64
#include "group_norm.c"

static void group_norm(const Call *call, const Team *team) {
  if (call->args[0].dtype == DL_F32) forward_f32(call, team);
  else forward_f64(call, team);
}

static void group_norm_backward(const Call *call, const Team *team) {
  if (call->args[0].dtype == DL_F32) backward_f32(call, team);
  else backward_f64(call, team);
}

static const char *check_groups(const Call *call, const Array *x, const Array *mean, const Array *rstd,
                                const Array *weight) {
  if (x->ndim < 2) return "x must have shape (B, C, ...)";
  if (call->n_ints != 1 || call->ints[0] < 1 || x->shape[1] % call->ints[0]) return "groups must divide the channels";
  const Array *stats[2] = {mean, rstd};
  for (int i = 0; i < 2; i++)
    if (!stats[i]->data || stats[i]->dtype != x->dtype || stats[i]->ndim != 2 || stats[i]->shape[0] != x->shape[0] ||
        stats[i]->shape[1] != call->ints[0])
      return "mean and rstd must be (B, groups) with x's dtype";
  return vector_or_absent(weight, x->shape[1], x) ? NULL : "weight must be (C,) with x's dtype";
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != 6 || call->n_floats != 1) return "wants (y, mean, rstd; x, weight, bias), groups, eps";
  if (!alike(a, a + 3)) return "y must be like x, float32 or float64";
  const char *wrong = check_groups(call, a + 3, a + 1, a + 2, a + 4);
  if (wrong) return wrong;
  return vector_or_absent(a + 5, a->shape[1], a) ? NULL : "bias must be (C,) with x's dtype";
}

static const char *check_backward(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != 8) return "wants (dx, dweight, dbias; g, x, mean, rstd, weight), groups";
  if (!alike(a, a + 3) || !alike(a, a + 4)) return "dx, g and x must be of one shape and dtype";
  const char *wrong = check_groups(call, a + 4, a + 5, a + 6, a + 7);
  if (wrong) return wrong;
  for (int i = 1; i <= 2; i++)
    if (!a[i].data || !vector_or_absent(a + i, a->shape[1], a)) return "dweight and dbias must be (C,) with x's dtype";
  return NULL;
}

static size_t workspace(const Call *call, int nt) {
  const Array *a = call->args;
  Layout layout = layout_of(a + 3);
  return (room_bytes(call, 0, 0, layout) + room_bytes(call, 3, 3, layout)) * (size_t)nt;
}

static size_t workspace_backward(const Call *call, int nt) {
  const Array *a = call->args;
  Layout layout = layout_of(a + 4);
  size_t partial = (size_t)blocks_of(a->shape[0], 1) * 2 * line_bytes(a->shape[1]);
  return partial + (room_bytes(call, 0, 0, layout) + room_bytes(call, 3, 4, layout)) * (size_t)nt;
}

const Kernel K(group_norm) = {"group_norm", group_norm, workspace, check};
const Kernel K(group_norm_backward) = {"group_norm_backward", group_norm_backward, workspace_backward, check_backward};

#else /* once per type */
#include "real.h"
#include "group_norm.h"

/* mean and rstd of each group, and mean over the channels */
static void R(moments)(const Items *ix, const T *x, int64_t groups, T eps, T *mean, T *rstd, T *spread, T *sums,
                       T *spare) {
  int64_t width = ix->C / groups, n = width * ix->L;
  T count = (T)(n ? n : 1);
  R(Columns) q = {x, NULL, spread, ix->pitch, 0, ix->L, ix->C};
  if (ix->layout == COLUMNS) R(column_sums)(R(SUM), &q, sums, spare);
  for (int64_t k = 0; k < groups; k++) {
    if (ix->layout == ROWS) mean[k] = R(moment)(x + k * n, n, 0, 1);
    else mean[k] = R(vector_sum)(sums + k * width, width) / count;
    R(spread)(spread + k * width, width, mean[k]);
  }
  if (ix->layout == COLUMNS) R(column_sums)(R(SQUARE), &q, sums, spare);
  for (int64_t k = 0; k < groups; k++) {
    if (ix->layout == ROWS) rstd[k] = R(moment)(x + k * n, n, mean[k], 2);
    else rstd[k] = R(vector_sum)(sums + k * width, width) / count;
  }
  FOR_LANES(groups, vstore_tail(rstd + i, 1 / vsqrt(vtail(rstd + i, m, 1) + eps), m););
}

static void R(forward)(const Call *call, const Team *team) {
  const Array *a = call->args;
  Layout layout = layout_of(a + 3);
  Items y = items_of(a, layout), x = items_of(a + 3, layout);
  int64_t groups = call->ints[0], width = x.C / groups, begin, end;
  Lines means = lines_of(a + 1, -1), rstds = lines_of(a + 2, -1);
  size_t line = line_bytes(x.C);
  size_t size = room_bytes(call, 0, 0, layout) + room_bytes(call, 3, 3, layout);
  char *room = (char *)call->work + (size_t)team->tid * size;
  T *v[VECTORS];
  for (int i = 0; i < VECTORS; i++, room += line) v[i] = (T *)room;
  const T *weight = R(vector_in)(a + 4, x.C, 1, v[0]), *bias = R(vector_in)(a + 5, x.C, 0, v[1]);
  T *mean = v[2], *rstd = v[3], *spread = v[4], *scale = v[5];
  team_split(team, x.B, 1, &begin, &end);
  for (int64_t b = begin; b < end; b++) {
    char *free = room;
    const T *in = R(item_in)(&x, b, &free);
    T *out = R(item_out)(&y, b, free);
    R(moments)(&x, in, groups, (T)call->floats[0], mean, rstd, spread, scale, v[6]);
    for (int64_t k = 0; k < groups; k++) {
      *R(element)(&means, b * groups + k) = mean[k];
      *R(element)(&rstds, b * groups + k) = rstd[k];
      for (int64_t c = k * width; c < (k + 1) * width; c++) scale[c] = rstd[k] * weight[c];
    }
    R(Affine) f = {in, NULL, spread, scale, bias, NULL, out, x.pitch, 0, y.pitch, x.L, x.C};
    if (layout == ROWS) R(affine_rows)(&f, 0);
    else R(affine_columns)(&f, 0);
    if (y.copied) R(copy_item)(&y, b, out, 1);
  }
}

/* sum over the places of g, and of g (x - mean), for each channel */
static void R(channel_sums)(Layout layout, const R(Columns) *q, T *plain, T *hat) {
  if (layout == COLUMNS) {
    R(column_sums)(R(GRADIENT), q, plain, hat);
    return;
  }
  for (int64_t c = 0; c < q->C; c++) {
    const T *x = q->x + c * q->L, *g = q->g + c * q->L;
    V a = vset(0), b = a, mean = vset(q->mean[c]);
    FOR_LANES(q->L, V gi = vtail(g + i, m, 0); a += gi; b = vfma(gi, vtail(x + i, m, 0) - mean, b););
    plain[c] = vsum(a);
    hat[c] = vsum(b);
  }
}

/* for one group: dx = rstd (g w - mean(g w) - xhat mean(g w xhat)), means over the group, as a g + b + (x - mean) q.
 * plain, hat: from channel_sums; partial sums of dweight and dbias are added to. */
static void R(coefficients)(const T *plain, const T *hat, const T *weight, int64_t width, int64_t L, T rstd, T *a, T *b,
                            T *q, T *dweight, T *dbias) {
  V sum = vset(0), dot = sum;
  FOR_LANES(width, V w = vtail(weight + i, m, 0), p = vtail(plain + i, m, 0), h = vtail(hat + i, m, 0);
            sum = vfma(w, p, sum); dot = vfma(w, h, dot); vstore_tail(a + i, w * rstd, m);
            vstore_tail(dweight + i, vfma(h, vset(rstd), vtail(dweight + i, m, 0)), m);
            vstore_tail(dbias + i, vtail(dbias + i, m, 0) + p, m););
  T n = (T)(width * L);
  R(spread)(b, width, -rstd * vsum(sum) / n);
  R(spread)(q, width, -rstd * rstd * rstd * vsum(dot) / n);
}

typedef struct {
  Items dx, g, x;
  Lines mean, rstd;
  int64_t groups, width;
  const T *weight;
  T *v[VECTORS];
  char *room;
} R(Back);

static void R(item_back)(const R(Back) *k, int64_t b, T *dweight, T *dbias) {
  T *plain = k->v[0], *hat = k->v[1], *spread = k->v[2], *ca = k->v[3], *cb = k->v[4], *cq = k->v[5];
  char *free = k->room;
  const T *g = R(item_in)(&k->g, b, &free), *x = R(item_in)(&k->x, b, &free);
  T *out = R(item_out)(&k->dx, b, free);
  for (int64_t i = 0; i < k->groups; i++)
    R(spread)(spread + i * k->width, k->width, *R(element)(&k->mean, b * k->groups + i));
  R(Columns) q = {x, g, spread, k->x.pitch, k->g.pitch, k->x.L, k->x.C};
  R(channel_sums)(k->x.layout, &q, plain, hat);
  for (int64_t i = 0; i < k->groups; i++) {
    int64_t c = i * k->width;
    T rstd = *R(element)(&k->rstd, b * k->groups + i);
    R(coefficients)(plain + c, hat + c, k->weight + c, k->width, k->x.L, rstd, ca + c, cb + c, cq + c, dweight + c,
                    dbias + c);
  }
  R(Affine) f = {x, g, spread, cq, cb, ca, out, k->x.pitch, k->g.pitch, k->dx.pitch, k->x.L, k->x.C};
  if (k->x.layout == ROWS) R(affine_rows)(&f, 1);
  else R(affine_columns)(&f, 1);
  if (k->dx.copied) R(copy_item)(&k->dx, b, out, 1);
}

static void R(backward)(const Call *call, const Team *team) {
  const Array *a = call->args;
  Layout layout = layout_of(a + 4);
  int64_t B = a->shape[0], C = a->shape[1], blocks = blocks_of(B, 1), items = block_lines(B, 1), begin, end;
  size_t line = line_bytes(C), room = room_bytes(call, 0, 0, layout) + room_bytes(call, 3, 4, layout);
  char *partial = call->work, *mine = partial + (size_t)blocks * 2 * line + (size_t)team->tid * room;
  R(Back) k = {.dx = items_of(a, layout), .g = items_of(a + 3, layout), .x = items_of(a + 4, layout)};
  k.mean = lines_of(a + 5, -1), k.rstd = lines_of(a + 6, -1);
  k.groups = call->ints[0], k.width = C / k.groups;
  for (int i = 0; i < VECTORS; i++, mine += line) k.v[i] = (T *)mine;
  k.weight = R(vector_in)(a + 7, C, 1, k.v[6]);
  k.room = mine;
  team_split(team, blocks, 1, &begin, &end);
  for (int64_t block = begin; block < end; block++) {
    T *dweight = (T *)(partial + (size_t)block * 2 * line), *dbias = (T *)((char *)dweight + line);
    memset(dweight, 0, 2 * line);
    for (int64_t b = block * items; b < B && b < (block + 1) * items; b++) R(item_back)(&k, b, dweight, dbias);
  }
  team_barrier(team);
  R(sum_blocks)(a + 1, partial, 2 * line, blocks, team);
  R(sum_blocks)(a + 2, partial + line, 2 * line, blocks, team);
}
#endif
