/* Packing: a block of `width` elements by kc steps is copied to dst[k * ld + i], so that the micro-kernel reads it
 * without gaps. dst is written in whole vectors, in ascending k: up to W elements after the block are clobbered. */

/* element (i, k) at src[i + k * step] */
static void F(pack_rows)(T *dst, int64_t ld, const T *src, int64_t step, int64_t width, int64_t kc) {
  int64_t whole = width / W * W;
  int rest = (int)(width - whole);
  for (int64_t k = 0; k < kc; k++, src += step, dst += ld) {
    for (int64_t i = 0; i < whole; i += W) F(store)(dst + i, F(load)(src + i));
    if (rest) F(store)(dst + whole, F(load_n)(src + whole, rest));
  }
}

/* n rows, at most a vector of them: dst[k * ld + (0..n-1)] = column k, STEP columns at a time, the last ones again
 * where they overlap */
INLINE void F(transpose)(T *dst, int64_t ld, const T *const *row, const T *src, int64_t step, int64_t kc, int n) {
  for (int64_t k = 0; k < kc; k += STEP) {
    V u[STEP];
    if (k > kc - STEP) k = kc - STEP;
    F(load_columns)(u, row, src, step, k);
    UNROLL for (int c = 0; c < STEP; c++) {
      if (n == W) F(store)(dst + (k + c) * ld, u[c]);
      else F(store_n)(dst + (k + c) * ld, u[c], n);
    }
  }
}

/* element (i, k) at src[i * step + k], kc >= STEP; where exact is set nothing outside the block is written */
static void F(pack_columns)(T *dst, int64_t ld, const T *src, int64_t step, int64_t width, int64_t kc, int exact) {
  int64_t whole = width / W * W;
  int rest = (int)(width - whole);
  if (rest) { /* before the others, which repair what it clobbers */
    const T *row[W];
    for (int i = 0; i < W; i++) row[i] = src + (whole + (i < rest ? i : rest - 1)) * step;
    if (exact) F(transpose)(dst + whole, ld, row, src, step, kc, rest);
    else F(transpose)(dst + whole, ld, row, src, step, kc, W);
  }
  for (int64_t i = 0; i < whole; i += W) F(transpose)(dst + i, ld, NULL, src + i * step, step, kc, W);
}

/* element (i, k) at src[i * row + k * col] */
static void F(pack)(T *dst, int64_t ld, const T *src, int64_t row, int64_t col, int64_t width, int64_t kc) {
  if (row == 1) F(pack_rows)(dst, ld, src, col, width, kc);
  else if (col == 1 && kc >= STEP)
    for (int64_t k = 0, n; k < kc; k += n) { /* in pieces whose columns stay in the first cache */
      n = kc - k < 2 * PIECE ? kc - k : PIECE;
      F(pack_columns)(dst + k * ld, ld, src + k, row, width, n, 0);
    }
  else
    for (int64_t k = 0; k < kc; k++)
      for (int64_t i = 0; i < width; i++) dst[k * ld + i] = src[i * row + k * col];
}
