/* Reductions: sum, prod, max, min, any, all, argmax, argmin over the dimensions in ints (not negative, each once).
 * args = (out, in): out has the remaining dimensions. Sums of float32 and float64 are compensated between blocks of
 * 1024 elements or 128 rows, in which no lane adds up more than 16 numbers one after another. */
#include <stdlib.h>
#include <string.h>

#include "dl.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* vectors are passed to inlined functions only */

#include "reduce_plan.inc"
#include "reduce_kinds.inc"

/* arg: indices come out, in the order of the dimensions; nonempty: of no elements there is none */
typedef struct {
  const Reducer *by_dtype[4];
  int8_t result[4], ordered, nonempty;
} Kind;

#define BY_DTYPE(name, bool_name) \
  {&reducer_##name##_f32, &reducer_##name##_f64, &reducer_##name##_i64, &reducer_##bool_name}
#define SAME_DTYPE {DL_F32, DL_F64, DL_I64, DL_BOOL}
#define INT_FOR_BOOL {DL_F32, DL_F64, DL_I64, DL_I64}
#define ALL_BOOL {DL_BOOL, DL_BOOL, DL_BOOL, DL_BOOL}
#define ALL_INT {DL_I64, DL_I64, DL_I64, DL_I64}

static const char *check(const Call *call, const Kind *kind) {
  const Array *out = &call->args[0], *in = &call->args[1];
  int seen[DL_MAXDIM] = {0}, k = 0;
  if (call->n_args != 2 || !out->data || !in->data) return "wants (out, in)";
  if (in->ndim > DL_MAXDIM || out->ndim != in->ndim - call->n_ints) return "out must have the dimensions that remain";
  for (int i = 0; i < call->n_ints; i++) {
    if (call->ints[i] < 0 || call->ints[i] >= in->ndim) return "a dimension to reduce does not exist";
    if (seen[call->ints[i]]++) return "a dimension to reduce is there twice";
  }
  for (int d = 0; d < in->ndim; d++)
    if (!seen[d] && out->shape[k++] != in->shape[d]) return "out must have the shape that remains";
  if (in->dtype < 0 || in->dtype > DL_BOOL || out->dtype != kind->result[in->dtype]) return "out has the wrong dtype";
  for (int i = 0; kind->nonempty && array_size(out) && i < call->n_ints; i++)
    if (in->shape[call->ints[i]] == 0) return "there is no largest or smallest of no elements";
  return NULL;
}

static size_t workspace(const Call *call, const Kind *kind) {
  const Reducer *r = kind->by_dtype[call->args[1].dtype];
  Plan p = plan_of(call, r, kind->ordered);
  return p.pieces > 1 ? (size_t)(p.tiles * p.pieces * p.width) * (size_t)r->total_bytes : 0;
}

static void run(const Call *call, const Kind *kind, const Team *team) {
  const Reducer *r = kind->by_dtype[call->args[1].dtype];
  Plan p = plan_of(call, r, kind->ordered);
  reduce_tiles(&p, r, call, team);
}

#define REDUCTION(name, reducers, result, ordered, nonempty)                                                \
  static const Kind kind_##name = {reducers, result, ordered, nonempty};                                    \
  static const char *check_##name(const Call *call) { return check(call, &kind_##name); }                   \
  static size_t workspace_##name(const Call *call, int nt) { return (void)nt, workspace(call, &kind_##name); } \
  static void run_##name(const Call *call, const Team *team) { run(call, &kind_##name, team); }             \
  const Kernel K(name) = {#name, run_##name, workspace_##name, check_##name};

REDUCTION(sum, BY_DTYPE(sum, sum_bool), INT_FOR_BOOL, 0, 0)
REDUCTION(prod, BY_DTYPE(prod, prod_bool), INT_FOR_BOOL, 0, 0)
REDUCTION(max, BY_DTYPE(max, any_bool), SAME_DTYPE, 0, 1)
REDUCTION(min, BY_DTYPE(min, all_bool), SAME_DTYPE, 0, 1)
REDUCTION(any, BY_DTYPE(any, any_bool), ALL_BOOL, 0, 0)
REDUCTION(all, BY_DTYPE(all, all_bool), ALL_BOOL, 0, 0)
REDUCTION(argmax, BY_DTYPE(argmax, argmax_bool), ALL_INT, 1, 1)
REDUCTION(argmin, BY_DTYPE(argmin, argmin_bool), ALL_INT, 1, 1)

#include "reduce_cumulative.inc"
