/* max_pool2d, avg_pool2d and their gradients, (B, C, H, W) with any strides: see pool_body.h for the loops. */
#include "dl.h"

/* how windows lie over the input along one axis */
typedef struct {
  int64_t in, out, kernel, stride, pad, dilation;
} Axis;

typedef struct {
  int64_t begin, end; /* taps, or windows */
} Range;

/* n channels are neighbours in memory, in each of `planes` */
typedef struct {
  int64_t batch, channels, planes, n;
  Axis h, w;
} Pool;

/* one window: it starts at (h0, w0), which may lie outside; the taps inside */
typedef struct {
  int64_t h0, w0;
  Range h, w;
} Window;

static inline int64_t clip(int64_t a, int64_t low, int64_t high) { return a < low ? low : a > high ? high : a; }
static inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

/* the taps of window o that lie inside */
static inline Range taps_inside(const Axis *a, int64_t o) {
  int64_t start = o * a->stride - a->pad, d = a->dilation;
  int64_t end = clip(floor_div(a->in - 1 - start, d) + 1, 0, a->kernel);
  return (Range){clip(floor_div(-start + d - 1, d), 0, end), end};
}

/* the windows (of dilation 1) that position i lies in */
static inline Range windows_of(const Axis *a, int64_t i) {
  int64_t end = clip(floor_div(i + a->pad, a->stride) + 1, 0, a->out);
  return (Range){clip(floor_div(i + a->pad - a->kernel, a->stride) + 1, 0, end), end};
}

static inline Window window_at(const Pool *p, int64_t h, int64_t w) {
  return (Window){h * p->h.stride - p->h.pad, w * p->w.stride - p->w.pad, taps_inside(&p->h, h), taps_inside(&p->w, w)};
}

/* ints: kernel, stride, padding and, where there are 8, dilation (two each); in and out as in the forward pass */
static Pool pool_of(const Call *call, const Array *in, const Array *out) {
  Pool p = {.batch = in->shape[0], .channels = in->shape[1]};
  Axis *axes[2] = {&p.h, &p.w};
  for (int i = 0; i < 2; i++) {
    const int64_t *k = call->ints + i;
    *axes[i] = (Axis){in->shape[2 + i], out->shape[2 + i], 1, 1, 0, 1};
    if (call->n_ints >= 6) axes[i]->kernel = k[0], axes[i]->stride = k[2], axes[i]->pad = k[4];
    if (call->n_ints >= 8) axes[i]->dilation = k[6];
  }
  int last = 1;
  for (int i = 0; i < call->n_args; i++) last &= call->args[i].stride[1] == 1;
  p.planes = last ? 1 : p.channels;
  p.n = last ? p.channels : 1;
  return p;
}

typedef struct {
  int64_t n, c, h, w;
} Strides;

static Strides strides_of(const Array *a) {
  return (Strides){a->stride[0], a->stride[1], a->stride[2], a->stride[3]};
}

#define REAL float
#define R(name) DL_PASTE(name, f32)
#include "pool_body.h"
#undef REAL
#undef R
#define REAL double
#define R(name) DL_PASTE(name, f64)
#include "pool_body.h"

static const char *wrong(const Call *call, const Array *in, const Array *out, int n_ints) {
  if (call->n_ints != n_ints) return "wants kernel, stride, padding (two integers each), for maxima also dilation";
  for (int i = 0; i < call->n_args; i++)
    if (!call->args[i].data || call->args[i].ndim != 4) return "arrays must be (B, C, H, W)";
  if (in->dtype > DL_F64 || in->dtype != out->dtype) return "arrays must be both float32 or both float64";
  if (in->shape[0] != out->shape[0] || in->shape[1] != out->shape[1]) return "batch and channels must agree";
  for (int i = 0; i < n_ints; i++)
    if (call->ints[i] > INT32_MAX || call->ints[i] < (i == 4 || i == 5 ? 0 : 1))
      return "kernel, stride, dilation must be >= 1, padding >= 0";
  for (int i = 0; i < 4; i++)
    if (in->shape[i] > INT32_MAX || out->shape[i] > INT32_MAX) return "arrays must have less than 2^31 of each axis";
  return NULL;
}

static const char *wrong_index(const Array *index, const Array *out) {
  if (index->dtype != DL_I64) return "indices must be int64";
  for (int i = 0; i < 4; i++)
    if (index->shape[i] != out->shape[i]) return "indices must have the shape of the output";
  return NULL;
}

#define RUN(name, in, out)                                                           \
  static void name(const Call *call, const Team *team) {                             \
    Pool p = pool_of(call, &call->args[in], &call->args[out]);                       \
    (call->args[0].dtype == DL_F32 ? name##_f32 : name##_f64)(&p, call->args, team); \
  }
RUN(max_run, 2, 0)
RUN(max_back_run, 0, 1)
RUN(avg_run, 1, 0)
RUN(avg_back_run, 0, 1)

static const char *max_check(const Call *call) {
  if (call->n_args != 3) return "wants (out, indices, x)";
  const char *text = wrong(call, &call->args[2], &call->args[0], 8);
  return text ? text : wrong_index(&call->args[1], &call->args[0]);
}

static const char *max_back_check(const Call *call) {
  if (call->n_args != 3) return "wants (input gradient, output gradient, indices)";
  const char *text = wrong(call, &call->args[0], &call->args[1], 0);
  return text ? text : wrong_index(&call->args[2], &call->args[1]);
}

static const char *avg_check(const Call *call) {
  return call->n_args != 2 ? "wants (out, x)" : wrong(call, &call->args[1], &call->args[0], 6);
}

static const char *avg_back_check(const Call *call) {
  return call->n_args != 2 ? "wants (input gradient, output gradient)" : wrong(call, &call->args[0], &call->args[1], 6);
}

const Kernel K(max_pool2d) = {"max_pool2d", max_run, NULL, max_check};
const Kernel K(max_pool2d_backward) = {"max_pool2d_backward", max_back_run, NULL, max_back_check};
const Kernel K(avg_pool2d) = {"avg_pool2d", avg_run, NULL, avg_check};
const Kernel K(avg_pool2d_backward) = {"avg_pool2d_backward", avg_back_run, NULL, avg_back_check};
