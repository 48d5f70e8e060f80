/* conv2d_grad_weight: dw[o, c, kh, kw] = sum over pixels of x[pixel * stride + tap][c] * dy[pixel][o].
 *
 * A register tile has MR numbers of one run of the source (taps and in channels, neighbours in channels-last memory) by
 * NR outputs and sums over the pixels of a unit; the sums of the units are added in their order. Threads take in
 * channels; a small weight is summed in several copies, each over its own units, and threads take copies. Neither the
 * units nor the number of copies depend on the number of threads, so the bits do not either. */
#include "conv.h"

#include <string.h>

/* a weight with fewer numbers than this is summed in that many copies */
enum { SMALL_WEIGHT = 8192, COPIES = 16 };

static int64_t copies_of(const Conv *c) {
  int64_t size = c->groups * c->ic * c->oc * c->taps;
  return size >= SMALL_WEIGHT && !c->depthwise ? 1 : at_least(at_most(COPIES, c->units), 1);
}

/* in channels of one item of work */
static int64_t part_size(const Conv *c, int nt) {
  if (copies_of(c) > 1 || c->groups >= 2 * nt) return c->ic;
  return at_most(ceil_div(ceil_div(c->ic, nt), 4) * 4, c->ic);
}

#define CONV_BODY "conv_weight_body.h"
#include "conv_types.h"

/* args: weight gradient, output gradient, input */
static void init(Conv *c, const Call *call) {
  conv_init(c, call, &call->args[2], &call->args[1], &call->args[0], 0);
}

static void zero(const Array *a, int64_t at, int dim) {
  for (int64_t i = 0; i < a->shape[dim]; i++, at += a->stride[dim]) {
    if (dim < 3) zero(a, at, dim + 1);
    else if (a->dtype == DL_F32) ((float *)a->data)[at] = 0;
    else ((double *)a->data)[at] = 0;
  }
}

static void run(const Call *call, const Team *team) {
  Conv c;
  if (!array_size(&call->args[0])) return;
  init(&c, call);
  if (c.units) (call->args[0].dtype == DL_F32 ? run_f32 : run_f64)(&c, team, call->work);
  else if (team->tid == 0) zero(&call->args[0], 0, 0);
}

static size_t workspace(const Call *call, int nt) {
  Conv c;
  size_t bytes;
  init(&c, call);
  if (call->args[0].dtype == DL_F32) work_f32(&c, NULL, 0, nt, &bytes);
  else work_f64(&c, NULL, 0, nt, &bytes);
  return bytes;
}

static const char *check(const Call *call) {
  const Array *a = call->args;
  if (call->n_args != 3 || call->n_ints != 7) return "wants (weight gradient, output gradient, input) and 7 integers";
  return conv_wrong(call, &a[2], &a[1], &a[0]);
}

const Kernel K(conv2d_grad_weight) = {"conv2d_grad_weight", run, workspace, check};
