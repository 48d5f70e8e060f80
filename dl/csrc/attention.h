/* What attention and its gradient share. Included once plainly, and once per type. */
#ifndef DL_ATTENTION_H
#define DL_ATTENTION_H
#include "tile.h"

enum { ROWS = 64, COLS = 64 }; /* queries and keys of one block of scores */

typedef struct {
  int64_t batch, heads, queries, keys, width, out_width; /* B H T S E Ev */
  int causal;
  double scale;
} Sizes;

static inline int64_t to_lanes(int64_t n) { return (n + 15) / 16 * 16; }

static inline int64_t blocks(int64_t n, int64_t size) { return (n + size - 1) / size; }

static Sizes sizes_of(const Call *call, const Array *q, const Array *k, const Array *v) {
  return (Sizes){q->shape[0], q->shape[1], q->shape[2], k->shape[2], q->shape[3], v->shape[3], (int)call->ints[0],
                 call->floats[0]};
}

/* a has dtype and shape (B, H, rows, cols), or (B, H, rows) where cols < 0 */
static int is_heads(const Array *a, const Array *like, int64_t rows, int64_t cols) {
  return is_real(a) && a->dtype == like->dtype && a->ndim == (cols < 0 ? 3 : 4) && a->shape[0] == like->shape[0] &&
         a->shape[1] == like->shape[1] && a->shape[2] == rows && (cols < 0 || a->shape[3] == cols);
}

static const char *check_heads(const Call *call, const Array *q, const Array *k, const Array *v, const Array *mask) {
  if (call->n_ints != 1 || call->n_floats != 1) return "wants the integer causal and the number scale";
  if (!is_real(q) || q->ndim != 4 || !k->data || k->ndim != 4 || !v->data || v->ndim != 4)
    return "q, k and v must have shape (batch, heads, length, width), float32 or float64";
  if (!is_heads(k, q, k->shape[2], q->shape[3])) return "k must be (B, H, S, E) where q is (B, H, T, E), of one dtype";
  if (!is_heads(v, q, k->shape[2], v->shape[3])) return "v must be (B, H, S, Ev) where k is (B, H, S, E), of one dtype";
  if (!mask->data) return NULL;
  const int64_t full[4] = {q->shape[0], q->shape[1], q->shape[2], k->shape[2]};
  int fits = (mask->dtype == q->dtype || mask->dtype == DL_BOOL) && mask->ndim <= 4;
  for (int i = 0; fits && i < mask->ndim; i++)
    fits = mask->shape[i] == 1 || mask->shape[i] == full[4 - mask->ndim + i];
  return fits ? NULL : "mask must be bool or of q's dtype, with a shape that broadcasts to (B, H, T, S)";
}

/* elements from the mask's start to the one of this head and query, and from key to key */
static int64_t mask_row(const Array *mask, int64_t b, int64_t h, int64_t t, int64_t *step) {
  const int64_t at[4] = {b, h, t, 0};
  int64_t offset = 0;
  *step = 0;
  for (int i = 0; i < mask->ndim; i++) {
    if (mask->shape[i] == 1) continue;
    int axis = 4 - mask->ndim + i;
    offset += at[axis] * mask->stride[i];
    if (axis == 3) *step = mask->stride[i];
  }
  return offset;
}
#endif

#ifdef T
#include "tile.h"
static R(Matrix) R(head_of)(const Array *a, int64_t b, int64_t h) {
  return (R(Matrix)){(const T *)a->data + b * a->stride[0] + h * a->stride[1], a->stride[2], a->stride[3]};
}

static R(Matrix) R(from_row)(R(Matrix) a, int64_t row) {
  a.p += row * a.row;
  return a;
}

/* scores of a query += its row of the mask, or -inf where a bool mask says no; for keys s ... s + n */
static void R(add_mask)(const Array *mask, int64_t b, int64_t h, int64_t t, int64_t s, T *scores, int64_t n) {
  int64_t step, offset = mask_row(mask, b, h, t, &step) + s * step;
  if (mask->dtype == DL_BOOL) {
    const uint8_t *seen = (const uint8_t *)mask->data + offset;
    for (int64_t i = 0; i < n; i++) scores[i] = seen[i * step] ? scores[i] : -(T)INFINITY;
    return;
  }
  const T *row = (const T *)mask->data + offset;
  if (step == 1) FOR_LANES(n, vstore_tail(scores + i, vtail(scores + i, m, 0) + vtail(row + i, m, 0), m););
  else
    for (int64_t i = 0; i < n; i++) scores[i] += row[i * step];
}

/* rows of an output of any strides = rows of dense memory, scaled */
static void R(put_rows)(const Array *out, int64_t b, int64_t h, int64_t first, int64_t rows, const T *from,
                        int64_t pitch, T scale) {
  R(Matrix) to = R(head_of)(out, b, h);
  for (int64_t r = 0; r < rows; r++) {
    T *row = (T *)to.p + (first + r) * to.row;
    const T *x = from + r * pitch;
    if (to.col == 1) FOR_LANES(out->shape[3], vstore_tail(row + i, vtail(x + i, m, 0) * scale, m););
    else
      for (int64_t i = 0; i < out->shape[3]; i++) row[i * to.col] = x[i] * scale;
  }
}
#endif
