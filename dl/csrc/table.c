/* The table of kernels, compiled once per instruction set. One line per kernel; append at the end, since a kernel's id
 * is its place in this list. */
#include "table.h"

#define KERNELS(X) \
  X(probe) \
  X(fused) \
  X(conv2d) \
  X(conv2d_grad_input) \
  X(conv2d_grad_weight) \
  X(conv2d_grad_bias) \
  X(max_pool2d) \
  X(max_pool2d_backward) \
  X(avg_pool2d) \
  X(avg_pool2d_backward) \
  X(gemm) \
  X(softmax) \
  X(log_softmax) \
  X(logsumexp) \
  X(softmax_backward) \
  X(log_softmax_backward) \
  X(cross_entropy) \
  X(cross_entropy_backward) \
  X(layer_norm) \
  X(rms_norm) \
  X(layer_norm_backward) \
  X(rms_norm_backward) \
  X(group_norm) \
  X(group_norm_backward) \
  X(attention) \
  X(attention_backward) \
  X(adam) \
  X(sgd) \
  X(rmsprop) \
  X(ema) \
  X(scale_inplace) \
  X(grad_norm) \
  X(take) \
  X(index_add) \
  X(gather) \
  X(scatter_add) \
  X(sum) \
  X(prod) \
  X(max) \
  X(min) \
  X(any) \
  X(all) \
  X(argmax) \
  X(argmin) \
  X(cumsum) \
  X(cumprod) \
  X(copy) \
  X(fill) \
  X(linear_bias) \
  X(ddp_backward)

#define DECLARE(name) extern const Kernel K(name);
KERNELS(DECLARE)

#define ADDRESS(name) &K(name),
static const Kernel *const kernels[] = {KERNELS(ADDRESS)};

const KernelTable K(table) = {
    DL_TEXT(ISA), sizeof kernels / sizeof *kernels, N_MICRO_OPS, kernels, K(micro_ops), &K(fused), &K(fused_interface)};
