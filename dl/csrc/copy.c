/* "copy": args = (out, in) of one shape, any strides and dtypes (cast as NumPy's astype; NaN and what int64 does not
 * hold become its smallest number); they must not overlap. "fill": args = (out), floats = (value), or ints = (value)
 * if int64. */
#include <stdlib.h>
#include <string.h>

#include "dl.h"

static inline int64_t whole(double x) {
  int inside = (x >= -0x1p63) & (x < 0x1p63);
  int64_t y = (int64_t)(inside ? x : 0.0);
  return inside ? y : INT64_MIN;
}

#include "copy_same.inc"

#define FROM float
#define S f32
#define GET(x) (x)
#define WHOLE(x) whole((double)(x))
#include "copy_casts.inc"
#define FROM double
#define S f64
#define GET(x) (x)
#define WHOLE(x) whole(x)
#include "copy_casts.inc"
#define FROM int64_t
#define S i64
#define GET(x) (x)
#define WHOLE(x) (x)
#include "copy_casts.inc"
#define FROM uint8_t
#define S bool
#define GET(x) ((x) != 0)
#define WHOLE(x) ((x) != 0)
#include "copy_casts.inc"

typedef void (*Tile)(void *to, const void *from, int64_t n, int64_t m, const int64_t *t, const int64_t *f);
static const Tile tiles[4][4] = {{tile_4, tile_f32_f64, tile_f32_i64, tile_f32_bool},
                                 {tile_f64_f32, tile_8, tile_f64_i64, tile_f64_bool},
                                 {tile_i64_f32, tile_i64_f64, tile_8, tile_i64_bool},
                                 {tile_bool_f32, tile_bool_f64, tile_bool_i64, tile_1}};
static const int8_t dtype_size[] = {4, 8, 8, 1};

/* elements of a row-wise tile; sides of a transposed one */
enum { LONG_TILE = 1 << 13, TRANSPOSED_ROWS = 32, TRANSPOSED_COLUMNS = 32 };

/* dimensions with the output's smallest stride last; before it the one along which the input is densest, if that is not
 * the last one itself */
typedef struct {
  int ndim;
  int64_t shape[DL_MAXDIM + 2], to[DL_MAXDIM + 2], from[DL_MAXDIM + 2], tile[2], count[2], n_tiles;
} Plan;

static void move_dim(Plan *p, int from, int to) {
  int64_t shape = p->shape[from], t = p->to[from], f = p->from[from];
  for (int step = from < to ? 1 : -1; from != to; from += step) {
    p->shape[from] = p->shape[from + step];
    p->to[from] = p->to[from + step];
    p->from[from] = p->from[from + step];
  }
  p->shape[to] = shape, p->to[to] = t, p->from[to] = f;
}

static void add_dims(Plan *p, const Array *out, const Array *in) {
  p->ndim = 0;
  for (int d = 0; d < out->ndim; d++) {
    if (out->shape[d] == 1) continue;
    int k = p->ndim++, to = k;
    p->shape[k] = out->shape[d], p->to[k] = out->stride[d], p->from[k] = in->stride[d];
    while (to > 0 && llabs(p->to[to - 1]) < llabs(p->to[k])) to--;
    move_dim(p, k, to);
  }
  int last = 0;
  for (int k = 1; k < p->ndim; k++) {
    int merge = p->to[last] == p->to[k] * p->shape[k] && p->from[last] == p->from[k] * p->shape[k];
    p->shape[k] *= merge ? p->shape[last] : 1;
    last += !merge;
    p->shape[last] = p->shape[k], p->to[last] = p->to[k], p->from[last] = p->from[k];
  }
  if (p->ndim) p->ndim = last + 1;
}

static Plan plan_of(const Array *out, const Array *in) {
  Plan p;
  add_dims(&p, out, in);
  while (p.ndim < 2) {
    p.shape[p.ndim] = 1, p.to[p.ndim] = 0, p.from[p.ndim] = 0;
    move_dim(&p, p.ndim++, 0);
  }
  int last = p.ndim - 1, dense = last;
  for (int k = 0; k < last; k++)
    if (p.from[k] != 0 && llabs(p.from[k]) < llabs(p.from[dense])) dense = k;
  if (dense != last) move_dim(&p, dense, last - 1);
  p.tile[0] = TRANSPOSED_ROWS, p.tile[1] = TRANSPOSED_COLUMNS;
  if (dense == last) {
    p.tile[1] = p.shape[last] < LONG_TILE ? p.shape[last] : LONG_TILE;
    p.tile[0] = p.tile[1] > 0 && p.tile[1] < LONG_TILE ? LONG_TILE / p.tile[1] : 1;
  }
  p.n_tiles = 1;
  for (int k = 0; k < 2; k++) {
    p.count[k] = p.tile[k] ? (p.shape[last - 1 + k] + p.tile[k] - 1) / p.tile[k] : 0;
    p.n_tiles *= p.count[k];
  }
  for (int k = 0; k < last - 1; k++) p.n_tiles *= p.shape[k];
  return p;
}

static void copy(const Array *out, const Array *in, const Team *team) {
  Plan p = plan_of(out, in);
  int64_t begin, end, last = p.ndim - 1;
  Tile tile = tiles[in->dtype][out->dtype];
  team_split(team, p.n_tiles, 1, &begin, &end);
  for (int64_t k = begin; k < end; k++) {
    int64_t rest = k / p.count[1], j = (k - rest * p.count[1]) * p.tile[1], up = rest / p.count[0];
    int64_t i = (rest - up * p.count[0]) * p.tile[0];
    int64_t n = p.shape[last - 1] - i < p.tile[0] ? p.shape[last - 1] - i : p.tile[0];
    int64_t m = p.shape[last] - j < p.tile[1] ? p.shape[last] - j : p.tile[1];
    int64_t to = i * p.to[last - 1] + j * p.to[last], from = i * p.from[last - 1] + j * p.from[last];
    for (int64_t d = last - 2; d >= 0; d--) {
      int64_t q = up / p.shape[d], index = up - q * p.shape[d];
      to += index * p.to[d], from += index * p.from[d];
      up = q;
    }
    tile((char *)out->data + to * dtype_size[out->dtype], (const char *)in->data + from * dtype_size[in->dtype], n, m,
         p.to + last - 1, p.from + last - 1);
  }
}

static int known(const Array *a) { return a->data && a->dtype >= 0 && a->dtype <= DL_BOOL && a->ndim <= DL_MAXDIM; }

static int overlaps_itself(const Array *out) {
  for (int d = 0; d < out->ndim; d++)
    if (out->stride[d] == 0 && out->shape[d] > 1 && array_size(out) > 0) return 1;
  return 0;
}

static const char *check_copy(const Call *call) {
  const Array *out = &call->args[0], *in = &call->args[1];
  if (call->n_args != 2 || !known(out) || !known(in)) return "wants (out, in)";
  if (out->ndim != in->ndim) return "out and in must have one shape";
  for (int d = 0; d < out->ndim; d++)
    if (out->shape[d] != in->shape[d]) return "out and in must have one shape";
  return overlaps_itself(out) ? "out must not be broadcast" : NULL;
}

static void run_copy(const Call *call, const Team *team) { copy(&call->args[0], &call->args[1], team); }

static const char *check_fill(const Call *call) {
  if (call->n_args != 1 || !known(&call->args[0])) return "wants (out)";
  if (call->n_ints + call->n_floats != 1) return "wants one number";
  return overlaps_itself(&call->args[0]) ? "out must not be broadcast" : NULL;
}

static void run_fill(const Call *call, const Team *team) {
  const Array *out = &call->args[0];
  int64_t integer = call->n_ints ? call->ints[0] : 0;
  double number = call->n_ints ? 0.0 : call->floats[0];
  Array in = *out;
  in.data = call->n_ints ? (void *)&integer : (void *)&number;
  in.dtype = call->n_ints ? DL_I64 : DL_F64;
  for (int d = 0; d < in.ndim; d++) in.stride[d] = 0;
  copy(out, &in, team);
}

const Kernel K(copy) = {"copy", run_copy, NULL, check_copy};
const Kernel K(fill) = {"fill", run_fill, NULL, check_fill};
