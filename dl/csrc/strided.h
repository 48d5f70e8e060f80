/* Arrays of any strides, line by line: the n lines of an array along one axis (or, with axis -1, its n elements). */
#ifndef DL_STRIDED_H
#define DL_STRIDED_H
#include "dl.h"

#define DL_UNUSED __attribute__((unused))

typedef struct {
  const Array *array;
  int axis;
  int64_t n, len, step; /* lines, elements of one, distance between them */
  int even;             /* lines are `pitch` apart */
  int64_t pitch;
} Lines;

DL_UNUSED static Lines lines_of(const Array *a, int axis) {
  Lines l = {a, axis, 1, 1, 1, 1, 0};
  if (axis >= 0 && a->ndim > 0) l.len = a->shape[axis], l.step = l.len == 1 ? 1 : a->stride[axis];
  for (int i = a->ndim - 1; i >= 0; i--) {
    if (i == axis || a->shape[i] == 1) continue;
    if (l.n == 1) l.pitch = a->stride[i];
    else if (a->stride[i] != l.pitch * l.n) l.even = 0;
    l.n *= a->shape[i];
  }
  return l;
}

/* elements before line (or element) r */
static inline int64_t line_at(const Lines *l, int64_t r) {
  if (l->even) return r * l->pitch;
  int64_t offset = 0;
  for (int i = l->array->ndim - 1; i >= 0; i--) {
    if (i == l->axis) continue;
    int64_t n = l->array->shape[i], q = r / n;
    offset += (r - q * n) * l->array->stride[i];
    r = q;
  }
  return offset;
}

/* dense memory, whatever the order of the axes */
DL_UNUSED static int is_dense(const Array *a) {
  int64_t next = 1;
  unsigned used = 0;
  for (int found = 1; found;) {
    found = 0;
    for (int i = 0; i < a->ndim && !found; i++)
      if (!(used >> i & 1) && a->shape[i] > 1 && a->stride[i] == next) next *= a->shape[i], used |= 1u << i, found = 1;
  }
  return next == array_size(a);
}

/* bytes of scratch for one line, whatever the type, in whole cache lines */
static inline size_t line_bytes(int64_t len) { return ((size_t)len * 8 + 63) / 64 * 64; }

static inline int is_real(const Array *a) { return a->data && (a->dtype == DL_F32 || a->dtype == DL_F64); }

DL_UNUSED static int same_shape(const Array *a, const Array *b) {
  if (a->ndim != b->ndim) return 0;
  for (int i = 0; i < a->ndim; i++)
    if (a->shape[i] != b->shape[i]) return 0;
  return 1;
}

/* a and b are there, real, of one dtype and of one shape */
DL_UNUSED static int alike(const Array *a, const Array *b) {
  return is_real(a) && b->data && a->dtype == b->dtype && same_shape(a, b);
}

/* a is absent, or a vector of n with b's dtype */
DL_UNUSED static int vector_or_absent(const Array *a, int64_t n, const Array *b) {
  return !a->data || (a->ndim == 1 && a->shape[0] == n && a->dtype == b->dtype);
}
#endif

/* for the type of real.h: line r as contiguous memory, the array's own or a copy in buffer; and the way back */
#ifdef T
DL_UNUSED static const T *R(line_in)(const Lines *l, int64_t r, T *buffer) {
  const T *p = (const T *)l->array->data + line_at(l, r);
  if (l->step == 1) return p;
  for (int64_t i = 0; i < l->len; i++) buffer[i] = p[i * l->step];
  return buffer;
}

static inline T *R(line_out)(const Lines *l, int64_t r, T *buffer) {
  return l->step == 1 ? (T *)l->array->data + line_at(l, r) : buffer;
}

static inline void R(line_done)(const Lines *l, int64_t r, const T *buffer) {
  if (l->step == 1) return;
  T *p = (T *)l->array->data + line_at(l, r);
  for (int64_t i = 0; i < l->len; i++) p[i * l->step] = buffer[i];
}

static inline T *R(element)(const Lines *l, int64_t i) { return (T *)l->array->data + line_at(l, i); }
#endif
