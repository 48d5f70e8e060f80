/* The table of kernels and micro-operations of one instruction set. */
#ifndef DL_TABLE_H
#define DL_TABLE_H
#include "fused.h"

/* the index in `kernels` is the kernel's id and is the same in all of them */
typedef struct {
  const char *isa;
  int n_kernels, n_micro_ops;
  const Kernel *const *kernels;
  const char *const *micro_ops; /* names; the index is the code */
  const Kernel *fused_kernel;
  const Fused *fused;
} KernelTable;
#endif
