/* What softmax and cross_entropy share: lines in groups, their highest elements, and the sums of their exponentials.
 * Included once plainly, and once per type. */
#ifndef DL_SOFTMAX_H
#define DL_SOFTMAX_H
#include <math.h>

#include "lanes_math.h"
#include "strided.h"

enum { CHUNK = 2048, GROUP = 16 };

/* a thread's scratch: two lines for each of a group, for operands that are not contiguous along the axis */
static size_t room_bytes(int64_t len) { return line_bytes(len) * 2 * GROUP; }

static char *room_of(const Call *call, const Team *team, int64_t len) {
  return (char *)call->work + (size_t)team->tid * room_bytes(len);
}
#endif

#ifdef T
#include "strided.h"

static T R(highest)(const T *x, int64_t n) {
  V a = vset(-(T)INFINITY);
  FOR_LANES(n, a = vmax(a, vtail(x + i, m, -(T)INFINITY)););
  return vhigh(a);
}

/* sum of exp(x - shift); y gets the terms where there is a y (it may be x) */
LANE_INLINE double R(exp_sum)(const T *x, T *y, int64_t n, T shift) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    const T *from = x + begin;
    V sum = vset(0);
    FOR_LANES(n - begin < CHUNK ? n - begin : CHUNK, V e = vexp_flushed(vtail(from + i, m, -(T)INFINITY) - shift);
              sum += e; if (y) vstore_tail(y + begin + i, e, m););
    total += vsum(sum);
  }
  return total;
}

/* a line of equal infinities has no highest finite value to subtract */
DL_UNUSED static T R(finite_or_zero)(T highest) { return highest - highest == 0 ? highest : 0; }

DL_UNUSED static void R(scale_line)(T *y, int64_t n, T factor) {
  FOR_LANES(n, vstore_tail(y + i, vtail(y + i, m, 0) * factor, m););
}

/* GROUP lines at a time, one step over all of them after the other: a line's own steps wait for each other */
typedef struct {
  int count;
  int64_t first, len;
  const T *in[GROUP];
  T *out[GROUP], high[GROUP], log_sum[GROUP];
  double sum[GROUP];
} R(Group);

DL_UNUSED static void R(group_in)(R(Group) *g, const Lines *x, const Lines *y, int64_t first, int64_t end, char *room) {
  size_t line = line_bytes(x->len);
  g->count = (int)(end - first < GROUP ? end - first : GROUP);
  g->first = first, g->len = x->len;
  for (int k = 0; k < g->count; k++) {
    g->in[k] = R(line_in)(x, first + k, (T *)(room + (size_t)(2 * k) * line));
    if (y) g->out[k] = R(line_out)(y, first + k, (T *)(room + (size_t)(2 * k + 1) * line));
  }
}

DL_UNUSED static void R(group_done)(R(Group) *g, const Lines *y) {
  for (int k = 0; k < g->count; k++) R(line_done)(y, g->first + k, g->out[k]);
}

LANE_INLINE void R(group_sums)(R(Group) *g, int finite, int store) {
  for (int k = 0; k < g->count; k++) g->high[k] = R(highest)(g->in[k], g->len);
  if (finite)
    for (int k = 0; k < g->count; k++) g->high[k] = R(finite_or_zero)(g->high[k]);
  for (int k = 0; k < g->count; k++) g->sum[k] = R(exp_sum)(g->in[k], store ? g->out[k] : NULL, g->len, g->high[k]);
}

DL_UNUSED static void R(group_logs)(R(Group) *g) {
  for (int k = 0; k < g->count; k++) g->log_sum[k] = (T)g->sum[k];
  FOR_LANES(g->count, vstore_tail(g->log_sum + i, vlog(vtail(g->log_sum + i, m, 1)), m););
}
#endif
