/* What group_norm reads and writes: items in either layout, sums over the places of an item, and the affine map that
 * both directions end with. Included once plainly, and once per type. */
#ifndef DL_GROUP_NORM_H
#define DL_GROUP_NORM_H
#include "lanes.h"
#include "norm.h"

typedef enum { ROWS, COLUMNS } Layout;

/* an item is channels x places, dense (ROWS); or places x channels, `pitch` elements from place to place (COLUMNS) */
typedef struct {
  const Array *array;
  int64_t B, C, L, item, pitch;
  Layout layout;
  int copied;
} Items;

/* the distance between places, where that is one number; else -1 */
static int64_t place_step(const Array *a) {
  int64_t step = 1, n = 1;
  for (int i = a->ndim - 1; i > 1; i--) {
    if (a->shape[i] == 1) continue;
    if (n == 1) step = a->stride[i];
    else if (a->stride[i] != step * n) return -1;
    n *= a->shape[i];
  }
  return step;
}

static Items items_of(const Array *a, Layout layout) {
  Items x = {a, a->shape[0], a->shape[1], 1, a->stride[0], 0, layout, 0};
  for (int i = 2; i < a->ndim; i++) x.L *= a->shape[i];
  int64_t step = place_step(a);
  x.pitch = layout == ROWS ? x.L : step;
  if (layout == ROWS) x.copied = (x.L > 1 && step != 1) || (x.C > 1 && a->stride[1] != x.L);
  else x.copied = (x.L > 1 && step < 0) || (x.C > 1 && a->stride[1] != 1);
  if (x.copied) x.pitch = layout == ROWS ? x.L : x.C;
  return x;
}

static Layout layout_of(const Array *a) {
  Items rows = items_of(a, ROWS);
  return a->stride[1] == 1 && (rows.copied || rows.L == 1) ? COLUMNS : ROWS;
}

/* a thread's scratch: vectors over the channels, and copies of the items of operands that lie otherwise than x */
enum { VECTORS = 7 };
static size_t item_bytes(const Items *x) { return line_bytes(x->C * x->L); }

static size_t room_bytes(const Call *call, int first, int last, Layout layout) {
  size_t bytes = VECTORS * line_bytes(call->args[0].shape[1]);
  for (int i = first; i <= last; i++) {
    Items x = items_of(&call->args[i], layout);
    if (x.copied) bytes += item_bytes(&x);
  }
  return bytes;
}
#endif

#ifdef T
#include "norm.h"

/* copies item b in (out of) dense memory, places varying fastest for ROWS */
static void R(copy_item)(const Items *x, int64_t b, T *room, int out) {
  Lines l = lines_of(x->array, 1);
  int64_t channel = x->layout == ROWS ? x->L : 1, place = x->layout == ROWS ? 1 : x->C;
  for (int64_t p = 0; p < x->L; p++) {
    T *line = (T *)x->array->data + line_at(&l, b * x->L + p), *dense = room + p * place;
    for (int64_t c = 0; c < x->C; c++) {
      if (out) line[c * l.step] = dense[c * channel];
      else dense[c * channel] = line[c * l.step];
    }
  }
}

static const T *R(item_in)(const Items *x, int64_t b, char **room) {
  if (!x->copied) return (const T *)x->array->data + b * x->item;
  T *copy = (T *)*room;
  *room += item_bytes(x);
  R(copy_item)(x, b, copy, 0);
  return copy;
}

static T *R(item_out)(const Items *x, int64_t b, char *room) {
  return x->copied ? (T *)room : (T *)x->array->data + b * x->item;
}

/* COLUMNS: adds to a (and b), vectors over the channels, the sums over an item's places of
 * SUM: x; SQUARE: (x - mean)^2; GRADIENT: g to a, g (x - mean) to b. Long sums are added up in pieces. */
enum { R(PIECE) = 128, R(WIDE) = LANE_BYTES == 64 ? 4 : 2 };
typedef enum { R(SUM), R(SQUARE), R(GRADIENT) } R(Step);
typedef struct {
  const T *x, *g, *mean;
  int64_t x_pitch, g_pitch, L, C;
} R(Columns);

LANE_INLINE void R(column_piece)(R(Step) step, const R(Columns) *q, int64_t c, int64_t l, int64_t end, T *a, T *b,
                                 int wide, int64_t m) {
  V sa[R(WIDE)], sb[R(WIDE)], mean[R(WIDE)];
  for (int k = 0; k < wide; k++) {
    sa[k] = sb[k] = vset(0);
    mean[k] = step == R(SUM) ? vset(0) : vtail(q->mean + c + k * W, m, 0);
  }
  for (; l < end; l++)
    for (int k = 0; k < wide; k++) {
      V x = vtail(q->x + l * q->x_pitch + c + k * W, m, 0) - mean[k];
      if (step == R(SUM)) sa[k] += x;
      if (step == R(SQUARE)) sa[k] = vfma(x, x, sa[k]);
      if (step != R(GRADIENT)) continue;
      V g = vtail(q->g + l * q->g_pitch + c + k * W, m, 0);
      sa[k] += g;
      sb[k] = vfma(g, x, sb[k]);
    }
  for (int k = 0; k < wide; k++) {
    vstore_tail(a + c + k * W, vtail(a + c + k * W, m, 0) + sa[k], m);
    if (step == R(GRADIENT)) vstore_tail(b + c + k * W, vtail(b + c + k * W, m, 0) + sb[k], m);
  }
}

LANE_INLINE void R(column_sums)(R(Step) step, const R(Columns) *q, T *a, T *b) {
  memset(a, 0, (size_t)q->C * sizeof(T));
  memset(b, 0, (size_t)q->C * sizeof(T));
  for (int64_t l = 0; l < q->L; l += R(PIECE)) {
    int64_t end = q->L - l < R(PIECE) ? q->L : l + R(PIECE), c = 0;
    for (; c + R(WIDE) * W <= q->C; c += R(WIDE) * W) R(column_piece)(step, q, c, l, end, a, b, R(WIDE), W);
    for (; c + W <= q->C; c += W) R(column_piece)(step, q, c, l, end, a, b, 1, W);
    if (c < q->C) R(column_piece)(step, q, c, l, end, a, b, 1, q->C - c);
  }
}

static T R(vector_sum)(const T *a, int64_t n) {
  V sum = vset(0);
  FOR_LANES(n, sum += vtail(a + i, m, 0););
  return vsum(sum);
}

static void R(spread)(T *a, int64_t n, T value) {
  FOR_LANES(n, vstore_tail(a + i, vset(value), m););
}

/* out = (x - mean) q + b, and + a g where there is a g; mean, q, b, a: vectors over the channels */
typedef struct {
  const T *x, *g, *mean, *q, *b, *a;
  T *out;
  int64_t x_pitch, g_pitch, out_pitch, L, C;
} R(Affine);

LANE_INLINE void R(affine_rows)(const R(Affine) *f, int gradient) {
  for (int64_t c = 0; c < f->C; c++) {
    V mean = vset(f->mean[c]), q = vset(f->q[c]), b = vset(f->b[c]), a = vset(gradient ? f->a[c] : 0);
    const T *x = f->x + c * f->L, *g = gradient ? f->g + c * f->L : x;
    T *out = f->out + c * f->L;
    FOR_LANES(f->L, V r = vfma(vtail(x + i, m, 0) - mean, q, b);
              if (gradient) r = vfma(vtail(g + i, m, 0), a, r);
              vstore_tail(out + i, r, m););
  }
}

LANE_INLINE void R(affine_columns)(const R(Affine) *f, int gradient) {
  FOR_LANES(f->C, V mean = vtail(f->mean + i, m, 0), q = vtail(f->q + i, m, 0), b = vtail(f->b + i, m, 0),
            a = gradient ? vtail(f->a + i, m, 0) : b;
            for (int64_t l = 0; l < f->L; l++) {
              V r = vfma(vtail(f->x + l * f->x_pitch + i, m, 0) - mean, q, b);
              if (gradient) r = vfma(vtail(f->g + l * f->g_pitch + i, m, 0), a, r);
              vstore_tail(f->out + l * f->out_pitch + i, r, m);
            });
}
#endif
