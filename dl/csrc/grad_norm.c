/* The Euclidean norm of many tensors together, in float64. Squares are summed in pieces whose size does not depend on
 * the team, then the pieces in order. The file includes itself once per type. */
#ifndef REAL
#include <math.h>

#include "strided.h"

enum { PIECE = 8192 };
static int64_t pieces_of(const Array *a) { return (array_size(a) + PIECE - 1) / PIECE; }

#define REAL 32
#include "grad_norm.c"
#undef REAL
#define REAL 64
#include "grad_norm.c"

static void run(const Call *call, const Team *team) {
  double *sums = call->work, total = 0;
  int64_t pieces = 0, begin, end, at = 0;
  for (int i = 1; i < call->n_args; i++) pieces += pieces_of(call->args + i);
  team_split(team, pieces, 1, &begin, &end);
  for (int i = 1; i < call->n_args && at < end; i++) {
    const Array *a = call->args + i;
    int64_t n = pieces_of(a);
    for (int64_t k = begin > at ? begin - at : 0; k < n && at + k < end; k++)
      sums[at + k] = a->dtype == DL_F32 ? sum_of_squares_f32(a, k) : sum_of_squares_f64(a, k);
    at += n;
  }
  team_barrier(team);
  if (team->tid) return;
  for (int64_t k = 0; k < pieces; k++) total += sums[k];
  *(double *)call->args[0].data = sqrt(total);
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args < 1 || !a->data || a->dtype != DL_F64 || a->ndim) return "the norm must be a 0-d float64 array";
  for (int i = 1; i < call->n_args; i++)
    if (!is_real(a + i)) return "wants float32 or float64 tensors";
  return NULL;
}

static size_t workspace(const Call *call, int nt) {
  int64_t pieces = 0;
  (void)nt;
  for (int i = 1; i < call->n_args; i++) pieces += pieces_of(call->args + i);
  return (size_t)pieces * sizeof(double);
}

const Kernel K(grad_norm) = {"grad_norm", run, workspace, check};

#else /* once per type */
#include "real.h"
#include "strided.h"

static double R(sum_of_squares)(const Array *a, int64_t piece) {
  int64_t first = piece * PIECE, size = array_size(a), n = size - first < PIECE ? size - first : PIECE;
  enum { LANES = 8 };
  double sum[LANES] = {0}, total = 0;
  if (is_dense(a)) { /* in the order of memory */
    const T *x = (const T *)a->data + first;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
      for (int k = 0; k < LANES; k++) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < n; i++) sum[0] += (double)x[i] * (double)x[i];
  } else {
    Lines l = lines_of(a, -1);
    for (int64_t i = 0; i < n; i++) sum[0] += (double)*R(element)(&l, first + i) * (double)*R(element)(&l, first + i);
  }
  for (int k = 0; k < LANES; k++) total += sum[k];
  return total;
}
#endif
