/* Products of few columns or few rows, with k contiguous in both A and B: inner products along k, GROUP at a time.
 *
 * Each element is W partial sums (k, k + W, ...) added in a fixed tree: the same bits in every shape of the group, but
 * not those of the micro-kernel, which adds in ascending k. */
#define LANES (W / LANE)

/* v[0..LANE-1] -> the sums of each lane of each */
INLINE V F(sum_in_lanes)(const V *v) {
#if BITS == 32
  V a = SHUFFLE(v[0], v[1], ZIP, 0) + SHUFFLE(v[0], v[1], ZIP, 2);
  V b = SHUFFLE(v[2], v[3], ZIP, 0) + SHUFFLE(v[2], v[3], ZIP, 2);
  return SHUFFLE(a, b, PAIR, 0) + SHUFFLE(a, b, PAIR, 2);
#else
  return SHUFFLE(v[0], v[1], ONE, 0) + SHUFFLE(v[0], v[1], ONE, 1);
#endif
}

/* v[0..W-1] -> their W horizontal sums */
INLINE V F(sums)(const V *v) {
  V u[LANES];
  UNROLL for (int i = 0; i < LANES; i++) u[i] = F(sum_in_lanes)(v + i * LANE);
  return F(sum_lanes)(u);
}

typedef struct {
  const T *a, *b, *bias;
  T *c;
  int64_t k, a_row, b_col, bias_row, bias_col, c_row, c_col;
  int rows, cols, act; /* the part of the group inside the range */
} F(Dots);

INLINE void F(put)(const int rows, const int cols, const F(Dots) *d, V *acc) {
  T x[GROUP] __attribute__((aligned(64)));
  UNROLL for (int i = 0; i < GROUP; i += W) F(store)(x + i, F(sums)(acc + i));
  const int m = d->rows < rows ? d->rows : rows, n = d->cols < cols ? d->cols : cols;
  if (d->bias)
    for (int r = 0; r < m; r++)
      for (int s = 0; s < n; s++) x[r * cols + s] += d->bias[r * d->bias_row + s * d->bias_col];
  if (d->act) F(activate)(x, GROUP, d->act);
  if (m == rows && n == cols) {
    UNROLL for (int r = 0; r < rows; r++)
      UNROLL for (int s = 0; s < cols; s++) d->c[r * d->c_row + s * d->c_col] = x[r * cols + s];
  } else {
    for (int r = 0; r < m; r++)
      for (int s = 0; s < n; s++) d->c[r * d->c_row + s * d->c_col] = x[r * cols + s];
  }
}

/* acc[r * cols + s] += a[r] b[s], n of W elements from k on */
INLINE void F(multiply)(const int rows, const int cols, V *acc, const T *const *a, const T *const *b, int64_t k,
                        int n) {
  V v[GROUP];
  UNROLL for (int s = 0; s < cols; s++) v[s] = n == W ? F(load)(b[s] + k) : F(load_n)(b[s] + k, n);
  UNROLL for (int r = 0; r < rows; r++) {
    V x = n == W ? F(load)(a[r] + k) : F(load_n)(a[r] + k, n);
    UNROLL for (int s = 0; s < cols; s++) acc[r * cols + s] = F(fma)(x, v[s], acc[r * cols + s]);
  }
}

/* rows x cols inner products; the last row and column stand in for those outside */
INLINE void F(dots)(const int rows, const int cols, const F(Dots) *d) {
  V acc[GROUP];
  const T *a[GROUP], *b[GROUP];
  UNROLL for (int r = 0; r < rows; r++) a[r] = d->a + (r < d->rows ? r : d->rows - 1) * d->a_row;
  UNROLL for (int s = 0; s < cols; s++) b[s] = d->b + (s < d->cols ? s : d->cols - 1) * d->b_col;
  UNROLL for (int i = 0; i < GROUP; i++) acc[i] = (V){0};
  int64_t k = 0;
  for (; k + W <= d->k; k += W) F(multiply)(rows, cols, acc, a, b, k, W);
  if (k < d->k) F(multiply)(rows, cols, acc, a, b, k, (int)(d->k - k));
  F(put)(rows, cols, d, acc);
}

#define DEFINE(rows, cols) \
  static NOINLINE void F(dots_##rows##x##cols)(const F(Dots) * d) { F(dots)(rows, cols, d); }
DOTS(DEFINE)
#undef DEFINE
#define ENTRY(rows, cols) [rows] = F(dots_##rows##x##cols),
static void (*const F(dots_of)[GROUP + 1])(const F(Dots) *) = {DOTS(ENTRY)};
#undef ENTRY

static void F(dot_product)(const Product *p, const Range *range) {
  F(Dots) d = {.k = p->k, .a_row = p->a_row, .b_col = p->b_col, .bias_row = p->bias_row, .bias_col = p->bias_col,
               .c_row = p->c_row, .c_col = p->c_col, .act = p->act};
  for (int64_t n = range->n0, cols; n < range->n1; n += cols) {
    int64_t m_left = range->m1 - range->m0, left = range->n1 - n;
    int64_t rows = m_left > 8 && left <= 2 ? (left == 2 ? GROUP / 2 : GROUP) : m_left > 2 ? 4 : m_left;
    cols = GROUP / rows;
    d.cols = (int)(left < cols ? left : cols);
    for (int64_t m = range->m0; m < range->m1; m += rows) {
      d.rows = (int)(range->m1 - m < rows ? range->m1 - m : rows);
      d.a = (const T *)p->a + m * p->a_row;
      d.b = (const T *)p->b + n * p->b_col;
      d.c = (T *)p->c + m * p->c_row + n * p->c_col;
      d.bias = p->bias ? (const T *)p->bias + m * p->bias_row + n * p->bias_col : NULL;
      F(dots_of)[rows](&d);
    }
  }
}
