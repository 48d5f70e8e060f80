/* One matrix product, what the paths of gemm.c share, and the shapes of tile of each instruction set. */
#ifndef GEMM_PRODUCT_H
#define GEMM_PRODUCT_H
#include "dl.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR_BYTES 64
#define EACH_LANE(X, o) X(0, o), X(1, o), X(2, o), X(3, o)
#elif defined(__AVX2__)
#include <immintrin.h>
#define VECTOR_BYTES 32
#define EACH_LANE(X, o) X(0, o), X(1, o)
#else
#if defined(__aarch64__)
#include <arm_neon.h>
#endif
#define VECTOR_BYTES 16
#define EACH_LANE(X, o) X(0, o)
#endif
/* SHUFFLE(a, b, X, o): in each lane, from its element o on, one element of a and of b (ONE), two of each in turn (ZIP),
 * or two of a and then two of b (PAIR) */
#define ONE(l, o) (l) * LANE + (o), W + (l) * LANE + (o)
#define ZIP(l, o) ONE(l, o), ONE(l, (o) + 1)
#define PAIR(l, o) (l) * LANE + (o), (l) * LANE + (o) + 1, W + (l) * LANE + (o), W + (l) * LANE + (o) + 1
#ifdef __clang__
#define SHUFFLE(a, b, X, o) __builtin_shufflevector(a, b, EACH_LANE(X, o))
#else
#define SHUFFLE(a, b, X, o) __builtin_shuffle(a, b, (F(ivec)){EACH_LANE(X, o)})
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#define NOINLINE __attribute__((noinline))
#define UNROLL _Pragma("GCC unroll 16")

/* tiles of (rows, vectors): accumulators, one row of B and one element of A fit the registers */
#define ROWS_1(X, n) X(1, n)
#define ROWS_2(X, n) ROWS_1(X, n) X(2, n)
#define ROWS_4(X, n) ROWS_2(X, n) X(3, n) X(4, n)
#define ROWS_6(X, n) ROWS_4(X, n) X(5, n) X(6, n)
#define ROWS_8(X, n) ROWS_6(X, n) X(7, n) X(8, n)
#define ROWS_12(X, n) ROWS_8(X, n) X(9, n) X(10, n) X(11, n) X(12, n)
#if defined(__AVX512F__) || defined(__aarch64__) /* 32 registers */
enum { MAX_ROWS = 12, GROUP = 16 };
#define TILES(X) ROWS_12(X, 1) ROWS_12(X, 2) ROWS_8(X, 3) ROWS_6(X, 4) ROWS_2(X, 8)
#define DOTS(X) X(1, 16) X(2, 8) X(4, 4) X(8, 2) X(16, 1)
static const int max_rows[9] = {[1] = 12, [2] = 12, [3] = 8, [4] = 6, [8] = 2};
#else /* 16 registers */
enum { MAX_ROWS = 6, GROUP = 8 };
#define TILES(X) ROWS_6(X, 1) ROWS_6(X, 2) ROWS_4(X, 3) ROWS_2(X, 4) ROWS_1(X, 8)
#define DOTS(X) X(1, 8) X(2, 4) X(4, 2) X(8, 1)
static const int max_rows[9] = {[1] = 6, [2] = 6, [3] = 4, [4] = 2, [8] = 1};
#endif

enum { ACT_NONE = 0, ACT_RELU = 1, ACT_TANH = 2 };

/* c (m, n) = act(a (m, k) @ b (k, n) + bias); strides in elements; bias NULL or with stride 0 along rows or columns */
typedef struct {
  int64_t m, n, k;
  const void *a, *b, *bias;
  void *c;
  int64_t a_row, a_col, b_row, b_col, bias_row, bias_col, c_row, c_col;
  int32_t dtype, act;
  int turned, dot; /* this is the transpose of what was asked for; it is computed by inner products */
  int64_t half; /* steps of k that are added up by themselves, as are the others then; 0: all together */
} Product;

/* c (n,) = act(a (k,) @ b (k, n) + bias (n,)): a product of one row, everything contiguous but the columns of b */
typedef struct {
  int64_t n, k, b_col;
  const void *a, *b, *bias;
  void *c;
  int act;
} Row;

/* rows [m0, m1) and columns [n0, n1) of C */
typedef struct {
  int64_t m0, m1, n0, n1;
} Range;

#endif
