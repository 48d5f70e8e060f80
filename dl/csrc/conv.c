/* conv2d and conv2d_grad_input (which is also the transposed convolution), without im2col.
 *
 * An output pixel is a row of the product rows x weight: its K numbers are runs (one per kernel row; kernel columns and
 * channels are neighbours in channels-last memory) of a padded copy of its unit's source, which stays in cache. A
 * register tile of MR pixels by NR outputs reads the runs through row pointers. */
#include "conv.h"

#include <string.h>

/* the place of each tap (row * kernel width + column) in the order in which the classes take them; -1: nobody does */
static void conv_slots(const Conv *c, int64_t *slots) {
  int64_t n = 0;
  for (int64_t i = 0; i < c->taps; i++) slots[i] = -1;
  for (int64_t i = 0; i < c->dim[0].classes; i++)
    for (int64_t j = 0; j < c->dim[1].classes; j++) {
      Axis a = axis_of(&c->dim[0], i), b = axis_of(&c->dim[1], j);
      for (int64_t k = 0; k < a.taps; k++)
        for (int64_t l = 0; l < b.taps; l++) slots[(a.k0 + k * a.dk) * c->dim[1].kernel + b.k0 + l * b.dk] = n++;
    }
}

#define CONV_BODY "conv_body.h"
#include "conv_types.h"

/* args: out, input, weight, bias; forward out is the small side */
static void init(Conv *c, const Call *call, int transposed) {
  const Array *a = call->args;
  conv_init(c, call, &a[!transposed], &a[transposed], &a[2], transposed);
  c->bias = call->n_args > 3 ? a[3].data : NULL;
}

static void run(const Call *call, const Team *team, int transposed) {
  Conv c;
  init(&c, call, transposed);
  if (!array_size(&call->args[0])) return;
  (call->args[0].dtype == DL_F32 ? run_f32 : run_f64)(&c, team, call->work,
                                                           c.bias ? call->args[3].stride[0] : 0);
}

static size_t workspace(const Call *call, int nt, int transposed) {
  Conv c;
  size_t bytes;
  init(&c, call, transposed);
  if (call->args[0].dtype == DL_F32) work_f32(&c, NULL, 0, nt, &bytes);
  else work_f64(&c, NULL, 0, nt, &bytes);
  return bytes;
}

static const char *check(const Call *call, int transposed) {
  const Array *a = call->args;
  if (call->n_args < 3 || call->n_args > 4 || call->n_ints != 8)
    return "wants (out, input, weight, bias or None) and 8 integers";
  const char *wrong = conv_wrong(call, &a[!transposed], &a[transposed], &a[2]);
  if (wrong) return wrong;
  if (call->n_args > 3 && a[3].data && (a[3].ndim != 1 || a[3].dtype != a[0].dtype || a[3].shape[0] != a[0].shape[1]))
    return "bias must be (output channels,) of the same dtype";
  return call->ints[7] == 0 || call->ints[7] == 1 ? NULL : "act must be 0 (none) or 1 (relu)";
}

static void run_forward(const Call *call, const Team *team) { run(call, team, 0); }
static void run_transposed(const Call *call, const Team *team) { run(call, team, 1); }
static size_t workspace_forward(const Call *call, int nt) { return workspace(call, nt, 0); }
static size_t workspace_transposed(const Call *call, int nt) { return workspace(call, nt, 1); }
static const char *check_forward(const Call *call) { return check(call, 0); }
static const char *check_transposed(const Call *call) { return check(call, 1); }

const Kernel K(conv2d) = {"conv2d", run_forward, workspace_forward, check_forward};
const Kernel K(conv2d_grad_input) = {"conv2d_grad_input", run_transposed, workspace_transposed, check_transposed};
