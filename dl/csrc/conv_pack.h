/* Moving numbers: a unit's source, padded, channels last; weights into panels and back. Included once per type. */
#include "conv_vector.h"

typedef struct {
  const REAL *data;
  int64_t n, h, w; /* strides; that of channels is 1 */
} R(View);

/* a row's K numbers: segments of length numbers at row + segment[s] */
typedef struct {
  const int64_t *segment;
  int64_t segments, length;
} R(Taps);

/* a few planes, c apart, become pixels of n numbers; n is a constant where this is called */
INLINE void R(interleave)(REAL *restrict dst, const REAL *restrict src, int64_t count, const int n, int64_t c) {
  for (int64_t p = 0; p < count; p++)
    UNROLL for (int i = 0; i < n; i++) dst[p * n + i] = src[i * c + p];
}

/* count pixels of ch channels: pitch between pixels of dst; src has strides w and c */
static inline void R(copy_pixels)(REAL *dst, const REAL *src, int64_t count, int64_t ch, int64_t pitch, int64_t w,
                                  int64_t c) {
  if ((c == 1 || ch == 1) && w == ch && pitch == ch) {
    memcpy(dst, src, (size_t)(count * ch) * sizeof(REAL));
  } else if (c == 1) {
    for (int64_t p = 0; p < count; p++)
      for (int64_t i = 0; i < ch; i += W) R(store_n)(dst + p * pitch + i, R(load_n)(src + p * w + i, ch - i), ch - i);
  } else if (w == 1 && ch >= W / 2) {
    for (int64_t i = 0; i < ch; i += W)
      for (int64_t p = 0; p < count; p += W) {
        V r[W];
        UNROLL for (int j = 0; j < W; j++) r[j] = i + j < ch ? R(load_n)(src + (i + j) * c + p, count - p) : (V){0};
        R(transpose)(r);
        UNROLL for (int j = 0; j < W; j++) if (p + j < count) R(store_n)(dst + (p + j) * pitch + i, r[j], ch - i);
      }
  } else if (w == 1 && ch == 3 && pitch == 3) {
    R(interleave)(dst, src, count, 3, c);
  } else {
    for (int64_t i = 0; i < ch; i++)
      for (int64_t p = 0; p < count; p++) dst[p * pitch + i] = src[p * w + i * c];
  }
}

typedef struct {
  int64_t row0, rows, col0, cols;
} R(Box);

/* the box of each of the unit's images, with zeros outside; img starts at the first of the ch channels */
static inline void R(load_image)(REAL *dst, const Image *img, const Dim *dim, const Unit *u, R(Box) box, int64_t ch) {
  int64_t row0 = box.row0, col0 = box.col0, cols = box.cols, line = cols * ch;
  int64_t left = at_most(at_least(-col0, 0), cols), right = at_least(at_most(dim[1].source - col0, cols), left);
  for (int64_t n = 0; n < u->images; n++)
    for (int64_t r = 0; r < box.rows; r++, dst += line) {
      if (row0 + r < 0 || row0 + r >= dim[0].source) {
        memset(dst, 0, (size_t)line * sizeof(REAL));
        continue;
      }
      const REAL *src = (const REAL *)img->data + (u->n0 + n) * img->n + (row0 + r) * img->h + (col0 + left) * img->w;
      memset(dst, 0, (size_t)(left * ch) * sizeof(REAL));
      R(copy_pixels)(dst + left * ch, src, right - left, ch, ch, img->w, img->c);
      memset(dst + right * ch, 0, (size_t)(line - right * ch) * sizeof(REAL));
    }
}

/* The unit's source, channels [c0, c0 + ch): in place where it needs no padding and no transpose, else in buffer */
static inline R(View) R(view)(REAL *buffer, const Conv *c, const Unit *u, int64_t c0, int64_t ch) {
  const Dim *d = c->dim;
  Image img = c->source;
  img.data = (REAL *)img.data + c0 * img.c;
  int64_t row0 = u->q0 * d[0].source_step + d[0].lo, col0 = d[1].lo;
  int64_t rows = reach(&d[0], u->rows), cols = reach(&d[1], d[1].count);
  int inside = row0 >= 0 && row0 + rows <= d[0].source && col0 >= 0 && col0 + cols <= d[1].source;
  if (inside && (img.c == 1 || ch == 1))
    return (R(View)){(REAL *)img.data + u->n0 * img.n + row0 * img.h + col0 * img.w, img.n, img.h, img.w};
  R(load_image)(buffer, &img, d, u, (R(Box)){row0, rows, col0, cols}, ch);
  return (R(View)){buffer, rows * cols * ch, cols * ch, ch};
}

/* Weights as panels of NR outputs (the last one W where that is enough): [group][part][panel][tap][in channel][output].
 * A part is ps in channels; tap is a place in the order of taps that conv_slots gives. */
typedef struct {
  REAL *row; /* of tap 0 and the part's first in channel, c0 */
  int64_t pitch, c0, n;
} R(Place);

/* l counts vectors of outputs */
static inline R(Place) R(place)(REAL *panels, const Conv *c, int64_t ps, int64_t g, int64_t l, int64_t in) {
  int64_t c0 = ps == c->ic ? 0 : in / ps * ps, n = at_most(ps, c->ic - c0), p = l / NV, vectors = ceil_div(c->oc, W);
  REAL *panel = panels + ((g * c->ic + c0) * ceil_div(vectors, NV) + p * n) * c->taps * NR;
  return (R(Place)){panel + l % NV * W, at_most(NV, vectors - p * NV) * W, c0, n};
}

/* how many numbers of the weight are neighbours in memory along (in channel, kernel row, kernel column) */
static inline int64_t R(neighbours)(const Conv *c) {
  int64_t kh = c->dim[0].kernel, kw = c->dim[1].kernel, n = 1;
  if (kw > 1 && c->ww != 1) return n;
  n = kw;
  if (kh > 1 && c->wh != n) return n;
  n *= kh;
  return c->ic > 1 && c->wi != n ? n : n * at_least(c->ic, 1);
}

static inline int64_t R(n_blocks)(const Conv *c) {
  int64_t run = R(neighbours)(c);
  return c->groups * ceil_div(c->oc, W) * (c->ic * c->taps / run) * ceil_div(run, W);
}

/* A block of the weight: vector l of outputs (lanes of them) by n neighbours from (in, tap), the col-th of their run */
typedef struct {
  REAL *w;
  int64_t g, l, in, tap, run, col, n, lanes;
} R(Block);

static inline void R(block_bounds)(const Conv *c, R(Block) *k) {
  int64_t row = k->tap / c->dim[1].kernel, column = k->tap - row * c->dim[1].kernel;
  k->w = (REAL *)c->weight + k->g * c->wg + k->l * W * c->wo + k->in * c->wi + row * c->wh + column * c->ww;
  k->n = at_most(W, k->run - k->col);
  k->lanes = at_most(W, c->oc - k->l * W);
}

static inline R(Block) R(block)(const Conv *c, int64_t index) {
  R(Block) k = {.run = R(neighbours)(c)};
  int64_t per_run = ceil_div(k.run, W), per_vector = c->ic * c->taps / k.run * per_run;
  k.l = index / per_vector;
  k.g = k.l / ceil_div(c->oc, W);
  k.l %= ceil_div(c->oc, W);
  k.col = index % per_run * W;
  int64_t first = index % per_vector / per_run * k.run + k.col;
  k.in = first / c->taps;
  k.tap = first % c->taps;
  R(block_bounds)(c, &k);
  return k;
}

/* the next block, when (in, tap) have been counted up through this one */
static inline void R(next_block)(const Conv *c, R(Block) *k) {
  k->col += k->n;
  if (k->col == k->run) k->col = 0;
  if (k->in == c->ic) {
    k->in = 0;
    if (++k->l * W >= c->oc) k->l = 0, k->g++;
  }
  R(block_bounds)(c, k);
}

/* weight -> panels, this thread's blocks */
static inline void R(pack)(REAL *panels, const Conv *c, const int64_t *slots, int64_t begin, int64_t end) {
  if (begin == end) return;
  R(Block) k = R(block)(c, begin);
  for (int64_t index = begin; index < end; index++, R(next_block)(c, &k)) {
    R(Place) to = R(place)(panels, c, c->ic, k.g, k.l, 0);
    V r[W];
    if (c->wo == 1 && k.n == 1) {
      r[0] = R(load_n)(k.w, k.lanes);
    } else {
      UNROLL for (int i = 0; i < W; i++) r[i] = i < k.lanes ? R(load_n)(k.w + i * c->wo, k.n) : (V){0};
      R(transpose)(r);
    }
    for (int64_t j = 0; j < k.n; j++) {
      if (slots[k.tap] >= 0) R(store)(to.row + (slots[k.tap] * c->ic + k.in) * to.pitch, r[j]);
      if (++k.tap == c->taps) k.tap = 0, k.in++;
    }
  }
}

/* The pixels of one class of a unit: where their first source number is, and where their outputs start */
static inline int64_t R(list_pixels)(const Conv *c, const Unit *u, const Axis a[2], R(View) view, const REAL **rows,
                                     REAL **out) {
  int64_t m = 0, end = at_most(u->q0 + u->rows, a[0].count);
  int64_t dy = a[0].source_step * view.h, dx = a[1].source_step * view.w, first = (a[0].off0 - c->dim[0].lo) * view.h;
  first += (a[1].off0 - c->dim[1].lo) * view.w;
  for (int64_t n = 0; n < u->images; n++)
    for (int64_t q = u->q0; q < end; q++) {
      const REAL *row = view.data + n * view.n + (q - u->q0) * dy + first;
      REAL *to = (REAL *)c->out.data + (u->n0 + n) * c->out.n + (a[0].first + q * a[0].step) * c->out.h;
      for (int64_t x = 0; x < a[1].count; x++, m++) {
        rows[m] = row + x * dx;
        out[m] = to + (a[1].first + x * a[1].step) * c->out.w;
      }
    }
  return m;
}

/* The taps of one class as runs of neighbours in the view, which has ch channels */
static inline R(Taps) R(list_taps)(const Axis a[2], R(View) view, int64_t ch, int64_t *segment) {
  int64_t n = 0, joined = a[1].taps == 1 || a[1].doff * view.w == ch;
  for (int64_t i = 0; i < a[0].taps; i++)
    for (int64_t j = 0; j < (joined ? at_most(a[1].taps, 1) : a[1].taps); j++)
      segment[n++] = i * a[0].doff * view.h + j * a[1].doff * view.w;
  return (R(Taps)){segment, n, joined ? a[1].taps * ch : ch};
}
