/* How a product is computed: transposed or not, in tiles or by inner products, what is packed, who does which part.
 * None of it shows in the result except inner products, which add in another order than tiles. */
#ifndef GEMM_PLAN_H
#define GEMM_PLAN_H
#include "gemm_product.h"

enum {
  MOST_HALVED = 1024, /* steps of k that may be added up in two halves */
  KC = 512,          /* steps of k at a time: two vectors of B of each stay in the nearer caches */
  PIECE = 64,        /* steps of k packed at a time */
  BLOCK_ROWS = 1024, /* rows of A packed at a time */
  FAR_BYTES = 4000,  /* rows of B, columns of A that lie farther apart are packed where they are read often enough */
  LONG = 128         /* inner products longer than this prefer few streams of memory */
};

typedef struct {
  int direct, pack_a, pack_b; /* C and the bias contiguous in rows; blocks of A, panels of B are packed */
  int64_t kc;
  size_t b_bytes, bytes; /* of scratch for B, for both; per thread */
} Plan;

static int64_t lanes_of(const Product *p) { return p->dtype == DL_F32 ? VECTOR_BYTES / 4 : VECTOR_BYTES / 8; }

static int64_t vectors(const Product *p, int64_t n) { /* no division by a variable: this is on every call */
  enum { SINGLES = VECTOR_BYTES / 4, DOUBLES = VECTOR_BYTES / 8 };
  return p->dtype == DL_F32 ? (n + SINGLES - 1) / SINGLES : (n + DOUBLES - 1) / DOUBLES;
}

/* proportional to the time of a product in tiles; a packed row of B counts like six rows of A */
static int64_t cost(int64_t rows, int64_t vectors, int pack) { return vectors * (rows + (pack ? 6 : 0)); }

/* k contiguous in both and one row or column, or so few columns that inner products are faster than tiles (measured).
 * One row means one row of the matrix that was asked for, before a batch is folded: a row of a result has the same bits
 * whatever rows, from two on, and batches come with it. */
static int inner_products(const Product *p) {
  return p->a_col == 1 && p->b_row == 1 && (p->m == 1 || p->n == 1 || (p->n <= 12 && p->k >= 16 * p->n));
}

/* whether the transposed product has contiguous rows of C, or fills vectors so much better that C may be transposed at
 * the end */
static int better_transposed(const Product *p) {
  if (p->n == 1 || p->c_col != 1) return p->m != 1 && (p->n == 1 || p->c_row == 1);
  int64_t width = vectors(p, p->n), height = vectors(p, p->m), lanes = lanes_of(p);
  if (width >= 4 || p->n == width * lanes || p->m < lanes || p->dot) return 0;
  int64_t turned = cost(p->n, height, p->a_row != 1) + height * p->n * 8 / (p->k + 1);
  return 5 * turned < 4 * cost(p->m, width, p->b_col != 1);
}

static int64_t distance(int64_t stride) { return stride < 0 ? -stride : stride; }

static size_t whole_lines(int64_t bytes) { return ((size_t)bytes + 63) & ~(size_t)63; }

static void make_plan(Plan *plan, const Product *p) {
  int64_t size = p->dtype == DL_F32 ? 4 : 8, rows = p->m < BLOCK_ROWS ? p->m : BLOCK_ROWS;
  int tiles = !p->dot && p->dtype != DL_I64;
  plan->kc = p->k < KC || p->half ? p->k : KC;
  plan->direct = p->c_col == 1 && (!p->bias || (p->bias_row == 0 && p->bias_col == 1));
  plan->pack_b = tiles && (p->b_col != 1 || (p->m >= 384 && distance(p->b_row) * size >= FAR_BYTES));
  plan->pack_a = tiles && p->a_row == 1 && p->n >= 256 && distance(p->a_col) * size >= FAR_BYTES;
  plan->b_bytes = plan->pack_b ? whole_lines((plan->kc * 8 + 1) * VECTOR_BYTES) : 0;
  plan->bytes = plan->b_bytes + (plan->pack_a ? whole_lines(plan->kc * rows * size + VECTOR_BYTES) : 0);
}

/* The share of thread tid of nt in C: rows, which keeps what a thread writes near what it reads next, unless columns
 * are much better for the tiles. */
static void share(Range *r, const Product *p, const Plan *plan, int tid, int64_t nt) {
  r->m0 = r->n0 = 0, r->m1 = p->m, r->n1 = p->n;
  if (nt == 1) return;
  int64_t width = vectors(p, p->n), lanes = lanes_of(p);
  int64_t by_rows = cost((p->m + nt - 1) / nt, width, plan->pack_b);
  int64_t by_cols = cost(p->m, (width + nt - 1) / nt, plan->pack_b);
  if (p->turned ? 5 * by_rows >= 4 * by_cols : 5 * by_cols < 4 * by_rows) {
    r->n0 = width * tid / nt * lanes;
    r->n1 = width * (tid + 1) / nt * lanes;
    if (r->n1 > p->n) r->n1 = p->n;
  } else {
    r->m0 = p->m * tid / nt;
    r->m1 = p->m * (tid + 1) / nt;
  }
}

#endif
