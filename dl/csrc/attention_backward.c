/* The gradient of attention from out and logsumexp: the scores are computed again, block by block, as P = exp(scores -
 * logsumexp); then dv = P^T g, dS = P (g v^T - rowsum(g out)), dq = scale dS k, dk = scale dS^T q. Source: Dao et al.,
 * FlashAttention, 2022, algorithm 4. The file includes itself once per type. */
#ifndef REAL
#include <math.h>

#include "attention.h"
#include "lanes_math.h"

static inline int64_t whole_rows(int64_t n) { return (n + ROWS - 1) / ROWS * ROWS; }

/* a thread's scratch, in elements */
static int64_t room_elements(const Sizes *z) {
  int64_t wide = to_lanes(z->width), out_wide = to_lanes(z->out_width);
  int64_t transposed = (z->width + z->out_width) * COLS, rows = COLS * wide + ROWS * (wide + out_wide);
  return transposed + rows + 2 * ROWS * COLS + COLS * (wide + out_wide) + whole_rows(z->queries) * (wide + 2);
}

/* Heads are dealt out to the threads. Where that would leave threads idle, blocks are, in two rounds: of keys, for dk
 * and dv, then of queries, for dq; P and dS are computed twice then, 7 products instead of 5. All sums keep their order. */
static int in_two_rounds(const Sizes *z, int nt) {
  int64_t heads = z->batch * z->heads, least = blocks(z->queries, ROWS);
  if (least > blocks(z->keys, COLS)) least = blocks(z->keys, COLS);
  return nt > 1 && least >= nt && 5 * nt * blocks(heads, nt) > 7 * heads;
}

#define REAL 32
#include "attention_backward.c"
#undef REAL
#define REAL 64
#include "attention_backward.c"

static void run(const Call *call, const Team *team) {
  if (call->args[0].dtype == DL_F32) backward_f32(call, team);
  else backward_f64(call, team);
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != 10) return "wants (dq, dk, dv; g, q, k, v, mask, out, logsumexp), causal, scale";
  const char *wrong = check_heads(call, a + 4, a + 5, a + 6, a + 7);
  if (wrong) return wrong;
  if (!alike(a, a + 4) || !alike(a + 1, a + 5) || !alike(a + 2, a + 6)) return "dq, dk and dv must be like q, k and v";
  if (!is_heads(a + 3, a + 4, a[4].shape[2], a[6].shape[3]) || !alike(a + 3, a + 8))
    return "g and out must be (B, H, T, Ev) with q's dtype";
  return is_heads(a + 9, a + 4, a[4].shape[2], -1) ? NULL : "logsumexp must be (B, H, T) with q's dtype";
}

static size_t workspace(const Call *call, int nt) {
  Sizes z = sizes_of(call, call->args + 4, call->args + 5, call->args + 6);
  return (size_t)room_elements(&z) * 8 * (size_t)nt;
}

const Kernel K(attention_backward) = {"attention_backward", run, workspace, check};

#else /* once per type */
#include "real.h"
#include "attention.h"

/* one head for one thread: its operands, and scratch for copies of blocks, scores and sums */
typedef struct {
  Sizes z;
  const Array *args;
  int64_t b, h, wide, out_wide;
  R(Matrix) g, q, k, v, out;
  T *keys, *values, *k_rows, *q_rows, *g_rows, *p, *ds, *dk, *dv, *dq, *delta, *lse;
} R(Head);

static void R(open_room)(R(Head) *d, const Call *call, const Team *team) {
  const Array *a = call->args;
  d->args = a;
  d->z = sizes_of(call, a + 4, a + 5, a + 6);
  d->wide = (d->z.width + W - 1) / W * W;
  d->out_wide = (d->z.out_width + W - 1) / W * W;
  T *p = (T *)((char *)call->work + (size_t)team->tid * (size_t)room_elements(&d->z) * 8);
  d->keys = p, p += d->z.width * COLS;
  d->values = p, p += d->z.out_width * COLS;
  d->k_rows = p, p += COLS * d->wide;
  d->q_rows = p, p += ROWS * d->wide;
  d->g_rows = p, p += ROWS * d->out_wide;
  d->p = p, p += ROWS * COLS;
  d->ds = p, p += ROWS * COLS;
  d->dk = p, p += COLS * d->wide;
  d->dv = p, p += COLS * d->out_wide;
  d->dq = p, p += whole_rows(d->z.queries) * d->wide;
  d->delta = p, p += whole_rows(d->z.queries);
  d->lse = p;
}

/* delta = rowsum(g out) and logsumexp of the queries first ... last; a query that saw no key has -inf there, here 0 */
static void R(open_head)(R(Head) *d, int64_t head, int64_t first, int64_t last) {
  const Array *a = d->args;
  d->b = head / d->z.heads, d->h = head % d->z.heads;
  d->g = R(head_of)(a + 3, d->b, d->h), d->q = R(head_of)(a + 4, d->b, d->h), d->k = R(head_of)(a + 5, d->b, d->h);
  d->v = R(head_of)(a + 6, d->b, d->h), d->out = R(head_of)(a + 8, d->b, d->h);
  const T *lse = (const T *)a[9].data + d->b * a[9].stride[0] + d->h * a[9].stride[1];
  for (int64_t t = first; t < last; t++) {
    const T *g = d->g.p + t * d->g.row, *out = d->out.p + t * d->out.row;
    T at = lse[t * a[9].stride[2]], rest = 0;
    V sum = vset(0);
    if (d->g.col == 1 && d->out.col == 1)
      FOR_LANES(d->z.out_width, sum = vfma(vtail(g + i, m, 0), vtail(out + i, m, 0), sum););
    else
      for (int64_t i = 0; i < d->z.out_width; i++) rest += g[i * d->g.col] * out[i * d->out.col];
    d->delta[t] = vsum(sum) + rest;
    d->lse[t] = at == -(T)INFINITY ? 0 : at;
  }
  memset(d->dq + first * d->wide, 0, (size_t)((last - first) * d->wide) * sizeof(T));
}

/* scores in p and g v^T in ds become P and dS */
static void R(differentiate)(const R(Head) *d, int64_t t, int64_t rows, int64_t s, int64_t cols) {
  const Array *mask = d->args + 7;
  for (int64_t k = 0; k < rows; k++) {
    T *p = d->p + k * COLS, *ds = d->ds + k * COLS, lse = d->lse[t + k], delta = d->delta[t + k];
    int64_t n = d->z.causal ? clamp64(t + k + 1 - s, 0, cols) : cols, padded = (cols + W - 1) / W * W;
    if (mask->data) R(add_mask)(mask, d->b, d->h, t + k, s, p, n);
    FOR_LANES(n, V e = vexp_flushed(vtail(p + i, m, -(T)INFINITY) - lse); vstore(p + i, e);
              vstore(ds + i, e * (vtail(ds + i, m, 0) - delta)););
    for (int64_t i = (n + W - 1) / W * W; i < padded; i += W) vstore(p + i, vset(0)), vstore(ds + i, vset(0));
  }
}

enum { R(KEYS) = 1, R(QUERIES) = 2 };

/* one block of scores: adds to dk and dv, to dq, or to all three */
static void R(block)(R(Head) *d, int64_t t, int64_t rows, int64_t s, int64_t cols, int wanted) {
  R(Matrix) q = R(from_row)(d->q, t), g = R(from_row)(d->g, t), k = R(from_row)(d->k, s);
  R(Matrix) keys = {d->keys, COLS, 1}, values = {d->values, COLS, 1};
  int64_t padded = (cols + W - 1) / W * W, diagonal = t - s, causal = d->z.causal;
  R(Product) scores = {rows, padded, d->z.width, q, keys, d->p, COLS, diagonal, causal ? COLUMNS_UP_TO : WHOLE};
  R(Product) grads = {rows, padded, d->z.out_width, g, values, d->ds, COLS, diagonal, causal ? COLUMNS_UP_TO : WHOLE};
  R(multiply)(&scores, 0);
  R(multiply)(&grads, 0);
  R(differentiate)(d, t, rows, s, cols);
  if (wanted & R(KEYS)) {
    Part part = causal ? TERMS_FROM : WHOLE;
    R(Matrix) q_rows = R(padded_rows)(q, rows, d->z.width, d->q_rows);
    R(Matrix) g_rows = R(padded_rows)(g, rows, d->z.out_width, d->g_rows);
    R(Product) dv = {cols, d->out_wide, rows, {d->p, 1, COLS}, g_rows, d->dv, d->out_wide, diagonal, part};
    R(Product) dk = {cols, d->wide, rows, {d->ds, 1, COLS}, q_rows, d->dk, d->wide, diagonal, part};
    R(multiply)(&dv, 1);
    R(multiply)(&dk, 1);
  }
  if (wanted & R(QUERIES)) {
    R(Matrix) k_rows = R(padded_rows)(k, cols, d->z.width, d->k_rows);
    R(Product) dq = {rows, d->wide, cols, {d->ds, COLS, 1}, k_rows, d->dq + t * d->wide, d->wide, diagonal,
                     causal ? TERMS_UP_TO : WHOLE};
    R(multiply)(&dq, 1);
  }
}

/* all blocks of scores of the queries first ... last (multiples of ROWS) and keys from ... to (of COLS) */
static void R(blocks)(R(Head) *d, int64_t first, int64_t last, int64_t from, int64_t to, int wanted) {
  T scale = (T)d->z.scale;
  for (int64_t s = from; s < to; s += COLS) {
    int64_t cols = to - s < COLS ? to - s : COLS, t = first;
    R(transpose)(R(from_row)(d->k, s), cols, d->z.width, d->keys, COLS, scale);
    R(transpose)(R(from_row)(d->v, s), cols, d->z.out_width, d->values, COLS, 1);
    memset(d->dk, 0, (size_t)(COLS * d->wide) * sizeof(T));
    memset(d->dv, 0, (size_t)(COLS * d->out_wide) * sizeof(T));
    if (d->z.causal && t < s) t = s / ROWS * ROWS; /* earlier queries see none of these keys */
    for (; t < last; t += ROWS) R(block)(d, t, last - t < ROWS ? last - t : ROWS, s, cols, wanted);
    if (!(wanted & R(KEYS))) continue;
    R(put_rows)(d->args + 1, d->b, d->h, s, cols, d->dk, d->wide, scale);
    R(put_rows)(d->args + 2, d->b, d->h, s, cols, d->dv, d->out_wide, 1);
  }
  if (wanted & R(QUERIES))
    R(put_rows)(d->args, d->b, d->h, first, last - first, d->dq + first * d->wide, d->wide, scale);
}

static void R(backward)(const Call *call, const Team *team) {
  R(Head) d;
  R(open_room)(&d, call, team);
  int64_t heads = d.z.batch * d.z.heads, queries = d.z.queries, keys = d.z.keys;
  if (!in_two_rounds(&d.z, team->nt)) {
    for (int64_t head = team->tid; head < heads; head += team->nt) {
      R(open_head)(&d, head, 0, queries);
      R(blocks)(&d, 0, queries, 0, keys, R(KEYS) | R(QUERIES));
    }
    return;
  }
  int64_t per_head = blocks(keys, COLS);
  for (int64_t unit = team->tid; unit < heads * per_head; unit += team->nt) {
    int64_t s = unit % per_head * COLS;
    R(open_head)(&d, unit / per_head, 0, queries);
    R(blocks)(&d, 0, queries, s, s + COLS < keys ? s + COLS : keys, R(KEYS));
  }
  per_head = blocks(queries, ROWS);
  for (int64_t unit = team->tid; unit < heads * per_head; unit += team->nt) {
    int64_t t = unit % per_head * ROWS, end = t + ROWS < queries ? t + ROWS : queries;
    R(open_head)(&d, unit / per_head, t, end);
    R(blocks)(&d, t, end, 0, d.z.causal && end < keys ? end : keys, R(QUERIES));
  }
}
#endif
