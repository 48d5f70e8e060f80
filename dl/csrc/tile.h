/* Products of small blocks that stay in cache, for attention: C (m, n) = A (m, k) B (k, n), where a row of B and C is
 * contiguous and padded to whole vectors, and A may have any strides. Included once plainly, and once per type. */
#ifndef DL_TILE_H
#define DL_TILE_H
#include "lanes.h"
#include "strided.h"

#if LANE_BYTES == 64 || defined(__aarch64__) /* 32 registers */
enum { PANEL = 8 };
#elif LANE_BYTES == 32
enum { PANEL = 6 };
#else
enum { PANEL = 4 };
#endif

/* Which products a causal mask leaves, where row i of the scores sees columns j <= i + diagonal: all of them; the
 * COLUMNS_UP_TO there, for C = the scores; TERMS_UP_TO there, where A is the scores; TERMS_FROM there, where A is their
 * transpose */
typedef enum { WHOLE, COLUMNS_UP_TO, TERMS_UP_TO, TERMS_FROM } Part;

static inline int64_t clamp64(int64_t x, int64_t low, int64_t high) { return x < low ? low : x > high ? high : x; }

/* the interleaved lower and upper halves of a pair of vectors, for the transpose */
#define LOW_2 0, 2
#define HIGH_2 1, 3
#define LOW_4 0, 4, 1, 5
#define HIGH_4 2, 6, 3, 7
#define LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#if LANE_BYTES == 64
#define ZIP_F32(X) X##_16
#define ZIP_F64(X) X##_8
#elif LANE_BYTES == 32
#define ZIP_F32(X) X##_8
#define ZIP_F64(X) X##_4
#else
#define ZIP_F32(X) X##_4
#define ZIP_F64(X) X##_2
#endif
#ifdef __clang__
#define SHUFFLE(a, b, I, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, I, ...) __builtin_shuffle(a, b, (I){__VA_ARGS__})
#endif
LANE_INLINE v_f32 zip_low_f32(v_f32 a, v_f32 b) { return SHUFFLE(a, b, v_i32, ZIP_F32(LOW)); }
LANE_INLINE v_f32 zip_high_f32(v_f32 a, v_f32 b) { return SHUFFLE(a, b, v_i32, ZIP_F32(HIGH)); }
LANE_INLINE v_f64 zip_low_f64(v_f64 a, v_f64 b) { return SHUFFLE(a, b, v_i64, ZIP_F64(LOW)); }
LANE_INLINE v_f64 zip_high_f64(v_f64 a, v_f64 b) { return SHUFFLE(a, b, v_i64, ZIP_F64(HIGH)); }
#endif

#ifdef T
/* a matrix of any strides */
typedef struct {
  const T *p;
  int64_t row, col;
} R(Matrix);

/* out (W, W) = scale * in^T: each round rotates the bits of (row, lane) by one, so log2(W) of them swap the two */
LANE_INLINE void R(transpose_square)(const T *in, int64_t in_pitch, T *out, int64_t out_pitch, T scale) {
  V a[W], b[W];
#pragma GCC unroll 16
  for (int i = 0; i < W; i++) a[i] = vload(in + i * in_pitch) * scale;
#pragma GCC unroll 4
  for (int round = 1; round < W; round *= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < W / 2; i++) {
      b[2 * i] = R(zip_low)(a[i], a[i + W / 2]);
      b[2 * i + 1] = R(zip_high)(a[i], a[i + W / 2]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) a[i] = b[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < W; i++) vstore(out + i * out_pitch, a[i]);
}

/* out (cols, pitch) = scale * a^T for a (rows, cols), filled with zeros to whole vectors */
static void R(transpose)(R(Matrix) a, int64_t rows, int64_t cols, T *out, int64_t pitch, T scale) {
  int64_t whole = a.col == 1 ? rows / W * W : 0, c = 0, padded = (rows + W - 1) / W * W;
  for (; whole && c + W <= cols; c += W)
    for (int64_t r = 0; r < whole; r += W)
      R(transpose_square)(a.p + r * a.row + c, a.row, out + c * pitch + r, pitch, scale);
  for (int64_t j = 0; j < cols; j++)
    for (int64_t r = j < c ? whole : 0; r < padded; r++)
      out[j * pitch + r] = r < rows ? scale * a.p[r * a.row + j * a.col] : 0;
}

/* the rows of a with contiguous columns, filled with zeros to whole vectors: a itself where it is so, else a copy */
static R(Matrix) R(padded_rows)(R(Matrix) a, int64_t rows, int64_t cols, T *room) {
  if (a.col == 1 && cols % W == 0) return a;
  int64_t pitch = (cols + W - 1) / W * W;
  for (int64_t r = 0; r < rows; r++)
    for (int64_t c = 0; c < pitch; c++) room[r * pitch + c] = c < cols ? a.p[r * a.row + c * a.col] : 0;
  return (R(Matrix)){room, pitch, 1};
}

/* rows x (wide vectors) of C */
LANE_INLINE void R(micro)(int rows, int wide, int64_t k, const T *a, int64_t a_row, int64_t a_col, const T *b,
                          int64_t b_pitch, T *c, int64_t c_pitch, int add) {
  V sum[PANEL][2];
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) sum[i][0] = sum[i][1] = vset(0);
  for (; k > 0; k--, a += a_col, b += b_pitch) {
    V b0 = vload(b), b1 = wide > 1 ? vload(b + W) : b0;
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
      V ai = vset(a[i * a_row]);
      sum[i][0] = vfma(ai, b0, sum[i][0]);
      if (wide > 1) sum[i][1] = vfma(ai, b1, sum[i][1]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < wide; j++) {
      T *to = c + i * c_pitch + j * W;
      vstore(to, add ? vload(to) + sum[i][j] : sum[i][j]);
    }
}

typedef struct {
  int64_t m, n, k;
  R(Matrix) a, b;
  T *c;
  int64_t c_pitch, diagonal;
  Part part;
} R(Product);

LANE_INLINE void R(panel)(const R(Product) *p, int64_t i, int rows, int add) {
  int64_t seen = i + rows + p->diagonal; /* columns that the last row of the panel sees */
  int64_t n = p->part == COLUMNS_UP_TO ? clamp64((seen + W - 1) / W * W, 0, p->n) : p->n;
  int64_t end = p->part == TERMS_UP_TO ? clamp64(seen, 0, p->k) : p->k;
  int64_t begin = p->part == TERMS_FROM ? clamp64(i - p->diagonal, 0, p->k) : 0, j = 0;
  int64_t k = end - begin, row = p->a.row, col = p->a.col, pitch = p->c_pitch;
  const T *a = p->a.p + i * row + begin * col, *b = p->b.p + begin * p->b.row;
  T *c = p->c + i * pitch;
  if (row == 1) { /* a transpose: the compiler then needs one pointer */
    for (; j + 2 * W <= n; j += 2 * W) R(micro)(rows, 2, k, a, 1, col, b + j, p->b.row, c + j, pitch, add);
    if (j < n) R(micro)(rows, 1, k, a, 1, col, b + j, p->b.row, c + j, pitch, add);
  } else {
    for (; j + 2 * W <= n; j += 2 * W) R(micro)(rows, 2, k, a, row, col, b + j, p->b.row, c + j, pitch, add);
    if (j < n) R(micro)(rows, 1, k, a, row, col, b + j, p->b.row, c + j, pitch, add);
  }
}

/* C = A B, or C += A B; n in whole vectors */
static void R(multiply)(const R(Product) *p, int add) {
  int64_t i = 0;
  for (; i + PANEL <= p->m; i += PANEL) R(panel)(p, i, PANEL, add);
  for (; i + PANEL / 2 <= p->m; i += PANEL / 2) R(panel)(p, i, PANEL / 2, add);
  for (; i < p->m; i++) R(panel)(p, i, 1, add);
}
#endif
