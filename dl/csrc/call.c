/* _kernels.call: one kernel on NumPy arrays. */
#include <math.h>

#include "py.h"

/* work that is done before another thread has joined; before one has woken up; before the GIL has changed hands [ns] */
static const double JOIN_NS = 5000, WAKE_NS = 60000, GIL_NS = 10000;

typedef struct {
  PyObject **items;
  Py_ssize_t n;
} Items;

static int items_of(PyObject *sequence, Items *items, const char *kernel, const char *what) {
  if (!PyTuple_Check(sequence) && !PyList_Check(sequence)) {
    PyErr_Format(PyExc_TypeError, "dl.%s: %s must be a tuple, got %.100s", kernel, what, Py_TYPE(sequence)->tp_name);
    return -1;
  }
  items->items = PySequence_Fast_ITEMS(sequence);
  items->n = PySequence_Fast_GET_SIZE(sequence);
  return 0;
}

static int fill(const Items *lists, Array *args, int64_t *ints, double *floats, const char *kernel) {
  for (Py_ssize_t i = 0; i < lists[0].n; i++)
    if (array_from(&args[i], lists[0].items[i], kernel, "output", (int)i, 1)) return -1;
  for (Py_ssize_t i = 0; i < lists[1].n; i++)
    if (array_from(&args[lists[0].n + i], lists[1].items[i], kernel, "input", (int)i, 0)) return -1;
  for (Py_ssize_t i = 0; i < lists[2].n; i++)
    if ((ints[i] = PyLong_AsLongLong(lists[2].items[i])) == -1 && PyErr_Occurred()) return -1;
  for (Py_ssize_t i = 0; i < lists[3].n; i++)
    if ((floats[i] = PyFloat_AsDouble(lists[3].items[i])) == -1.0 && PyErr_Occurred()) return -1;
  return 0;
}

static void work(void *call, const Team *team) { ((const Call *)call)->kernel->run(call, team); }

int run_call(Call *call, double ns) {
  const Kernel *kernel = call->kernel;
  int nt = ns < JOIN_NS || (ns < WAKE_NS && !team_awake()) ? 1 : dl_threads;
  size_t bytes = 0;
  if (kernel->workspace) {
    size_t one = kernel->workspace(call, 1), all = nt > 1 ? kernel->workspace(call, nt) : 0;
    bytes = one > all ? one : all;
  }
  if (bytes && !(call->work = team_scratch(bytes))) {
    PyErr_Format(PyExc_MemoryError, "dl.%s: no memory for %zu bytes of scratch", kernel->name, bytes);
    return -1;
  }
  PyThreadState *state = ns < GIL_NS ? NULL : PyEval_SaveThread();
  team_run(nt, work, call);
  if (state) PyEval_RestoreThread(state);
  return 0;
}

static int is_product(const char *name) {
  switch (name[0]) {
    case 'g': return strncmp(name, "gemm", 4) == 0;
    case 'c': return strncmp(name, "conv", 4) == 0;
    case 'a': return strncmp(name, "attention", 9) == 0;
    default: return 0;
  }
}

/* On one thread, roughly. In a product of matrices, or a convolution, every size is a product of two of three numbers,
 * whose product is the work. */
double call_ns(const Call *call) {
  double sum = 0, product = 1;
  if (call->kernel == dl_table->fused_kernel)
    return (0.15 * (double)array_size(call->args) + 2) * (double)call->ints[3];
  for (int i = 0; i < call->n_args; i++) {
    double size = call->args[i].data ? (double)array_size(&call->args[i]) : 0;
    sum += size;
    if (i < 3) product *= size;
  }
  return is_product(call->kernel->name) ? sqrt(product) / 30 : 0.15 * sum;
}

int checked_run(Call *call) {
  const char *wrong = call->kernel->check ? call->kernel->check(call) : NULL;
  if (wrong) {
    refuse(call, wrong);
    return -1;
  }
  return run_call(call, call_ns(call));
}

PyObject *py_call(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  static const char *const what[4] = {"outs", "ins", "ints", "floats"};
  if (n != 5) return PyErr_Format(PyExc_TypeError, "call(name, outs, ins, ints, floats) takes 5 arguments, got %zd", n);
  int id = kernel_index(args[0]);
  if (id < 0) return NULL;
  const Kernel *kernel = dl_table->kernels[id];
  Items lists[4];
  for (int i = 0; i < 4; i++)
    if (items_of(args[i + 1], &lists[i], kernel->name, what[i])) return NULL;
  Py_ssize_t n_args = lists[0].n + lists[1].n;
  size_t bytes = (size_t)n_args * sizeof(Array) + (size_t)(lists[2].n + lists[3].n) * 8;
  _Alignas(64) char small[2048];
  char *memory = bytes <= sizeof small ? small : PyMem_Malloc(bytes);
  if (!memory) return PyErr_NoMemory();
  Array *operands = (Array *)memory;
  int64_t *ints = (int64_t *)(operands + n_args);
  double *floats = (double *)(ints + lists[2].n);
  int failed = fill(lists, operands, ints, floats, kernel->name);
  if (!failed) {
    Call call = {kernel, (int)n_args, (int)lists[2].n, (int)lists[3].n, operands, ints, floats, NULL};
    failed = checked_run(&call);
  }
  if (memory != small) PyMem_Free(memory);
  if (failed) return NULL;
  Py_RETURN_NONE;
}
