/* What every kernel sees: arrays, one call, the team of threads that runs it, and the table of kernels.
 *
 * The law of the house: a kernel allocates nothing, calls no Python, and its result does not depend on the number of
 * threads (work is split over outputs; a reduction is cut into pieces whose size does not depend on the team). */
#ifndef DL_H
#define DL_H
#include <stddef.h>
#include <stdint.h>

#define DL_MAXDIM 8
enum { DL_F32 = 0, DL_F64 = 1, DL_I64 = 2, DL_BOOL = 3 };

/* strides are counted in elements, may be 0 (broadcast) or negative */
typedef struct {
  void *data;
  int32_t dtype, ndim;
  int64_t shape[DL_MAXDIM], stride[DL_MAXDIM];
} Array;

struct Kernel;
/* args: the outputs first, then the inputs; an absent optional input has data == NULL. */
typedef struct {
  const struct Kernel *kernel;
  int32_t n_args, n_ints, n_floats;
  const Array *args;
  const int64_t *ints;
  const double *floats;
  void *work; /* 64-byte aligned, kernel->workspace(call, nt) bytes, shared by the team */
} Call;

/* Every thread of the team calls run(call, team) with its own tid; barrier() meets all of them (free when nt == 1).
 * A kernel need not meet at its end: whoever runs the calls does. */
typedef struct Team {
  int tid, nt;
  struct Barrier *barrier;
} Team;
void team_barrier(const Team *team);

typedef struct Kernel {
  const char *name;
  void (*run)(const Call *call, const Team *team);
  size_t (*workspace)(const Call *call, int nt); /* NULL: none */
  const char *(*check)(const Call *call);        /* NULL when the call is sound, else what is wrong, for the user */
} Kernel;

/* rows [*begin, *end) of n for this thread, in multiples of align (the last piece takes the rest) */
static inline void team_split(const Team *team, int64_t n, int64_t align, int64_t *begin, int64_t *end) {
  int64_t blocks = (n + align - 1) / align;
  int64_t b = blocks * team->tid / team->nt * align, e = blocks * (team->tid + 1) / team->nt * align;
  *begin = b < n ? b : n;
  *end = e < n ? e : n;
}

static inline int64_t array_size(const Array *a) {
  int64_t n = 1;
  for (int i = 0; i < a->ndim; i++) n *= a->shape[i];
  return n;
}

/* an empty array is contiguous, whatever its strides */
static inline int array_contiguous(const Array *a) {
  int64_t n = 1;
  if (array_size(a) == 0) return 1;
  for (int i = a->ndim - 1; i >= 0; i--) {
    if (a->shape[i] != 1 && a->stride[i] != n) return 0;
    n *= a->shape[i];
  }
  return 1;
}

/* names: each source is compiled once per instruction set with -DISA=base|avx2|avx512|neon */
#define DL_PASTE2(a, b) a##_##b
#define DL_PASTE(a, b) DL_PASTE2(a, b)
#define DL_TEXT2(a) #a
#define DL_TEXT(a) DL_TEXT2(a)
#define K(name) DL_PASTE(name, ISA)

#endif
