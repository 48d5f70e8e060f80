/* The micro-kernel: a tile of mr rows and nv vectors of C, kept in registers while k runs.
 *
 * Every element of C is one chain of multiply-adds in ascending k, whatever the tile: results depend neither on how C
 * is cut into tiles nor on the number of threads. A is read element by element at any strides, B in whole vectors. */
typedef struct {
  const T *a, *b, *bias; /* bias: (width,) or NULL */
  T *c;
  int64_t k, a_row, a_k, b_k, c_row; /* strides in elements */
  int last;                          /* elements in the last vector of a row */
  int resume;                        /* go on from the sums in C */
  int64_t half;                      /* see Product; never together with resume */
  int relu;
} F(Tile);

INLINE void F(put_tile)(const int mr, const int nv, const int edge, T *c, int64_t c_row, int last, V acc[MAX_ROWS][8]) {
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) {
    if (edge && j == nv - 1) F(store_n)(c + i * c_row + j * W, acc[i][j], last);
    else F(store)(c + i * c_row + j * W, acc[i][j]);
  }
}

/* Loops over constants are unrolled fully, else gcc keeps the accumulators in memory. Strides in bytes keep it from
 * making a second copy of the loop for unit strides. */
INLINE void F(tile)(const int mr, const int nv, const int edge, const F(Tile) *t) {
  V acc[MAX_ROWS][8];
  const int64_t a_row = t->a_row, a_k = t->a_k * (int64_t)sizeof(T), b_k = t->b_k, c_row = t->c_row;
  const int last = edge ? t->last : W;
  const char *a[(MAX_ROWS + 2) / 3]; /* one pointer for three rows: the strides come from the addressing mode */
  const T *b = t->b;
  T *c = t->c;
  UNROLL for (int i = 0; i < (mr + 2) / 3; i++) a[i] = (const char *)(t->a + 3 * i * a_row);
  UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (V){0};
  if (t->resume)
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] =
        edge && j == nv - 1 ? F(load_n)(c + i * c_row + j * W, last) : F(load)(c + i * c_row + j * W);
  int64_t k = t->half ? t->half : t->k, rest = t->k - k;
again:
  for (; k > 0; k--) {
    V v[8];
    UNROLL for (int j = 0; j < nv; j++) v[j] = edge && j == nv - 1 ? F(load_n)(b + j * W, last) : F(load)(b + j * W);
    UNROLL for (int i = 0; i < mr; i++) {
      V s = F(splat)(((const T *)a[i / 3])[i % 3 * a_row]);
      UNROLL for (int j = 0; j < nv; j++) acc[i][j] = F(fma)(s, v[j], acc[i][j]);
    }
    UNROLL for (int i = 0; i < (mr + 2) / 3; i++) a[i] += a_k;
    b += b_k;
  }
  if (rest) {
    F(put_tile)(mr, nv, edge, c, c_row, last, acc);
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = (V){0};
    k = rest, rest = 0;
    goto again;
  }
  if (t->half)
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] +=
        edge && j == nv - 1 ? F(load_n)(c + i * c_row + j * W, last) : F(load)(c + i * c_row + j * W);
  if (t->bias)
    UNROLL for (int j = 0; j < nv; j++) {
      V v = edge && j == nv - 1 ? F(load_n)(t->bias + j * W, last) : F(load)(t->bias + j * W);
      UNROLL for (int i = 0; i < mr; i++) acc[i][j] += v;
    }
  if (t->relu)
    UNROLL for (int i = 0; i < mr; i++) UNROLL for (int j = 0; j < nv; j++) acc[i][j] = F(relu)(acc[i][j]);
  F(put_tile)(mr, nv, edge, c, c_row, last, acc);
}

#define DEFINE(mr, nv)                                                                          \
  static NOINLINE void F(tile_##mr##x##nv)(const F(Tile) * t) { F(tile)(mr, nv, 0, t); }        \
  static NOINLINE void F(tile_##mr##x##nv##_edge)(const F(Tile) * t) { F(tile)(mr, nv, 1, t); }
TILES(DEFINE)
#undef DEFINE

#define ENTRY(mr, nv) [nv][mr] = {F(tile_##mr##x##nv), F(tile_##mr##x##nv##_edge)},
static void (*const F(tiles)[9][MAX_ROWS + 1][2])(const F(Tile) *) = {TILES(ENTRY)};
#undef ENTRY

/* on values in memory; tanh is that of the elementwise kernel, bit for bit */
static NOINLINE void F(activate)(T *x, int64_t n, int act) {
  if (act == ACT_TANH) {
    for (int64_t i = 0; i < n; i++) x[i] = F(tanh)(x[i]);
    return;
  }
  for (int64_t i = 0; i < n; i += W) {
    int width = n - i < W ? (int)(n - i) : W;
    F(store_n)(x + i, F(relu)(F(load_n)(x + i, width)), width);
  }
}
