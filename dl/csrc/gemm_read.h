/* From arrays to one matrix product and the batch it is repeated over. */
#ifndef GEMM_READ_H
#define GEMM_READ_H
#include "gemm_plan.h"

/* batch dimensions of C that step evenly in all three arrays are one; the strides are of A, B, C */
typedef struct {
  int dims;
  int64_t shape[DL_MAXDIM], stride[DL_MAXDIM][3];
} Batch;

#define SWAP(type, x, y)  \
  do {                    \
    type swapped = x;     \
    x = y, y = swapped;   \
  } while (0)

/* C^T = B^T A^T */
static void transpose(Product *p) {
  SWAP(int64_t, p->m, p->n);
  SWAP(const void *, p->a, p->b);
  SWAP(int64_t, p->a_row, p->b_col);
  SWAP(int64_t, p->a_col, p->b_row);
  SWAP(int64_t, p->c_row, p->c_col);
  SWAP(int64_t, p->bias_row, p->bias_col);
  p->turned = !p->turned;
}

static int64_t batch_stride(const Array *x, int dim, int dims) {
  int i = x->ndim - 2 - dims + dim;
  return i < 0 || x->shape[i] == 1 ? 0 : x->stride[i];
}

static void read_batch(Batch *out, const Array *c, const Array *a, const Array *b) {
  int dims = c->ndim - 2;
  out->dims = 0;
  for (int d = 0; d < dims; d++) {
    int64_t n = c->shape[d], s[3] = {batch_stride(a, d, dims), batch_stride(b, d, dims), batch_stride(c, d, dims)};
    if (n == 1) continue;
    int64_t *last = out->stride[out->dims ? out->dims - 1 : 0];
    if (out->dims && last[0] == s[0] * n && last[1] == s[1] * n && last[2] == s[2] * n) {
      out->shape[out->dims - 1] *= n;
    } else {
      last = out->stride[out->dims];
      out->shape[out->dims++] = n;
    }
    for (int i = 0; i < 3; i++) last[i] = s[i];
  }
}

/* the last batch dimension becomes rows where B is the same in all and the rows step evenly */
static void fold_batch(Product *p, Batch *batch) {
  const int64_t *step = batch->stride[batch->dims - 1], n = batch->shape[batch->dims - 1];
  if (step[1] != 0) return;
  if (p->m == 1) p->a_row = step[0], p->c_row = step[2];
  else if (step[0] != p->m * p->a_row || step[2] != p->m * p->c_row) return;
  p->m *= n;
  batch->dims--;
}

/* filled in place: a copy of what was just written in pieces would wait for the pieces */
static void read_product(const Call *call, Product *p, Batch *batch) {
  const Array *c = &call->args[0], *a = &call->args[1], *b = &call->args[2];
  const Array *bias = call->n_args > 3 && call->args[3].data ? &call->args[3] : NULL;
  p->m = a->shape[a->ndim - 2], p->n = b->shape[b->ndim - 1], p->k = a->shape[a->ndim - 1];
  p->a = a->data, p->b = b->data, p->c = c->data, p->bias = bias ? bias->data : NULL;
  p->a_row = a->stride[a->ndim - 2], p->a_col = a->stride[a->ndim - 1];
  p->b_row = b->stride[b->ndim - 2], p->b_col = b->stride[b->ndim - 1];
  p->c_row = c->stride[c->ndim - 2], p->c_col = c->stride[c->ndim - 1];
  p->bias_row = 0, p->bias_col = bias ? bias->stride[0] : 0;
  p->dtype = c->dtype, p->act = (int32_t)call->ints[0], p->turned = 0;
  const int64_t parts = call->n_ints > 1 ? call->ints[1] : 0;
  p->half = parts == 2 ? p->k / 2 : 0;
  p->dot = !parts && inner_products(p);
  read_batch(batch, c, a, b);
  if (batch->dims) fold_batch(p, batch);
  if (better_transposed(p)) transpose(p);
}

/* product i of the batch; `first` is product 0 */
static void move_to(Product *p, const Product *first, const Batch *batch, int64_t i) {
  int64_t offset[3] = {0, 0, 0}, size = p->dtype == DL_F32 ? 4 : 8;
  for (int d = batch->dims - 1; d >= 0; d--) {
    int64_t rest = d ? i / batch->shape[d] : 0, at = i - rest * batch->shape[d];
    for (int j = 0; j < 3; j++) offset[j] += at * batch->stride[d][j];
    i = rest;
  }
  p->a = (const char *)first->a + offset[p->turned ? 1 : 0] * size;
  p->b = (const char *)first->b + offset[p->turned ? 0 : 1] * size;
  p->c = (char *)first->c + offset[2] * size;
}

#endif
