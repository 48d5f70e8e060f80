/* What the norms share. The gradients of weight and bias are summed by blocks of lines whose size does not depend on
 * the team, then over the blocks. Included once plainly, and once per type. */
#ifndef DL_NORM_H
#define DL_NORM_H
#include "strided.h"

enum { CHUNK = 2048, MAX_BLOCKS = 32 };

/* lines in one block (a multiple of `unit`), and the blocks of n lines */
static inline int64_t block_lines(int64_t n, int64_t unit) {
  int64_t lines = (n + MAX_BLOCKS - 1) / MAX_BLOCKS;
  return lines < unit ? unit : (lines + unit - 1) / unit * unit;
}

static inline int64_t blocks_of(int64_t n, int64_t unit) {
  return (n + block_lines(n, unit) - 1) / block_lines(n, unit);
}
#endif

#include "strided.h"
#ifdef T
/* mean of (x - shift)^power, power 1 or 2, summed in pieces; of nothing: 0 */
LANE_INLINE T R(moment)(const T *x, int64_t n, T shift, int power) {
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += CHUNK) {
    const T *from = x + begin;
    V sum = vset(0);
    FOR_LANES(n - begin < CHUNK ? n - begin : CHUNK, V d = vtail(from + i, m, shift) - shift;
              sum = power == 1 ? sum + d : vfma(d, d, sum););
    total += vsum(sum);
  }
  return n ? (T)(total * (1 / (double)n)) : 0;
}

/* a vector operand as contiguous memory; where it is absent, `value` throughout */
DL_UNUSED static const T *R(vector_in)(const Array *a, int64_t len, T value, T *room) {
  if (a && a->data) {
    Lines l = lines_of(a, 0);
    return R(line_in)(&l, 0, room);
  }
  for (int64_t i = 0; i < len; i++) room[i] = value;
  return room;
}

/* out = sum over the blocks' partial sums, columns split over the team */
DL_UNUSED static void R(sum_blocks)(const Array *out, const char *partial, size_t pitch, int64_t blocks,
                                    const Team *team) {
  int64_t begin, end, step = out->stride[0];
  team_split(team, out->shape[0], 64, &begin, &end);
  T *to = (T *)out->data + begin * step, lanes[W];
  FOR_LANES(end - begin, V sum = vset(0); for (int64_t b = 0; b < blocks; b++) {
              const T *block = (const T *)(partial + (size_t)b * pitch) + begin;
              sum += vtail(block + i, m, 0);
            }
            vstore(lanes, sum); for (int64_t k = 0; k < m; k++) to[(i + k) * step] = lanes[k];);
}
#endif
