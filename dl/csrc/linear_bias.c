/* The gradient of a layer's bias: out (n,) = the sum of the rows of g (k, n), in one part or as the sum of two halves, so
 * that two threads which have half of the rows each get the same bits. ints: parts (1 or 2). Blocks of BLOCK rows are
 * added up in the type of g, the blocks in double. The file includes itself once per type. */
#ifndef REAL
#include "strided.h"

enum { BLOCK = 16, COLUMNS = 64 };

#define REAL 32
#include "linear_bias.c"
#undef REAL
#define REAL 64
#include "linear_bias.c"

static void run(const Call *call, const Team *team) {
  const Array *out = &call->args[0], *g = &call->args[1];
  int64_t begin, end;
  team_split(team, out->shape[0], COLUMNS, &begin, &end);
  (out->dtype == DL_F32 ? sums_f32 : sums_f64)(out, g, begin, end, call->ints[0] == 2 ? g->shape[0] / 2 : 0);
}

static const char *check(const Call *call) {
  const Array *out = &call->args[0], *g = &call->args[1];
  if (call->n_args != 2 || call->n_ints != 1 || call->ints[0] < 1 || call->ints[0] > 2)
    return "wanted the sums, the rows, and 1 or 2 parts";
  if (!is_real(out) || !is_real(g) || out->dtype != g->dtype || out->ndim != 1 || g->ndim != 2 ||
      out->shape[0] != g->shape[1])
    return "wanted rows (k, n) and sums (n,) of one dtype, float32 or float64";
  return NULL;
}

const Kernel K(linear_bias) = {"linear_bias", run, NULL, check};

#else /* once per type */
#include "real.h"

/* rows [from, to) of up to COLUMNS columns */
static void R(part)(const T *g, int64_t row, int64_t col, int64_t from, int64_t to, int64_t width, T *sums) {
  double total[COLUMNS] = {0};
  for (int64_t i = from; i < to;) {
    T block[COLUMNS] = {0};
    int64_t last = to - i < BLOCK ? to : i + BLOCK;
    if (width == COLUMNS && col == 1) {
      for (; i < last; i++)
        for (int64_t j = 0; j < COLUMNS; j++) block[j] += g[i * row + j];
    } else {
      for (; i < last; i++)
        for (int64_t j = 0; j < width; j++) block[j] += g[i * row + j * col];
    }
    for (int64_t j = 0; j < COLUMNS; j++) total[j] += (double)block[j];
  }
  for (int64_t j = 0; j < COLUMNS; j++) sums[j] = (T)total[j];
}

/* columns [begin, end); half: rows in the first part, if there are two */
static void R(sums)(const Array *out, const Array *g, int64_t begin, int64_t end, int64_t half) {
  int64_t row = g->stride[0], col = g->stride[1], step = out->stride[0];
  for (int64_t j = begin; j < end; j += COLUMNS) {
    int64_t width = end - j < COLUMNS ? end - j : COLUMNS;
    T first[COLUMNS], rest[COLUMNS];
    R(part)((const T *)g->data + j * col, row, col, half, g->shape[0], width, rest);
    if (half) {
      R(part)((const T *)g->data + j * col, row, col, 0, half, width, first);
      for (int64_t i = 0; i < width; i++) rest[i] = first[i] + rest[i];
    }
    for (int64_t i = 0; i < width; i++) ((T *)out->data)[(j + i) * step] = rest[i];
  }
}
#endif
