/* C = act(A @ B + bias) in float32 and float64, for small and middle sizes and any strides.
 *
 * Goto and van de Geijn (2008), Anatomy of high-performance matrix multiplication: panels of B and strips of A meet in
 * a micro-kernel that keeps a tile of C in registers; operands are copied into that order only where the copy pays. */
#include "gemm_read.h"
#include "vecmath.h"

#define T float
#define BITS 32
#define F(name) name##_f32
#include "gemm_typed.h"
#undef T
#undef BITS
#undef F
#define T double
#define BITS 64
#define F(name) name##_f64
#include "gemm_typed.h"
#undef T
#undef BITS
#undef F

static size_t workspace(const Call *call, int nt) {
  Batch batch;
  Product p;
  read_product(call, &p, &batch);
  Plan plan;
  make_plan(&plan, &p);
  return plan.bytes * (size_t)nt;
}

/* modulo 2^64, as NumPy's */
static void int_product(const Product *p, const Range *r) {
  const uint64_t *a = p->a, *b = p->b, *bias = p->bias;
  for (int64_t m = r->m0; m < r->m1; m++)
    for (int64_t n = r->n0; n < r->n1; n++) {
      uint64_t sum = 0;
      for (int64_t k = 0; k < p->k; k++) sum += a[m * p->a_row + k * p->a_col] * b[k * p->b_row + n * p->b_col];
      if (bias) sum += bias[m * p->bias_row + n * p->bias_col];
      ((int64_t *)p->c)[m * p->c_row + n * p->c_col] = p->act == ACT_RELU && (int64_t)sum < 0 ? 0 : (int64_t)sum;
    }
}

static void row_product(const Row *row, int dtype, int64_t begin, int64_t end) {
  if (dtype == DL_F32) row_product_f32(row, begin, end);
  else row_product_f64(row, begin, end);
}

static void product(const Product *p, const Range *r, const Plan *plan, void *work) {
  if (r->m0 >= r->m1 || r->n0 >= r->n1) return;
  if (p->dtype == DL_I64) {
    int_product(p, r);
  } else if (p->dot && p->m == 1 && p->c_col == 1 && (!p->bias || p->bias_col == 1)) {
    const Row row = {p->n, p->k, p->b_col, p->a, p->b, p->bias, p->c, p->act};
    row_product(&row, p->dtype, r->n0, r->n1);
  } else if (p->dtype == DL_F32) {
    if (p->dot) dot_product_f32(p, r);
    else block_product_f32(p, r, plan, work);
  } else {
    if (p->dot) dot_product_f64(p, r);
    else block_product_f64(p, r, plan, work);
  }
}

/* A layer of a network for one input takes less time than planning it would: straight to its kernel. 0: it is not. */
static int run_row(const Call *call, const Team *team) {
  const Array *c = &call->args[0], *a = &call->args[1], *b = &call->args[2];
  const Array *bias = call->n_args > 3 && call->args[3].data ? &call->args[3] : NULL;
  if (c->ndim != 2 || c->shape[0] != 1 || c->stride[1] != 1 || c->dtype == DL_I64) return 0;
  if (a->stride[1] != 1 || b->stride[0] != 1 || (bias && bias->stride[0] != 1)) return 0;
  const Row row = {c->shape[1], b->shape[0], b->stride[1], a->data, b->data, bias ? bias->data : NULL, c->data,
                   (int)call->ints[0]};
  int64_t begin = 0, end = row.n;
  if (team->nt > 1) team_split(team, row.n, 16, &begin, &end);
  row_product(&row, c->dtype, begin, end);
  return 1;
}

static void run(const Call *call, const Team *team) {
  int parts = call->n_ints == 2 && call->ints[1];
  if (!parts && run_row(call, team)) return;
  Batch batch;
  Product p;
  Plan plan;
  read_product(call, &p, &batch);
  make_plan(&plan, &p);
  void *work = (char *)call->work + plan.bytes * (size_t)team->tid;
  Range range;
  int64_t count = 1, first, last, nt = team->nt;
  for (int i = 0; i < batch.dims; i++) count *= batch.shape[i];
  if (count == 1) {
    share(&range, &p, &plan, team->tid, nt);
    product(&p, &range, &plan, work);
    return;
  }
  Product start = p;
  int together = nt > 1 && count < 4 * nt && count % nt != 0; /* all threads on each product */
  share(&range, &p, &plan, team->tid, together ? nt : 1);
  team_split(team, count, 1, &first, &last);
  if (together) first = 0, last = count;
  for (int64_t i = first; i < last; i++) {
    move_to(&p, &start, &batch, i);
    product(&p, &range, &plan, work);
  }
}

static int broadcasts(const Array *x, const Array *c) {
  for (int i = 0, d = c->ndim - x->ndim; i < x->ndim - 2; i++, d++)
    if (x->shape[i] != 1 && x->shape[i] != c->shape[d]) return 0;
  return 1;
}

static const char *check(const Call *call) {
  if (call->n_args < 3 || call->n_args > 4 || call->n_ints < 1 || call->n_ints > 2)
    return "wanted C, A, B, bias or None; the activation, and into how many parts k falls";
  const Array *c = &call->args[0], *a = &call->args[1], *b = &call->args[2], *bias = &call->args[3];
  int has_bias = call->n_args > 3 && bias->data;
  if (!c->data || !a->data || !b->data || c->ndim < 2 || a->ndim < 2 || b->ndim < 2)
    return "wanted matrices C (..., m, n), A (..., m, k), B (..., k, n)";
  if (c->dtype == DL_BOOL || a->dtype != c->dtype || b->dtype != c->dtype || (has_bias && bias->dtype != c->dtype))
    return "wanted one dtype of float32, float64, int64";
  const int64_t *size = c->shape + c->ndim - 2;
  if (a->shape[a->ndim - 1] != b->shape[b->ndim - 2] || a->shape[a->ndim - 2] != size[0] ||
      b->shape[b->ndim - 1] != size[1])
    return "the sizes do not fit: wanted C (..., m, n), A (..., m, k), B (..., k, n)";
  if (a->ndim > c->ndim || b->ndim > c->ndim) return "A or B has more dimensions than C";
  if (!broadcasts(a, c) || !broadcasts(b, c)) return "the batch dimensions of A or B do not broadcast to those of C";
  if (has_bias && (bias->ndim != 1 || bias->shape[0] != size[1])) return "wanted a bias of shape (n,)";
  int64_t act = call->ints[0], parts = call->n_ints == 2 ? call->ints[1] : 0;
  if (parts && (parts < 0 || parts > 2 || act || has_bias || c->ndim != 2 || c->dtype == DL_I64 ||
                (parts == 2 && a->shape[1] > MOST_HALVED)))
    return "two parts are for the sums of floats over at most 1024, in two dimensions, without bias and activation";
  if (act < ACT_NONE || act > ACT_TANH || (act == ACT_TANH && c->dtype == DL_I64))
    return "the activation must be 0 (none), 1 (relu) or, for floats, 2 (tanh)";
  return NULL;
}

const Kernel K(gemm) = {"gemm", run, workspace, check};
