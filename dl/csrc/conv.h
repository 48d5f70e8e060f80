/* What convolution forward, its data gradient and its weight gradient share, whatever the type of the numbers.
 *
 * Along one axis an output at first + q * step (q < count) is the sum over j < taps of
 *
 *   weight[k0 + j * dk] * source[q * source_step + off0 + j * doff],
 *
 * where source is zero outside. Forward there is one class of such outputs. Backward, with stride s, there are s: the
 * outputs congruent modulo s, each class with taps of its own; within a class the step in the source is 1. So both
 * directions are the same work. */
#ifndef DL_CONV_H
#define DL_CONV_H
#include "dl.h"

/* pixels of one piece of work; its padded input then stays in the second-level cache */
enum { UNIT_PIXELS = 96 };

typedef struct {
  int64_t first, step, count, source_step, taps, k0, dk, off0, doff;
} Axis;

/* one axis of the problem; lo..hi are the source offsets that the taps of all classes reach */
typedef struct {
  int64_t source, out, kernel, stride, pad, dilation;
  int64_t classes, count, source_step, lo, hi;
  int transposed;
} Dim;

typedef struct {
  void *data;
  int64_t n, c, h, w; /* strides */
} Image;

typedef struct {
  Image source, out;
  Dim dim[2];
  int64_t batch, groups, ic, oc, taps; /* channels of one group; taps of the whole kernel */
  int64_t channels;                    /* of the source that a group reads: ic, or all of them if depthwise */
  const void *weight, *bias;
  int64_t wo, wi, wh, ww, wg; /* strides of the weight along out and in channels, kernel and groups */
  int64_t images, rows, units; /* a unit of work: that many images and rows (of a class) */
  int act, depthwise; /* depthwise: groups of one channel are taken as one group, oc = channels, ic = 1 */
} Conv;

typedef struct {
  int64_t n0, images, q0, rows;
} Unit;

static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline Axis axis_of(const Dim *d, int64_t class) {
  if (!d->transposed) return (Axis){0, 1, d->out, d->stride, d->kernel, 0, 1, -d->pad, d->dilation};
  int64_t a = d->stride, b = d->dilation, k = 0;
  while (b) {
    int64_t r = a % b;
    a = b, b = r;
  }
  int64_t every = d->stride / a;
  while (k < every && k < d->kernel && (class + d->pad - k * d->dilation) % d->stride) k++;
  int64_t taps = k < every && k < d->kernel ? ceil_div(d->kernel - k, every) : 0, last = k + (taps - 1) * every;
  int64_t count = d->out > class ? ceil_div(d->out - class, d->stride) : 0;
  int64_t off0 = taps ? (class + d->pad - last * d->dilation) / d->stride : d->lo;
  return (Axis){class, d->stride, count, 1, taps, last, -every, off0, d->dilation / a};
}

static inline void dim_finish(Dim *d) {
  d->classes = d->transposed ? at_most(d->stride, d->out) : 1;
  d->source_step = d->transposed ? 1 : d->stride;
  d->count = ceil_div(d->out, d->transposed ? d->stride : 1);
  d->lo = INT64_MAX, d->hi = INT64_MIN;
  for (int64_t r = 0; r < d->classes; r++) {
    Axis a = axis_of(d, r);
    if (!a.taps) continue;
    d->lo = at_most(d->lo, a.off0);
    d->hi = at_least(d->hi, a.off0 + (a.taps - 1) * a.doff);
  }
  if (d->lo > d->hi) d->lo = d->hi = 0;
}

/* source positions that `count` outputs of every class read */
static inline int64_t reach(const Dim *d, int64_t count) { return (count - 1) * d->source_step + d->hi - d->lo + 1; }

/* source pixels and output pixels (of a class) that one unit can have */
static inline int64_t unit_source(const Conv *c) {
  int64_t rows = reach(&c->dim[0], c->rows), cols = reach(&c->dim[1], c->dim[1].count);
  return rows > 0 && cols > 0 ? c->images * rows * cols : 0;
}
static inline int64_t unit_pixels(const Conv *c) { return c->images * c->rows * c->dim[1].count; }

/* the next bytes of the scratch memory (NULL: only counted) */
static inline void *take(char *memory, size_t *used, int64_t bytes) {
  char *at = memory ? memory + *used : NULL;
  *used += ((size_t)bytes + 63) / 64 * 64;
  return at;
}

/* about `wanted` of n, but a divisor of n if there is one below twice that */
static inline int64_t share(int64_t n, int64_t wanted) {
  if (wanted >= n) return n;
  for (int64_t k = wanted; k < 2 * wanted; k++)
    if (n % k == 0) return k;
  return wanted;
}

static inline void plan_units(Conv *c) {
  int64_t line = at_least(c->dim[1].count, 1), image = at_least(line * c->dim[0].count, 1);
  c->images = image < UNIT_PIXELS ? at_least(share(c->batch, ceil_div(UNIT_PIXELS, image)), 1) : 1;
  c->rows = image < UNIT_PIXELS ? c->dim[0].count : share(c->dim[0].count, ceil_div(UNIT_PIXELS, line));
  int empty = !c->batch || !c->dim[0].count || !c->dim[1].count;
  c->units = empty ? 0 : ceil_div(c->batch, c->images) * ceil_div(c->dim[0].count, c->rows);
}

static inline Unit unit_at(const Conv *c, int64_t index) {
  int64_t bands = ceil_div(c->dim[0].count, c->rows), n0 = index / bands * c->images, q0 = index % bands * c->rows;
  return (Unit){n0, at_most(c->images, c->batch - n0), q0, at_most(c->rows, c->dim[0].count - q0)};
}

static inline Image image_of(const Array *a) {
  return (Image){a->data, a->stride[0], a->stride[1], a->stride[2], a->stride[3]};
}

/* ints: stride, padding, dilation (height and width each), groups, act. big is x, small is y (of the forward pass);
 * transposed: from small to big. */
static inline void conv_init(Conv *c, const Call *call, const Array *big, const Array *small, const Array *weight,
                             int transposed) {
  const int64_t *ints = call->ints;
  const Array *from = transposed ? small : big, *to = transposed ? big : small;
  int64_t groups = ints[6], o = weight->stride[0], i = weight->stride[1];
  for (int k = 0; k < 2; k++) {
    Dim d = {.source = from->shape[2 + k], .out = to->shape[2 + k], .kernel = weight->shape[2 + k], .stride = ints[k],
             .pad = ints[2 + k], .dilation = ints[4 + k], .transposed = transposed};
    c->dim[k] = d;
    dim_finish(&c->dim[k]);
  }
  c->source = image_of(from), c->out = image_of(to);
  c->batch = from->shape[0], c->groups = groups;
  c->ic = from->shape[1] / groups, c->oc = to->shape[1] / groups;
  c->taps = weight->shape[2] * weight->shape[3];
  c->weight = weight->data, c->bias = NULL;
  c->wo = transposed ? i : o, c->wi = transposed ? o : i, c->wh = weight->stride[2], c->ww = weight->stride[3];
  c->wg = weight->shape[0] / groups * o;
  c->channels = c->ic;
  c->depthwise = groups > 1 && c->ic == 1 && c->oc == 1;
  if (c->depthwise) {
    c->channels = c->oc = groups;
    c->groups = 1;
    c->wo = c->wg;
  }
  c->act = call->n_ints > 7 ? (int)ints[7] : 0;
  plan_units(c);
}

/* what is wrong with (big, small, weight) and the integers, or NULL */
static inline const char *conv_wrong(const Call *call, const Array *big, const Array *small, const Array *weight) {
  const int64_t *ints = call->ints;
  if (call->n_ints < 7) return "wants stride, padding, dilation (two each) and groups";
  if (!big->data || !small->data || !weight->data) return "input, weight and output must be given";
  if (big->ndim != 4 || small->ndim != 4 || weight->ndim != 4)
    return "arrays must be (B, C, H, W) and (O, C / groups, KH, KW)";
  if (big->dtype > DL_F64 || big->dtype != small->dtype || big->dtype != weight->dtype)
    return "arrays must be all float32 or all float64";
  for (int i = 0; i < 7; i++)
    if (ints[i] > INT32_MAX || ints[i] < (i == 2 || i == 3 ? 0 : 1))
      return "stride, dilation, groups must be >= 1, padding >= 0";
  if (big->shape[0] != small->shape[0]) return "batch sizes differ";
  if (weight->shape[0] % ints[6] || weight->shape[1] * ints[6] != big->shape[1] || weight->shape[0] != small->shape[1])
    return "channels do not match weight (O, C / groups, KH, KW) and groups";
  if (weight->shape[2] < 1 || weight->shape[3] < 1 || weight->shape[2] > INT32_MAX || weight->shape[3] > INT32_MAX)
    return "the kernel must have at least one tap";
  double padded = 8.0 * UNIT_PIXELS * (double)(big->shape[1] + small->shape[1] + 1);
  for (int i = 0; i < 2; i++)
    padded *= (double)at_least(big->shape[2 + i], small->shape[2 + i]) * (double)ints[i] +
              (double)weight->shape[2 + i] * (double)ints[4 + i] + 2.0 * (double)ints[2 + i];
  return padded < 0x1p55 ? NULL : "the padded image is too large";
}
#endif
