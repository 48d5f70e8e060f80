/* The bias gradient for one type, see conv_bias.c */
#include "conv_vector.h"

/* db for channels that are neighbours: nv vectors of them (a constant where this is called), `left` in the last one */
INLINE void R(add_up)(const Array *a, const REAL *from, REAL *db, int64_t stride, const int nv, int64_t left) {
  const Image dy = image_of(a);
  V sum[MOST];
  UNROLL for (int j = 0; j < nv; j++) sum[j] = (V){0};
  for (int64_t b = 0; b < a->shape[0]; b++)
    for (int64_t h0 = 0; h0 < a->shape[2]; h0 += BLOCK) {
      V part[MOST];
      UNROLL for (int j = 0; j < nv; j++) part[j] = (V){0};
      for (int64_t h = h0; h < at_most(h0 + BLOCK, a->shape[2]); h++) {
        const REAL *p = from + b * dy.n + h * dy.h;
        for (int64_t w = 0; w < a->shape[3]; w++, p += dy.w)
          UNROLL for (int j = 0; j < nv; j++) part[j] += R(load_n)(p + j * W, j < nv - 1 ? W : left);
      }
      UNROLL for (int j = 0; j < nv; j++) sum[j] += part[j];
    }
  for (int64_t i = 0; i < (nv - 1) * W + left; i++) db[i * stride] = sum[i / W][i % W];
}

static void R(last)(REAL *db, int64_t stride, const Array *a, int64_t c, int64_t n) {
  const REAL *from = (const REAL *)a->data + c;
  db += c * stride;
  if (n == MOST * W) R(add_up)(a, from, db, stride, MOST, W);
  else if (n == 2 * W) R(add_up)(a, from, db, stride, 2, W);
  else
    for (int64_t i = 0; i < n; i += W) R(add_up)(a, from + i, db + i * stride, stride, 1, at_most(W, n - i));
}

/* one channel, any strides; a plane without gaps is one row */
static REAL R(plane)(const Array *a, int64_t c) {
  Image dy = image_of(a);
  int64_t height = a->shape[2], width = a->shape[3];
  if (dy.h == width * dy.w) width *= height, height = 1;
  REAL sum = 0;
  for (int64_t b = 0; b < a->shape[0]; b++) {
    const REAL *from = (const REAL *)dy.data + b * dy.n + c * dy.c;
    V part = {0};
    REAL one = 0;
    for (int64_t h = 0; h < height; h++)
      if (dy.w == 1)
        for (int64_t w = 0; w < width; w += W) part += R(load_n)(from + h * dy.h + w, width - w);
      else
        for (int64_t w = 0; w < width; w++) one += from[h * dy.h + w * dy.w];
    for (int i = 0; i < W; i++) one += part[i];
    sum += one;
  }
  return sum;
}

static void R(run)(const Array *db, const Array *dy, const Team *team) {
  int64_t begin, end, last = dy->stride[1] == 1, at_once = MOST * W;
  team_split(team, dy->shape[1], last && dy->shape[1] >= 2 * VLANES ? VLANES : 1, &begin, &end);
  for (int64_t c = begin; c < end; c += last ? at_once : 1)
    if (last) R(last)(db->data, db->stride[0], dy, c, at_most(at_once, end - c));
    else ((REAL *)db->data)[c * db->stride[0]] = R(plane)(dy, c);
}
