/* A kernel of no use but to the tests of the runtime: the output gets the input times floats[0] plus the number of
 * rounds, ints[0]. In each round all threads of the team meet, and check that the others came. */
#include "dl.h"

static const char *check(const Call *call) {
  if (call->n_args != 2 || call->n_ints != 1 || call->n_floats != 1) return "wants (out, x), one integer, one float";
  const Array *out = &call->args[0], *x = &call->args[1];
  if (!out->data || !x->data) return "out and x must be given";
  if (out->dtype != DL_F64 || x->dtype != DL_F64) return "out and x must be float64";
  if (!array_contiguous(out) || !array_contiguous(x)) return "out and x must be contiguous";
  if (array_size(out) != array_size(x)) return "out and x must have one size";
  return NULL;
}

static size_t workspace(const Call *call, int nt) {
  (void)call;
  return (size_t)nt * 64;
}

static void run(const Call *call, const Team *team) {
  int64_t begin, end, *met = call->work;
  double bad = 0;
  for (int64_t r = 0; r < call->ints[0]; r++) {
    met[team->tid * 8] = r;
    team_barrier(team);
    for (int i = 0; i < team->nt; i++) bad += met[i * 8] != r;
    team_barrier(team);
  }
  team_split(team, array_size(&call->args[0]), 8, &begin, &end);
  double *out = call->args[0].data, *x = call->args[1].data;
  for (int64_t i = begin; i < end; i++) out[i] = x[i] * call->floats[0] + (double)call->ints[0] + bad;
}

const Kernel K(probe) = {"probe", run, workspace, check};
