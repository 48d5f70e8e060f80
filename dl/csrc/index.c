/* take, its transpose index_add, gather and scatter_add along one axis. Negative indices count from the end. The second
 * output, status, tells of the first index that is out of range: 1 + its position in index, or 0; what such an index
 * asks for is zero, what it would add to is left alone. Sums go in the order of the indices, whatever the team. */
#include <string.h>

#include "strided.h"

static const int64_t bytes_of[4] = {4, 8, 8, 1};

/* the axes first ... last of an array, as an array */
static Array axes_of(const Array *a, int first, int last) {
  Array part = {a->data, a->dtype, last - first, {0}, {0}};
  memcpy(part.shape, a->shape + first, (size_t)(last - first) * sizeof(int64_t));
  memcpy(part.stride, a->stride + first, (size_t)(last - first) * sizeof(int64_t));
  return part;
}

static inline int64_t wrapped(int64_t i, int64_t n) { return i < 0 ? i + n : i; }
static inline int64_t index_at(const Lines *index, int64_t i, int64_t n) {
  return wrapped(((const int64_t *)index->array->data)[line_at(index, i)], n);
}

static void set_status(const Array *status, const Array *index, int64_t n, const Team *team) {
  if (team->tid) return;
  Lines l = lines_of(index, -1);
  int64_t bad = 0;
  for (int64_t i = 0; i < l.n && !bad; i++)
    if ((uint64_t)index_at(&l, i, n) >= (uint64_t)n) bad = i + 1;
  *(int64_t *)status->data = bad;
}

static inline void move_one(char *to, const char *from, int64_t bytes) {
  if (bytes == 4) memcpy(to, from, 4);
  else if (bytes == 8) memcpy(to, from, 8);
  else *to = *from;
}

/* `to` (of any strides) = zero, or = from where there is a from; the thread's share of the elements */
static void fill(const Array *to, const Array *from, const Team *team) {
  Lines l = lines_of(to, -1), f = from ? lines_of(from, -1) : l;
  int64_t begin, end, bytes = bytes_of[to->dtype], zero = 0;
  team_split(team, l.n, 64, &begin, &end);
  char *p = to->data;
  if (begin >= end) return;
  if (array_contiguous(to) && !from) memset(p + begin * bytes, 0, (size_t)((end - begin) * bytes));
  else if (array_contiguous(to) && array_contiguous(from))
    memcpy(p + begin * bytes, (char *)from->data + begin * bytes, (size_t)((end - begin) * bytes));
  else
    for (int64_t i = begin; i < end; i++)
      move_one(p + line_at(&l, i) * bytes, from ? (char *)from->data + line_at(&f, i) * bytes : (char *)&zero, bytes);
}

/* x (outer, n, inner) and y (outer, index, inner) */
typedef struct {
  Array x_outer, y_outer, y_middle, x_inner, y_inner;
  Lines xo, yo, ym, xi, yi, index;
  int64_t n, step, bytes, run; /* run: elements of inner when it is contiguous in both, else 0 */
} Taking;

static void taking_of(Taking *t, const Call *call, const Array *x, const Array *y, const Array *index) {
  int dim = (int)call->ints[0];
  t->x_outer = axes_of(x, 0, dim), t->x_inner = axes_of(x, dim + 1, x->ndim);
  t->y_outer = axes_of(y, 0, dim), t->y_middle = axes_of(y, dim, dim + index->ndim);
  t->y_inner = axes_of(y, dim + index->ndim, y->ndim);
  t->xo = lines_of(&t->x_outer, -1), t->yo = lines_of(&t->y_outer, -1), t->ym = lines_of(&t->y_middle, -1);
  t->xi = lines_of(&t->x_inner, -1), t->yi = lines_of(&t->y_inner, -1), t->index = lines_of(index, -1);
  t->n = x->shape[dim], t->step = x->stride[dim], t->bytes = bytes_of[x->dtype];
  t->run = array_contiguous(&t->x_inner) && array_contiguous(&t->y_inner) ? t->xi.n : 0;
}

static void take(const Call *call, const Team *team) {
  static const int64_t zero = 0;
  Taking t;
  taking_of(&t, call, call->args + 2, call->args, call->args + 3);
  int64_t begin, end, count = t.index.n;
  team_split(team, t.yo.n * count, 1, &begin, &end);
  for (int64_t p = begin; p < end; p++) {
    int64_t o = p / count, k = p - o * count, i = index_at(&t.index, k, t.n);
    int known = (uint64_t)i < (uint64_t)t.n;
    char *to = (char *)call->args[0].data + (line_at(&t.yo, o) + line_at(&t.ym, k)) * t.bytes;
    const char *from = known ? (const char *)call->args[2].data + (line_at(&t.xo, o) + i * t.step) * t.bytes : NULL;
    if (t.run == 1) move_one(to, known ? from : (const char *)&zero, t.bytes);
    else if (t.run && known) memcpy(to, from, (size_t)(t.run * t.bytes));
    else
      for (int64_t e = 0; e < t.xi.n; e++) {
        const char *one = known ? from + line_at(&t.xi, e) * t.bytes : (const char *)&zero;
        move_one(to + line_at(&t.yi, e) * t.bytes, one, t.bytes);
      }
  }
  set_status(call->args + 1, call->args + 3, t.n, team);
}

/* Whose sums are whose: each thread has some lines, or else some of the places that an index may mean, or else (only
 * index_add) some elements of inner */
typedef struct {
  int64_t line, lines, place, places, inner, inners;
} Share;

static Share share_of(const Team *team, int64_t lines, int64_t places, int64_t inner) {
  Share s = {0, lines, 0, places, 0, inner};
  if (lines >= team->nt) team_split(team, lines, 1, &s.line, &s.lines);
  else if (inner >= 64 * team->nt) team_split(team, inner, 16, &s.inner, &s.inners);
  else team_split(team, places, 1, &s.place, &s.places);
  return s;
}

#define ADDING(S, C)                                                                                             \
  static void index_add_##S(const Call *call, const Taking *t, const Share *s) {                                 \
    for (int64_t o = s->line; o < s->lines; o++)                                                                 \
      for (int64_t k = 0; k < t->index.n; k++) {                                                                 \
        int64_t i = index_at(&t->index, k, t->n);                                                                \
        if (i < s->place || i >= s->places) continue;                                                            \
        C *to = (C *)call->args[0].data + line_at(&t->xo, o) + i * t->step;                                      \
        const C *from = (const C *)call->args[2].data + line_at(&t->yo, o) + line_at(&t->ym, k);                 \
        if (t->run)                                                                                              \
          for (int64_t e = s->inner; e < s->inners; e++) to[e] += from[e];                                       \
        else                                                                                                     \
          for (int64_t e = s->inner; e < s->inners; e++) to[line_at(&t->xi, e)] += from[line_at(&t->yi, e)];     \
      }                                                                                                          \
  }                                                                                                              \
  static void scatter_add_##S(const Lines *out, const Lines *index, const Lines *src, int64_t n, int64_t step,   \
                              const Share *s) {                                                                  \
    for (int64_t r = s->line; r < s->lines; r++) {                                                               \
      C *to = (C *)out->array->data + line_at(out, r);                                                           \
      const C *from = (const C *)src->array->data + line_at(src, r);                                             \
      const int64_t *at = (const int64_t *)index->array->data + line_at(index, r);                               \
      for (int64_t k = 0; k < index->len; k++) {                                                                 \
        int64_t i = wrapped(at[k * index->step], n);                                                             \
        if (i >= s->place && i < s->places) to[i * step] += from[k * src->step];                                 \
      }                                                                                                          \
    }                                                                                                            \
  }
ADDING(f32, float)
ADDING(f64, double)
ADDING(i64, int64_t)

static void index_add(const Call *call, const Team *team) {
  Taking t;
  fill(call->args, NULL, team);
  taking_of(&t, call, call->args, call->args + 2, call->args + 3);
  team_barrier(team);
  Share s = share_of(team, t.xo.n, t.n, t.xi.n);
  if (call->args[0].dtype == DL_F32) index_add_f32(call, &t, &s);
  else if (call->args[0].dtype == DL_F64) index_add_f64(call, &t, &s);
  else index_add_i64(call, &t, &s);
  set_status(call->args + 1, call->args + 3, t.n, team);
}

/* a as index sees it: index's shape, a's strides */
static Array seen_as(const Array *a, const Array *index) {
  Array view = *a;
  memcpy(view.shape, index->shape, sizeof view.shape);
  return view;
}

static void gather(const Call *call, const Team *team) {
  const Array *a = call->args, *at = a + 3;
  static const int64_t zero = 0;
  int dim = (int)call->ints[0];
  Array seen = seen_as(a + 2, at);
  Lines out = lines_of(a, dim), index = lines_of(at, dim), x = lines_of(&seen, dim);
  int64_t n = a[2].ndim ? a[2].shape[dim] : 1, step = a[2].ndim ? a[2].stride[dim] : 1;
  int64_t begin, end, bytes = bytes_of[a->dtype];
  team_split(team, index.n, 1, &begin, &end);
  for (int64_t r = begin; r < end; r++) {
    const int64_t *indices = (const int64_t *)at->data + line_at(&index, r);
    const char *from = (const char *)a[2].data + line_at(&x, r) * bytes;
    char *to = (char *)a->data + line_at(&out, r) * bytes;
    for (int64_t k = 0; k < index.len; k++) {
      int64_t i = wrapped(indices[k * index.step], n);
      int known = (uint64_t)i < (uint64_t)n;
      move_one(to + k * out.step * bytes, known ? from + i * step * bytes : (const char *)&zero, bytes);
    }
  }
  set_status(a + 1, at, n, team);
}

static void scatter_add(const Call *call, const Team *team) {
  const Array *a = call->args, *at = a + 3;
  int dim = (int)call->ints[0];
  Array seen = seen_as(a, at), given = seen_as(a + 4, at);
  Lines out = lines_of(&seen, dim), index = lines_of(at, dim), src = lines_of(&given, dim);
  int64_t n = a->ndim ? a->shape[dim] : 1, step = a->ndim ? a->stride[dim] : 1;
  fill(a, a + 2, team);
  team_barrier(team);
  Share s = share_of(team, index.n, n, 0);
  if (a->dtype == DL_F32) scatter_add_f32(&out, &index, &src, n, step, &s);
  else if (a->dtype == DL_F64) scatter_add_f64(&out, &index, &src, n, step, &s);
  else scatter_add_i64(&out, &index, &src, n, step, &s);
  set_status(a + 1, at, n, team);
}

static int is_status(const Array *a) { return a->data && a->dtype == DL_I64 && a->ndim == 0; }
static int can_add(const Array *a) { return a->dtype != DL_BOOL; }

/* y has x's shape with index's in the place of dim */
static const char *check_taking(const Call *call, const Array *x, const Array *y) {
  const Array *index = call->args + 3;
  if (!x->data || !y->data || x->dtype != y->dtype) return "the arrays must have one dtype";
  if (!is_status(call->args + 1) || !index->data || index->dtype != DL_I64) return "index and status must be int64";
  if (call->n_ints != 1 || call->ints[0] < 0 || call->ints[0] >= x->ndim)
    return "dim is outside the array's dimensions";
  int dim = (int)call->ints[0], fits = y->ndim == x->ndim - 1 + index->ndim;
  for (int i = 0; fits && i < y->ndim; i++) {
    int in_index = i >= dim && i < dim + index->ndim;
    fits = y->shape[i] == (in_index ? index->shape[i - dim] : x->shape[i < dim ? i : i - index->ndim + 1]);
  }
  return fits ? NULL : "the shapes of the array, of index and of what is taken do not fit";
}

static const char *check_take(const Call *call) {
  return call->n_args == 4 ? check_taking(call, call->args + 2, call->args) : "wants (y, status; x, index), dim";
}

static const char *check_index_add(const Call *call) {
  if (call->n_args != 4) return "wants (x, status; g, index), dim";
  const char *wrong = check_taking(call, call->args, call->args + 2);
  if (wrong) return wrong;
  return can_add(call->args) ? NULL : "cannot add bool";
}

/* index is within x's and src's shape, along dim within src's only */
static const char *check_gather(const Call *call) {
  const Array *a = call->args, *index = a + 3;
  if (call->n_args != 4 || !a->data || !a[2].data) return "wants (y, status; x, index), dim";
  if (!is_status(a + 1) || !index->data || index->dtype != DL_I64) return "index and status must be int64";
  if (call->n_ints != 1 || call->ints[0] < 0 || call->ints[0] >= (index->ndim ? index->ndim : 1))
    return "dim is outside the array's dimensions";
  if (a->dtype != a[2].dtype || !same_shape(a, index) || a[2].ndim != index->ndim)
    return "y must have x's dtype and index's shape; x and index as many dimensions";
  for (int i = 0; i < index->ndim; i++)
    if (i != call->ints[0] && index->shape[i] > a[2].shape[i]) return "index must not be larger than x but along dim";
  return NULL;
}

static const char *check_scatter_add(const Call *call) {
  const Array *a = call->args, *index = a + 3, *src = a + 4;
  if (call->n_args != 5 || !a->data || !a[2].data || !src->data) return "wants (y, status; x, index, src), dim";
  if (!is_status(a + 1) || !index->data || index->dtype != DL_I64) return "index and status must be int64";
  if (call->n_ints != 1 || call->ints[0] < 0 || call->ints[0] >= (index->ndim ? index->ndim : 1))
    return "dim is outside the array's dimensions";
  if (a->dtype != a[2].dtype || a->dtype != src->dtype || !can_add(a))
    return "y, x and src must have one dtype, not bool";
  if (!same_shape(a, a + 2) || a->ndim != index->ndim || src->ndim != index->ndim)
    return "y must be like x; x, index and src must have as many dimensions";
  for (int i = 0; i < index->ndim; i++)
    if (index->shape[i] > src->shape[i] || (i != call->ints[0] && index->shape[i] > a->shape[i]))
      return "index must not be larger than src, nor than x but along dim";
  return NULL;
}

const Kernel K(take) = {"take", take, NULL, check_take};
const Kernel K(index_add) = {"index_add", index_add, NULL, check_index_add};
const Kernel K(gather) = {"gather", gather, NULL, check_gather};
const Kernel K(scatter_add) = {"scatter_add", scatter_add, NULL, check_scatter_add};
