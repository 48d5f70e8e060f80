/* The weight gradient for one type, see conv_weight.c */
#include "conv_pack.h"

/* sums (m by nv vectors) = or += sum over pixels of a[pixel][at ... at + m] * b[pixel][o ...] */
typedef void (*R(Outer))(const REAL *const *a, int64_t at, const REAL *const *b, int64_t o, int64_t pixels, REAL *sums,
                         int add);

INLINE void R(outer_body)(const int m, const int nv, const REAL *const *a, int64_t at, const REAL *const *b, int64_t o,
                          int64_t pixels, REAL *sums, int add) {
  V sum[MR][NV], y[NV];
  UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = (V){0};
  for (int64_t p = 0; p < pixels; p++) {
    const REAL *x = a[p] + at, *from = b[p] + o;
    __asm__("" : "+r"(x), "+r"(from)); /* or else m registers hold at, at + 1, ... */
    UNROLL for (int j = 0; j < nv; j++) y[j] = R(load)(from + j * W);
    UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] += x[i] * y[j];
  }
  UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) {
    REAL *to = sums + (i * nv + j) * W;
    R(store)(to, add ? R(load)(to) + sum[i][j] : sum[i][j]);
  }
}

#define OUTER(m, nv)                                                                                          \
  static void R(outer_##m##_##nv)(const REAL *const *a, int64_t at, const REAL *const *b, int64_t o,          \
                                  int64_t pixels, REAL *sums, int add) {                                      \
    R(outer_body)(m, nv, a, at, b, o, pixels, sums, add);                                                     \
  }
#define OUTERS(m) OUTER(m, 1) OUTER(m, 2)
#define NAMES(m) {R(outer_##m##_1), R(outer_##m##_2)},
HEIGHTS(OUTERS)
static const R(Outer) R(outers)[MR][NV] = {HEIGHTS(NAMES)};
#undef OUTER
#undef OUTERS
#undef NAMES

/* the sum of `copies` panels, `apart` from one another -> weight, this thread's blocks */
static void R(unpack)(REAL *panels, const Conv *c, int64_t ps, int64_t copies, int64_t apart, int64_t begin,
                      int64_t end) {
  if (begin == end) return;
  R(Block) k = R(block)(c, begin);
  for (int64_t index = begin; index < end; index++, R(next_block)(c, &k)) {
    R(Place) at = R(place)(panels, c, ps, k.g, k.l, k.in);
    V r[W];
    for (int64_t j = 0; j < W; j++) {
      r[j] = (V){0};
      if (j >= k.n) continue;
      if (k.in >= at.c0 + at.n) at = R(place)(panels, c, ps, k.g, k.l, k.in);
      const REAL *row = at.row + (k.tap * at.n + k.in - at.c0) * at.pitch;
      for (int64_t q = 0; q < copies; q++) r[j] += R(load)(row + q * apart);
      if (++k.tap == c->taps) k.tap = 0, k.in++;
    }
    if (c->wo == 1 && k.n == 1) {
      R(store_n)(k.w, r[0], k.lanes);
    } else {
      R(transpose)(r);
      for (int64_t i = 0; i < k.lanes; i++) R(store_n)(k.w + i * c->wo, r[i], k.n);
    }
  }
}

typedef struct {
  REAL *sums;              /* shared: copies of the panels */
  REAL *source, *gradient; /* this thread's, as the rest: one unit of both, channels last */
  const REAL **rows;
  REAL **out;
  int64_t *segment, apart; /* numbers from copy to copy */
} R(Work);

static R(Work) R(work)(const Conv *c, char *memory, int tid, int nt, size_t *bytes) {
  int64_t lanes = ceil_div(c->oc, W) * W, number = sizeof(REAL), pixels = unit_pixels(c);
  int64_t apart = c->groups * c->taps * c->ic * ceil_div(c->oc, NR) * NR;
  R(Work) w = {0}, mine = {.apart = apart};
  *bytes = 0;
  mine.sums = take(memory, bytes, apart * copies_of(c) * number);
  for (int t = 0; t < nt; t++) {
    mine.source = take(memory, bytes, unit_source(c) * c->channels * number);
    mine.gradient = take(memory, bytes, pixels * lanes * number);
    mine.rows = take(memory, bytes, pixels * 8);
    mine.out = take(memory, bytes, pixels * 8);
    mine.segment = take(memory, bytes, c->taps * 8);
    if (t == tid) w = mine;
  }
  return w;
}

/* out[m] -> the unit's pixels of the output gradient, of one group, vectors that may be read in full */
static void R(gradient)(const Conv *c, const R(Work) *w, Unit u, int64_t g) {
  int64_t lanes = ceil_div(c->oc, W) * W, row = c->dim[1].count, m = 0;
  for (int64_t n = 0; n < u.images; n++)
    for (int64_t q = 0; q < u.rows; q++, m += row) {
      if (c->out.c == 1 && c->oc == lanes) {
        for (int64_t x = 0; x < row; x++) w->out[m + x] += g * c->oc;
        continue;
      }
      REAL *to = w->gradient + m * lanes;
      R(copy_pixels)(to, w->out[m] + g * c->oc * c->out.c, row, c->oc, lanes, c->out.w, c->out.c);
      for (int64_t x = 0; x < row; x++) {
        for (int64_t i = c->oc; i < lanes; i++) to[x * lanes + i] = 0;
        w->out[m + x] = to + x * lanes;
      }
    }
}

/* one vector of channels that have their own weight: sums = or += sum over pixels of x * dy, tap by tap */
static void R(depthwise)(const Conv *c, const R(Work) *w, R(Taps) taps, int64_t pixels, R(Place) at, int64_t l,
                         int add) {
  const int64_t n = at_most(W, c->oc - l * W), o = l * W;
  REAL *to = at.row;
  for (int64_t s = 0; s < taps.segments; s++)
    for (int64_t k = 0; k < taps.length; k += c->channels, to += at.pitch) {
      const int64_t from = taps.segment[s] + k + o;
      V sum[4] = {{0}, {0}, {0}, {0}};
      int64_t p = 0;
      for (; p + 4 <= pixels; p += 4)
        UNROLL for (int i = 0; i < 4; i++)
          sum[i] += R(load_n)(w->rows[p + i] + from, n) * R(load)(w->out[p + i] + o);
      for (; p < pixels; p++) sum[0] += R(load_n)(w->rows[p] + from, n) * R(load)(w->out[p] + o);
      sum[0] += sum[1] + (sum[2] + sum[3]);
      R(store)(to, add ? R(load)(to) + sum[0] : sum[0]);
    }
}

/* every number of the taps' runs times every output channel */
static void R(products)(const Conv *c, const R(Work) *w, R(Taps) taps, int64_t pixels, REAL *sums, int64_t g,
                        int64_t c0, int64_t ps, int add) {
  int64_t tiles = ceil_div(taps.length, MR), vectors = ceil_div(c->oc, W);
  for (int64_t l = 0; l < vectors; l += NV) {
    int64_t nv = at_most(NV, vectors - l);
    REAL *panel = R(place)(sums, c, ps, g, l, c0).row;
    for (int64_t s = 0; s < taps.segments; s++)
      for (int64_t t = 0; t < tiles; t++) {
        int64_t k = taps.length * t / tiles, m = taps.length * (t + 1) / tiles - k;
        R(outers)[m - 1][nv - 1](w->rows, taps.segment[s] + k, (const REAL *const *)w->out, l * W, pixels,
                                 panel + (s * taps.length + k) * nv * W, add);
      }
  }
}

/* adds (or sets) the sums of one unit for in channels [c0, c0 + ps) of a group */
static void R(unit)(const Conv *c, const R(Work) *w, REAL *sums, Unit u, int64_t g, int64_t c0, int64_t ps, int add) {
  const Axis a[2] = {axis_of(&c->dim[0], 0), axis_of(&c->dim[1], 0)};
  int64_t n = c->depthwise ? c->channels : at_most(ps, c->ic - c0);
  R(View) view = R(view)(w->source, c, &u, g * c->ic + c0, n);
  int64_t pixels = R(list_pixels)(c, &u, a, view, w->rows, w->out);
  R(Taps) taps = R(list_taps)(a, view, n, w->segment);
  R(gradient)(c, w, u, g);
  if (!c->depthwise) R(products)(c, w, taps, pixels, sums, g, c0, ps, add);
  for (int64_t l = 0; c->depthwise && l * W < c->oc; l++)
    R(depthwise)(c, w, taps, pixels, R(place)(sums, c, 1, 0, l, 0), l, add);
}

static void R(run)(const Conv *c, const Team *team, void *memory) {
  size_t bytes;
  R(Work) w = R(work)(c, memory, team->tid, team->nt, &bytes);
  int64_t copies = copies_of(c), ps = part_size(c, team->nt), parts = ceil_div(c->ic, ps), begin, end;
  team_split(team, copies * c->groups * parts, 1, &begin, &end);
  for (int64_t item = begin; item < end; item++) {
    int64_t copy = item / (c->groups * parts), g = item / parts % c->groups, c0 = item % parts * ps;
    int64_t first = c->units * copy / copies, last = c->units * (copy + 1) / copies;
    for (int64_t u = first; u < last; u++)
      R(unit)(c, &w, w.sums + copy * w.apart, unit_at(c, u), g, c0, ps, u > first);
  }
  team_barrier(team);
  team_split(team, R(n_blocks)(c), 1, &begin, &end);
  R(unpack)(w.sums, c, ps, copies, w.apart, begin, end);
}
