/* The memory of a built program beside its buffers: plans of the fused calls, and scratch. */
#include "program.h"

static void *aligned(size_t bytes, const char *what) {
  void *memory = NULL;
  if (posix_memalign(&memory, 64, bytes ? bytes : 64)) {
    PyErr_Format(PyExc_MemoryError, "dl.Program: no memory for %zu bytes of %s", bytes, what);
    return NULL;
  }
  return memory;
}

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* elementwise programs are decoded once, here; they run from their plan */
static int plan_fused(Program *p) {
  size_t bytes = 0;
  for (Step *s = p->steps; s < p->steps + p->n_steps; s++)
    if (s->call.kernel == dl_table->fused_kernel) bytes += rounded(dl_table->fused->plan_bytes(&s->call));
  char *at = p->plans = aligned(bytes, "plans");
  if (!at) return -1;
  for (Step *s = p->steps; s < p->steps + p->n_steps; s++) {
    if (s->call.kernel != dl_table->fused_kernel) continue;
    bytes = rounded(dl_table->fused->plan_bytes(&s->call));
    dl_table->fused->plan(&s->call, at);
    s->call.ints = (const int64_t *)(const void *)at;
    s->call.kernel = dl_table->fused->planned;
    at += bytes;
  }
  return 0;
}

typedef struct {
  size_t most;                    /* taken by the team's calls */
  size_t thread[DL_MAX_THREADS]; /* the most that a call of one thread takes */
} Scratch;

/* The team's calls that no barrier separates may run at the same time, and get memory of their own (nt > 1); calls of
 * one thread follow each other, and share. Until the memory exists, work holds the offset. */
static size_t reserve(Scratch *scratch, size_t taken, Step *step, int nt) {
  Call *call = &step->call;
  size_t one = call->kernel->workspace ? rounded(call->kernel->workspace(call, 1)) : 0;
  if (nt == 1) taken = 0;
  if (step->thread) {
    size_t *most = &scratch->thread[step->thread - 1];
    if (one > *most) *most = one;
  } else if (call->kernel->workspace) {
    size_t all = rounded(call->kernel->workspace(call, nt));
    call->work = (void *)(uintptr_t)taken;
    taken += one > all ? one : all;
    if (taken > scratch->most) scratch->most = taken;
  }
  return step->barrier ? 0 : taken;
}

static int place_scratch(Program *p) {
  Scratch scratch = {0};
  size_t taken = 0, at[DL_MAX_THREADS];
  for (Step *s = p->steps; s < p->steps + p->n_steps; s++) taken = reserve(&scratch, taken, s, p->nt);
  p->work_bytes = scratch.most;
  for (int t = 0; t < DL_MAX_THREADS; t++) at[t] = p->work_bytes, p->work_bytes += scratch.thread[t];
  if (!(p->work = aligned(p->work_bytes, "scratch"))) return -1;
  for (Step *s = p->steps; s < p->steps + p->n_steps; s++) {
    size_t offset = s->thread ? at[s->thread - 1] : (uintptr_t)s->call.work;
    if (s->call.kernel->workspace) s->call.work = (char *)p->work + offset;
  }
  return 0;
}

int program_lay_out(Program *p) { return plan_fused(p) || place_scratch(p) ? -1 : 0; }
