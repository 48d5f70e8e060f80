/* The kernel "fused": elementwise micro-operations over blocks; how it is called and planned is in fused.h. */
#include <stdlib.h>

#include "micro_table.h"

#include "fused_check.inc"
#include "fused_plan.inc"
#include "fused_compile.inc"
#include "fused_run.inc"

static void plan(const Call *call, void *memory) {
  Plan *p = memory;
  Code c = code_of(call);
  lay_out(p, &c, array_size(&call->args[0]));
  for (int k = 0; k < call->n_args; k++) {
    const Array *a = &call->args[k];
    p->operands[k] = (Operand){.data = a->data, .bytes = dtype_size[a->dtype], .slot = k - c.n_out};
  }
  p->n_stores = 0, p->n_blocks = 0;
  if (p->n == 0) return;
  collapse(p, call);
  partition(p);
  for (int k = 0; k < call->n_args; k++) p->operands[k].mode = mode_of(p, &p->operands[k]);
  compile(p, call, &c);
  if (p->n == 1) set_slots(p, p->slots, p->scratch);
}

/* one operation on contiguous arrays and single numbers needs no plan */
static int is_number(const Array *a) {
  for (int d = 0; d < a->ndim; d++)
    if (a->stride[d] != 0 && a->shape[d] != 1) return 0;
  return 1;
}

static const Micro *single(const Call *call) {
  const int64_t *i = call->ints;
  if (i[0] != 1 || i[2] != 0 || i[3] != 1 || i[4 + OP_INTS] != i[4 + DST]) return NULL;
  for (int k = 0; k < call->n_args; k++)
    if (!array_contiguous(&call->args[k]) && (k == 0 || !is_number(&call->args[k]))) return NULL;
  return &micro[i[4 + CODE]];
}

static void run_single(const Call *call, const Micro *m, const Team *team) {
  enum { CHUNK = 1024 };
  _Alignas(64) char same[3][CHUNK * 8];
  const int64_t *op = call->ints + 4;
  char *out = call->args[0].data;
  const char *from[3] = {out, out, out};
  int64_t begin, end, bytes[3] = {0, 0, 0}, n = array_size(&call->args[0]);
  team_split(team, n, 256, &begin, &end);
  for (int k = 0; k < m->arity; k++) {
    const Array *a = &call->args[1 + op[A + k]];
    from[k] = a->data, bytes[k] = dtype_size[a->dtype];
    if (n > 1 && is_number(a)) {
      fill_run(same[k], from[k], n < CHUNK ? n : CHUNK, (int)bytes[k]);
      from[k] = same[k], bytes[k] = 0;
    }
  }
  int size = dtype_size[call->args[0].dtype];
  for (int64_t i = begin; i < end; i += CHUNK)
    m->loop[op[DTYPE]](out + i * size, from[0] + i * bytes[0], from[1] + i * bytes[1], from[2] + i * bytes[2],
                       end - i < CHUNK ? end - i : CHUNK);
}

static size_t workspace(const Call *call, int nt) {
  if (single(call)) return 0;
  Code c = code_of(call);
  Plan p;
  lay_out(&p, &c, array_size(&call->args[0]));
  return plan_bytes(call) + (size_t)nt * p.thread_bytes;
}

static void run(const Call *call, const Team *team) {
  const Micro *m = single(call);
  if (m) {
    run_single(call, m, team);
    return;
  }
  if (team->tid == 0) plan(call, call->work);
  team_barrier(team);
  run_plan(call->work, (char *)call->work + plan_bytes(call), team);
}

static size_t planned_workspace(const Call *call, int nt) {
  return ((const Plan *)(const void *)call->ints)->thread_bytes * (size_t)nt;
}

static void run_planned(const Call *call, const Team *team) {
  run_plan((const Plan *)(const void *)call->ints, call->work, team);
}

const Kernel K(fused) = {"fused", run, workspace, check};
static const Kernel planned = {"fused", run_planned, planned_workspace, NULL};

const Fused K(fused_interface) = {.plan_bytes = plan_bytes,
                                  .plan = plan,
                                  .planned = &planned,
                                  .n_micro_ops = N_MICRO_OPS,
                                  .micro_ops = K(micro_ops),
                                  .accepts = K(micro_op_accepts),
                                  .arity = K(micro_op_arity),
                                  .result_dtype = K(micro_op_result_dtype)};
