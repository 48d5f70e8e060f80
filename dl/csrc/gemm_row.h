/* One row times a matrix: a layer of a network for one input. The inner products of gemm_dot.h with the same bits; but
 * such a layer takes a few dozen nanoseconds, so that what the columns share is done once. */
#define PART (W < 4 ? W : 4)

/* acc[i] += a b[i], W elements or the first `rest`; a pointer for each `per` columns */
INLINE void F(row_step)(const int cols, const int per, const int edge, V *acc, const T *a, const T *const *b,
                        int64_t b_col, int rest) {
  V x = edge ? F(load_n)(a, rest) : F(load)(a);
  UNROLL for (int i = 0; i < cols; i++) {
    const T *from = b[i / per] + i % per * b_col;
    acc[i] = F(fma)(x, edge ? F(load_n)(from, rest) : F(load)(from), acc[i]);
  }
}

/* acc[i]: partial sums of the inner product of a and column i */
INLINE void F(row_dots)(const int cols, const int per, const T *a, int64_t size, const T **b, int64_t b_col, V *acc) {
  int64_t k = 0;
  UNROLL for (int i = 0; i < cols; i++) acc[i] = (V){0};
  _Pragma("GCC unroll 8") for (; k + W <= size; k += W) {
    F(row_step)(cols, per, 0, acc, a + k, b, b_col, W);
    UNROLL for (int i = 0; i < cols; i += per) b[i / per] += W;
  }
  if (k < size) F(row_step)(cols, per, 1, acc, a + k, b, b_col, (int)(size - k));
}

/* columns [begin, end), whole vectors of them: W at once, with a pointer for three, as the addressing mode adds the
 * strides; no activation */
static NOINLINE void F(row_wide)(const Row *row, int64_t begin, int64_t end) {
  const int64_t k = row->k, b_col = row->b_col;
  const T *a = row->a, *first = (const T *)row->b + begin * b_col, *bias = row->bias;
  T *c = row->c;
  for (int64_t n = begin; n < end; n += W, first += W * b_col) {
    V acc[W];
    const T *b[(W + 2) / 3];
    UNROLL for (int i = 0; i < W; i += 3) b[i / 3] = first + i * b_col;
    F(row_dots)(W, 3, a, k, b, b_col, acc);
    V x = F(sums)(acc);
    F(store)(c + n, bias ? x + F(load)(bias + n) : x);
  }
}

/* columns [begin, end), up to PART at a time: where they are long, and where there are not W of them; the last one
 * stands in for those beyond it */
INLINE void F(row_parts)(const Row *row, int64_t begin, int64_t end, const int streams) {
  for (int64_t n = begin; n < end; n += W) {
    int width = end - n < W ? (int)(end - n) : W;
    V u[LANES], acc[PART];
    UNROLL for (int i = 0; i < LANES; i++) u[i] = (V){0};
    UNROLL for (int i = 0; i < W; i += PART) {
      const T *b[PART];
      if (i >= width) break;
      UNROLL for (int j = 0; j < PART; j++)
        b[j] = (const T *)row->b + (n + (i + j < width ? i + j : width - 1)) * row->b_col;
      UNROLL for (int j = 0; j < PART; j += streams) F(row_dots)(streams, 1, row->a, row->k, b + j, 0, acc + j);
      UNROLL for (int j = 0; j < PART; j += LANE) u[(i + j) / LANE] = F(sum_in_lanes)(acc + j);
    }
    V x = F(sum_lanes)(u);
    if (row->bias) x += F(load_n)((const T *)row->bias + n, width);
    if (width == W) F(store)((T *)row->c + n, x); /* what the next layer loads as a vector must be stored as one */
    else F(store_n)((T *)row->c + n, x, width);
  }
}

static NOINLINE void F(row_narrow)(const Row *row, int64_t begin, int64_t end) { F(row_parts)(row, begin, end, PART); }
static NOINLINE void F(row_stream)(const Row *row, int64_t begin, int64_t end) { F(row_parts)(row, begin, end, 1); }

/* Long columns come from beyond the first cache. One stream of memory at a time is fastest, but not where each vector
 * lies across two cache lines (measured). */
static void F(row_product)(const Row *row, int64_t begin, int64_t end) {
  int64_t whole = row->k > LONG ? begin : end - (end - begin) % W;
  if (begin < whole) F(row_wide)(row, begin, whole);
  if (row->k > LONG && (uintptr_t)row->b % 64 == 0 && row->b_col * (int64_t)sizeof(T) % 64 == 0)
    F(row_stream)(row, begin, end);
  else if (whole < end)
    F(row_narrow)(row, whole, end);
  if (row->act) F(activate)((T *)row->c + begin, end - begin, row->act);
}
