/* conv2d_grad_bias: db[o] = sum of dy over batch and pixels. Threads take channels; the sum of one image (of at most
 * BLOCK rows) is added to the total, so that rounding grows with the longer of the two, not with their product. */
#include "conv.h"

enum { BLOCK = 32, MOST = 4 }; /* rows; vectors of channels at once */

#define CONV_BODY "conv_bias_body.h"
#include "conv_types.h"

static void run(const Call *call, const Team *team) {
  (call->args[0].dtype == DL_F32 ? run_f32 : run_f64)(&call->args[0], &call->args[1], team);
}

static const char *check(const Call *call) {
  const Array *db = &call->args[0], *dy = &call->args[1];
  if (call->n_args != 2 || !db->data || !dy->data) return "wants (bias gradient, output gradient)";
  if (db->dtype > DL_F64 || db->dtype != dy->dtype) return "arrays must be both float32 or both float64";
  if (db->ndim != 1 || dy->ndim != 4 || db->shape[0] != dy->shape[1]) return "wants (O,) from (B, O, H, W)";
  return NULL;
}

const Kernel K(conv2d_grad_bias) = {"conv2d_grad_bias", run, NULL, check};
