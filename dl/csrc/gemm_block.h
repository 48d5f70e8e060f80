/* A product in tiles: KC steps of k at a time, and for each panel of columns all strips of rows. A panel of B is packed
 * where its columns are not contiguous or its rows lie far apart; A is read where it is, whatever its strides. */
static int F(panel_vectors)(int64_t cols, int64_t rows, int even) {
  int64_t vectors = (cols + W - 1) / W;
  if (even) return vectors >= 2 ? 2 : 1; /* the strips of all panels are the same */
  if (rows <= max_rows[8] && vectors >= 8) return 8;
  if (rows <= max_rows[4] && vectors >= 4) return 4;
  return vectors >= 3 && vectors % 2 ? 3 : vectors >= 2 ? 2 : 1;
}

/* a tile to C of any strides, with a bias of any strides, through a buffer */
static NOINLINE void F(tile_anywhere)(const Product *p, F(Tile) *t, int rows, int nv, int64_t m, int64_t n, int done) {
  T sums[MAX_ROWS * 4 * W] __attribute__((aligned(64)));
  T *c = (T *)p->c + m * p->c_row + n * p->c_col;
  int width = nv * W, cols = width - W + t->last;
  t->c = sums, t->c_row = width;
  if (t->resume)
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++) sums[i * width + j] = c[i * p->c_row + j * p->c_col];
  F(tiles)[nv][rows][t->last < W](t);
  if (done && p->bias) {
    const T *bias = (const T *)p->bias + m * p->bias_row + n * p->bias_col;
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++) sums[i * width + j] += bias[i * p->bias_row + j * p->bias_col];
  }
  if (done && p->act)
    for (int i = 0; i < rows; i++) F(activate)(sums + i * width, cols, p->act);
  if (p->c_row == 1 && cols >= STEP) F(pack_columns)(c, p->c_col, sums, width, rows, cols, 1);
  else
    for (int i = 0; i < rows; i++)
      for (int j = 0; j < cols; j++) c[i * p->c_row + j * p->c_col] = sums[i * width + j];
}

typedef struct {
  F(Tile) tile;           /* with what the strips of a panel share */
  int64_t m0, m1, n;      /* rows, first column */
  int vectors, last_step; /* of k */
  T *packed_a;
} F(Panel);

static void F(strips)(const Product *p, const Plan *plan, F(Panel) *s, int first) {
  F(Tile) *t = &s->tile;
  int most = max_rows[s->vectors], edge = t->last < W, cols = (s->vectors - 1) * W + t->last;
  int activate = s->last_step && p->act > ACT_RELU;
  int64_t all = s->m1 - s->m0, count = 1, low = all, more = 0; /* as even as can be: `more` strips of low + 1 rows */
  if (all > most) count = (all + most - 1) / most, low = all / count, more = all - low * count;
  const T *a = t->a;
  for (int64_t i = 0, m = s->m0, rows; i < count; i++, m += rows) {
    rows = low + (i < more);
    t->a = a + (m - s->m0) * p->a_row;
    if (plan->pack_a) {
      T *packed = s->packed_a + (m - s->m0) * t->k;
      if (first) F(pack)(packed, rows, t->a, 1, p->a_col, rows, t->k);
      t->a = packed, t->a_k = rows;
    }
    if (plan->direct) {
      t->c = (T *)p->c + m * p->c_row + s->n;
      F(tiles)[s->vectors][rows][edge](t);
      for (int j = 0; activate && j < rows; j++) F(activate)(t->c + j * t->c_row, cols, p->act);
    } else {
      F(tile_anywhere)(p, t, (int)rows, s->vectors, m, s->n, s->last_step);
    }
  }
}

/* the panels of columns of KC steps of k from k0 */
static void F(panels)(const Product *p, const Range *range, const Plan *plan, F(Panel) *s, int64_t k0, T *packed_b) {
  F(Tile) *t = &s->tile;
  int fuse = plan->direct && s->last_step;
  for (int64_t n = range->n0, cols; n < range->n1; n += cols) {
    int nv = F(panel_vectors)(range->n1 - n, s->m1 - s->m0, plan->pack_a);
    cols = range->n1 - n < nv * W ? range->n1 - n : nv * W;
    s->vectors = nv, s->n = n;
    t->last = (int)cols - (nv - 1) * W;
    t->relu = fuse && p->act == ACT_RELU;
    t->bias = fuse && p->bias ? (const T *)p->bias + n : NULL;
    t->a = (const T *)p->a + s->m0 * p->a_row + k0 * p->a_col;
    t->b = (const T *)p->b + k0 * p->b_row + n * p->b_col;
    t->b_k = p->b_row;
    if (plan->pack_b) {
      F(pack)(packed_b, nv * W, t->b, p->b_col, p->b_row, cols, t->k);
      t->b = packed_b, t->b_k = nv * W;
    }
    F(strips)(p, plan, s, n == range->n0);
  }
}

static void F(block_product)(const Product *p, const Range *range, const Plan *plan, char *work) {
  F(Panel) s;
  F(Tile) *t = &s.tile;
  t->a_row = p->a_row, t->a_k = p->a_col, t->c_row = p->c_row, t->half = p->half;
  s.packed_a = (T *)(work + plan->b_bytes);
  int64_t k0 = 0, most = plan->pack_a ? BLOCK_ROWS : range->m1 - range->m0;
  do {
    t->k = p->k - k0 < plan->kc ? p->k - k0 : plan->kc;
    t->resume = k0 > 0;
    s.last_step = k0 + t->k == p->k;
    for (s.m0 = range->m0; s.m0 < range->m1; s.m0 = s.m1) {
      s.m1 = range->m1 - s.m0 < most ? range->m1 : s.m0 + most;
      F(panels)(p, range, plan, &s, k0, (T *)work);
    }
    k0 += t->k;
  } while (k0 < p->k);
}
