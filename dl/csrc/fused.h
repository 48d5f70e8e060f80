/* Elementwise programs: the kernel "fused" runs micro-operations over blocks of a few hundred elements that stay in
 * L1.
 *
 * Call: args = n_out outputs, then n_in inputs, all with one iteration shape (broadcast: stride 0). floats = the
 * constants (rounded to their dtype). ints = n_out, n_in, n_const, n_ops, the dtypes of the constants, then six
 * numbers for each operation (code, dtype of its operands, dst, a, b, c; an operand that is not there is -1), then
 * n_out registers to store. Registers: the inputs, the constants, then temporaries, which may be used again, with
 * another dtype too. The code is the place in micro_ops. `where` takes a bool as a, its dtype is that of b and c; the
 * dtype of a cast is that of its source; comparisons and logic give bool. An output may lie exactly on an input (same
 * address, strides and dtype); no other overlap is allowed.
 *
 * A Call that runs many times is planned once:
 *   void *memory = allocate(fused->plan_bytes(&call));   64-byte aligned, kept as long as the call
 *   fused->plan(&call, memory);                          after check(&call) said NULL
 *   call.ints = memory; call.kernel = fused->planned;    then workspace() and run() as for any kernel
 * The addresses in call.args are read at plan time and must stay; a plan runs in one team at a time. For one element
 * (a scalar program) run does nothing but call one function per operation. */
#ifndef FUSED_H
#define FUSED_H
#include "dl.h"

enum { FUSED_MAX_REGISTERS = 4096, N_MICRO_OPS = 79 };

typedef struct {
  size_t (*plan_bytes)(const Call *call);
  void (*plan)(const Call *call, void *memory);
  const Kernel *planned; /* not in the table of kernels */
  int n_micro_ops;
  const char *const *micro_ops;
  int (*accepts)(int code, int dtype);      /* is there this operation on operands of this dtype? */
  int (*arity)(int code);                   /* 1, 2, 3; 0: no such operation */
  int (*result_dtype)(int code, int dtype); /* of the result, for operands of dtype */
} Fused;

extern const Fused K(fused_interface);

extern const char *const K(micro_ops)[]; /* N_MICRO_OPS names, in the order of their codes */
int K(micro_op_accepts)(int code, int dtype);
int K(micro_op_arity)(int code);
int K(micro_op_result_dtype)(int code, int dtype);

#endif
