/* Scaled-dot-product attention: out = softmax(scale q k^T + mask) v, and the logarithm of each row's sum, by blocks of
 * the scores with a running maximum and sum, so that the scores are never stored whole. Source: Dao et al.,
 * FlashAttention, 2022, algorithm 1. A query that sees no key gets zeros. The file includes itself once per type. */
#ifndef REAL
#include <math.h>

#include "attention.h"
#include "lanes_math.h"

/* a thread's scratch, in elements: k^T, v, the scores, the output, the maxima, sums and factors of the rows */
static int64_t room_elements(const Sizes *z) {
  return z->width * COLS + COLS * to_lanes(z->out_width) + ROWS * COLS + ROWS * to_lanes(z->out_width) + 4 * ROWS;
}

#define REAL 32
#include "attention.c"
#undef REAL
#define REAL 64
#include "attention.c"

static void run(const Call *call, const Team *team) {
  if (call->args[0].dtype == DL_F32) attention_f32(call, team);
  else attention_f64(call, team);
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != 6) return "wants (out, logsumexp; q, k, v, mask), causal, scale";
  const char *wrong = check_heads(call, a + 2, a + 3, a + 4, a + 5);
  if (wrong) return wrong;
  if (!is_heads(a, a + 2, a[2].shape[2], a[4].shape[3])) return "out must be (B, H, T, Ev) with q's dtype";
  return is_heads(a + 1, a + 2, a[2].shape[2], -1) ? NULL : "logsumexp must be (B, H, T) with q's dtype";
}

static size_t workspace(const Call *call, int nt) {
  Sizes z = sizes_of(call, call->args + 2, call->args + 3, call->args + 4);
  return (size_t)room_elements(&z) * 8 * (size_t)nt;
}

const Kernel K(attention) = {"attention", run, workspace, check};

#else /* once per type */
#include "real.h"
#include "attention.h"

typedef struct {
  T *keys, *values, *scores, *out, *high, *sum, *factor, *next;
} R(Room);

static R(Room) R(room_of)(const Call *call, const Team *team, const Sizes *z) {
  R(Room) r;
  r.keys = (T *)((char *)call->work + (size_t)team->tid * (size_t)room_elements(z) * 8);
  r.values = r.keys + z->width * COLS;
  r.scores = r.values + COLS * to_lanes(z->out_width);
  r.out = r.scores + ROWS * COLS;
  r.high = r.out + ROWS * to_lanes(z->out_width);
  r.sum = r.high + ROWS;
  r.factor = r.sum + ROWS;
  r.next = r.factor + ROWS;
  return r;
}

/* keys that query t sees among s ... s + n */
static int64_t R(seen)(const Sizes *z, int64_t t, int64_t s, int64_t n) {
  return z->causal ? clamp64(t + 1 - s, 0, n) : n;
}

/* scores become exp(score - the new maximum); factor: what the old sums must be multiplied by */
static void R(soften)(const Sizes *z, const R(Room) *r, int64_t t, int64_t rows, int64_t s, int64_t cols) {
  for (int64_t k = 0; k < rows; k++) {
    V high = vset(-(T)INFINITY);
    const T *x = r->scores + k * COLS;
    FOR_LANES(R(seen)(z, t + k, s, cols), high = vmax(high, vtail(x + i, m, -(T)INFINITY)););
    r->next[k] = vhigh(high);
  }
  for (int64_t k = 0; k < rows; k += W) {
    V old = vload(r->high + k), new = vmax(old, vload(r->next + k));
    for (int i = 0; i < W; i++) new[i] = new[i] == -(T)INFINITY ? 0 : new[i];
    vstore(r->factor + k, vexp_flushed(old - new));
    vstore(r->high + k, vmax(old, vload(r->next + k)));
    vstore(r->next + k, new);
  }
  for (int64_t k = 0; k < rows; k++) {
    V sum = vset(0);
    T *x = r->scores + k * COLS, shift = r->next[k];
    int64_t n = R(seen)(z, t + k, s, cols), padded = to_lanes(cols);
    FOR_LANES(n, V e = vexp_flushed(vtail(x + i, m, -(T)INFINITY) - shift); sum += e; vstore(x + i, e););
    for (int64_t i = (n + W - 1) / W * W; i < padded; i += W) vstore(x + i, vset(0));
    r->sum[k] = r->sum[k] * r->factor[k] + vsum(sum);
  }
}

/* the block of queries t ... t + rows of one head */
static void R(block)(const Call *call, const Sizes *z, const R(Room) *r, int64_t b, int64_t h, int64_t t,
                     int64_t rows) {
  const Array *a = call->args, *mask = a + 5;
  R(Matrix) q = R(from_row)(R(head_of)(a + 2, b, h), t), key = R(head_of)(a + 3, b, h), value = R(head_of)(a + 4, b, h);
  int64_t width = (z->out_width + W - 1) / W * W, end = z->causal && t + rows < z->keys ? t + rows : z->keys;
  for (int64_t k = 0; k < ROWS; k++) r->high[k] = -(T)INFINITY, r->sum[k] = 0, r->next[k] = 0;
  memset(r->out, 0, (size_t)(ROWS * width) * sizeof(T));
  for (int64_t s = 0; s < end; s += COLS) {
    int64_t cols = end - s < COLS ? end - s : COLS, padded = (cols + W - 1) / W * W;
    R(transpose)(R(from_row)(key, s), cols, z->width, r->keys, COLS, (T)z->scale);
    Part part = z->causal ? COLUMNS_UP_TO : WHOLE;
    R(Product) scores = {rows, padded, z->width, q, {r->keys, COLS, 1}, r->scores, COLS, t - s, part};
    R(multiply)(&scores, 0);
    for (int64_t k = 0; mask->data && k < rows; k++)
      R(add_mask)(mask, b, h, t + k, s, r->scores + k * COLS, R(seen)(z, t + k, s, cols));
    R(soften)(z, r, t, rows, s, cols);
    for (int64_t k = 0; s > 0 && k < rows; k++) {
      T *out = r->out + k * width;
      for (int64_t i = 0; i < width; i += W) vstore(out + i, vload(out + i) * r->factor[k]);
    }
    R(Matrix) v = R(padded_rows)(R(from_row)(value, s), cols, z->out_width, r->values);
    part = z->causal ? TERMS_UP_TO : WHOLE;
    R(Product) out = {rows, width, cols, {r->scores, COLS, 1}, v, r->out, width, t - s, part};
    R(multiply)(&out, s > 0);
  }
}

static void R(attention)(const Call *call, const Team *team) {
  const Array *a = call->args;
  Sizes z = sizes_of(call, a + 2, a + 3, a + 4);
  R(Room) r = R(room_of)(call, team, &z);
  int64_t per_head = blocks(z.queries, ROWS), width = (z.out_width + W - 1) / W * W;
  /* dealt out one by one: the later blocks of a causal head take longer */
  for (int64_t unit = team->tid; unit < z.batch * z.heads * per_head; unit += team->nt) {
    int64_t head = unit / per_head, t = unit % per_head * ROWS, rows = z.queries - t < ROWS ? z.queries - t : ROWS;
    int64_t b = head / z.heads, h = head % z.heads;
    R(block)(call, &z, &r, b, h, t, rows);
    for (int64_t k = 0; k < rows; k++) {
      T *row = r.out + k * width, factor = r.sum[k] > 0 || r.sum[k] != r.sum[k] ? 1 / r.sum[k] : 0;
      for (int64_t i = 0; i < width; i += W) vstore(row + i, vload(row + i) * factor);
    }
    R(put_rows)(a, b, h, t, rows, r.out, width, 1);
    T *lse = (T *)a[1].data + b * a[1].stride[0] + h * a[1].stride[1] + t * a[1].stride[2];
    for (int64_t k = 0; k < rows; k += W) vstore(r.sum + k, vlog(vload(r.sum + k)) + vload(r.high + k));
    for (int64_t k = 0; k < rows; k++) lse[k * a[1].stride[2]] = r.sum[k];
  }
}
#endif
