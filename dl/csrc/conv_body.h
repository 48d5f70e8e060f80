/* Forward convolution and its data gradient for one type, see conv.c */
#include "conv_pack.h"

/* out[i] + o = act(init + rows[i] * panel), m rows by nv vectors */
typedef void (*R(Tile))(const REAL *const *rows, R(Taps) taps, const REAL *panel, const REAL *init, int act,
                        REAL *const *out, int64_t o);

/* keeps NaN */
INLINE V R(relu)(V v) { return (V)((R(Mask))v & ~(v < 0)); }

INLINE void R(tile_body)(const int m, const int nv, const REAL *const *rows, R(Taps) taps, const REAL *panel,
                         const REAL *init, int act, REAL *const *out, int64_t o) {
  V sum[MR][NV], b[NV];
  UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = R(load)(init + j * W);
  for (int64_t s = 0; s < taps.segments; s++) {
    const REAL *a[MR];
    UNROLL for (int i = 0; i < m; i++) a[i] = rows[i];
    for (int64_t k = taps.segment[s], end = k + taps.length; k < end; k++, panel += nv * W) {
      UNROLL for (int j = 0; j < nv; j++) b[j] = R(load)(panel + j * W);
      UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] += a[i][k] * b[j];
    }
  }
  if (act)
    UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) sum[i][j] = R(relu)(sum[i][j]);
  UNROLL for (int i = 0; i < m; i++) UNROLL for (int j = 0; j < nv; j++) R(store)(out[i] + o + j * W, sum[i][j]);
}

#define TILE(m, nv)                                                                                           \
  static void R(tile_##m##_##nv)(const REAL *const *rows, R(Taps) taps, const REAL *panel, const REAL *init,  \
                                 int act, REAL *const *out, int64_t o) {                                      \
    R(tile_body)(m, nv, rows, taps, panel, init, act, out, o);                                                \
  }
#define TILES(m) TILE(m, 1) TILE(m, 2)
#define NAMES(m) {R(tile_##m##_1), R(tile_##m##_2)},
HEIGHTS(TILES)
static const R(Tile) R(tiles)[MR][NV] = {HEIGHTS(NAMES)};
#undef TILE
#undef TILES
#undef NAMES

typedef struct {
  REAL *panels, *init; /* shared: the weight, and what a sum starts from */
  REAL *buffer;        /* this thread's, as the rest: the unit's source */
  const REAL **rows;   /* its pixels in the source */
  REAL **out;          /* and where their outputs go */
  int64_t *segment, *slots;
} R(Work);

static R(Work) R(work)(const Conv *c, char *memory, int tid, int nt, size_t *bytes) {
  int64_t lanes = ceil_div(c->oc, NR) * NR, number = sizeof(REAL), pixels = unit_pixels(c);
  R(Work) w = {0}, mine = {0};
  *bytes = 0;
  mine.panels = take(memory, bytes, c->groups * c->taps * c->ic * lanes * number);
  mine.init = take(memory, bytes, c->groups * lanes * number);
  for (int t = 0; t < nt; t++) {
    mine.buffer = take(memory, bytes, unit_source(c) * c->channels * number);
    mine.rows = take(memory, bytes, pixels * 8);
    mine.out = take(memory, bytes, pixels * 8);
    mine.segment = take(memory, bytes, c->taps * 8);
    mine.slots = take(memory, bytes, c->taps * 8);
    if (t == tid) w = mine;
  }
  return w;
}

static void R(pack_bias)(REAL *init, const Conv *c, int64_t stride) {
  int64_t lanes = ceil_div(c->oc, NR) * NR;
  const REAL *bias = c->bias;
  for (int64_t g = 0; g < c->groups; g++)
    for (int64_t o = 0; o < lanes; o++) init[g * lanes + o] = bias && o < c->oc ? bias[(g * c->oc + o) * stride] : 0;
}

/* one panel of outputs of all pixels of one class in a unit */
static void R(panel)(const Conv *c, const R(Work) *w, R(Taps) taps, int64_t pixels, const REAL *panel, const REAL *init,
                     int64_t g, int64_t o) {
  int64_t left = c->oc - o, nv = left > W ? NV : 1, tiles = ceil_div(pixels, MR);
  int direct = c->out.c == 1 && left >= nv * W;
  _Alignas(64) REAL block[MR * NR];
  REAL *to[MR];
  for (int i = 0; i < MR; i++) to[i] = block + i * NR;
  for (int64_t t = 0; t < tiles; t++) {
    int64_t begin = pixels * t / tiles, m = pixels * (t + 1) / tiles - begin;
    R(Tile) tile = R(tiles)[m - 1][nv - 1];
    if (direct) {
      tile(w->rows + begin, taps, panel, init, c->act, w->out + begin, g * c->oc + o);
      continue;
    }
    tile(w->rows + begin, taps, panel, init, c->act, to, 0);
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < at_most(left, nv * W); j++) w->out[begin + i][(g * c->oc + o + j) * c->out.c] = to[i][j];
  }
}

/* one vector of outputs where each channel has its own weight */
static void R(depthwise)(const Conv *c, const R(Work) *w, R(Taps) taps, int64_t pixels, int64_t slot, int64_t l) {
  const R(Place) at = R(place)(w->panels, c, 1, 0, l, 0);
  const int64_t n = at_most(W, c->oc - l * W);
  for (int64_t p = 0; p < pixels; p++) {
    const REAL *weight = at.row + slot * at.pitch, *x = w->rows[p] + l * W;
    V sum = R(load)(w->init + l * W);
    for (int64_t s = 0; s < taps.segments; s++)
      for (int64_t k = 0; k < taps.length; k += c->channels, weight += at.pitch)
        sum += R(load_n)(x + taps.segment[s] + k, n) * R(load)(weight);
    if (c->act) sum = R(relu)(sum);
    REAL *to = w->out[p] + l * W * c->out.c;
    if (c->out.c == 1) R(store_n)(to, sum, n);
    else
      for (int64_t i = 0; i < n; i++) to[i * c->out.c] = sum[i];
  }
}

/* panels [p0, p1) of group g of one unit */
static void R(unit)(const Conv *c, const R(Work) *w, int64_t g, Unit u, int64_t p0, int64_t p1) {
  int64_t slot = 0, lanes = ceil_div(c->oc, NR) * NR;
  R(View) view = R(view)(w->buffer, c, &u, g * c->channels, c->channels);
  for (int64_t i = 0; i < c->dim[0].classes; i++)
    for (int64_t j = 0; j < c->dim[1].classes; j++) {
      const Axis a[2] = {axis_of(&c->dim[0], i), axis_of(&c->dim[1], j)};
      int64_t pixels = R(list_pixels)(c, &u, a, view, w->rows, w->out);
      R(Taps) taps = R(list_taps)(a, view, c->channels, w->segment);
      for (int64_t l = p0 * NV; c->depthwise && l < p1 * NV && l * W < c->oc; l++)
        R(depthwise)(c, w, taps, pixels, slot, l);
      for (int64_t p = p0; p < p1 && !c->depthwise; p++) {
        R(Place) at = R(place)(w->panels, c, c->ic, g, p * NV, 0);
        R(panel)(c, w, taps, pixels, at.row + slot * c->ic * at.pitch, w->init + g * lanes + p * NR, g, p * NR);
      }
      slot += a[0].taps * a[1].taps;
    }
}

static void R(run)(const Conv *c, const Team *team, void *memory, int64_t bias_stride) {
  size_t bytes;
  int64_t begin, end, panels = ceil_div(c->oc, NR);
  R(Work) w = R(work)(c, memory, team->tid, team->nt, &bytes);
  conv_slots(c, w.slots);
  team_split(team, R(n_blocks)(c), 1, &begin, &end);
  R(pack)(w.panels, c, w.slots, begin, end);
  if (team->tid == team->nt - 1) R(pack_bias)(w.init, c, bias_stride);
  team_barrier(team);
  team_split(team, c->groups * c->units * panels, 1, &begin, &end);
  while (begin < end) {
    int64_t unit = begin / panels, p0 = begin % panels, p1 = at_most(panels, p0 + end - begin);
    R(unit)(c, &w, unit / c->units, unit_at(c, unit % c->units), p0, p1);
    begin += p1 - p0;
  }
}
