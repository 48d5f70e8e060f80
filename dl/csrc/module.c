/* dl._kernels: the kernel table of the best instruction set of this processor, called from Python. */
#define DL_IMPORTS_NUMPY
#include "program.h"

#ifdef DL_NEON
extern const KernelTable table_neon;
#else
extern const KernelTable table_base;
#endif
#ifdef DL_X86
extern const KernelTable table_avx2, table_avx512;
#endif

const KernelTable *dl_table;
int dl_threads = 1;

static const KernelTable *available[3];
static int n_available;
static PyObject *ids; /* {interned name: id} */

static void find_isas(void) {
#ifdef DL_NEON
  available[n_available++] = &table_neon;
#else
  available[n_available++] = &table_base;
#endif
#ifdef DL_X86
  __builtin_cpu_init();
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx2) available[n_available++] = &table_avx2;
  if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    available[n_available++] = &table_avx512;
#endif
  dl_table = available[n_available - 1];
}

int kernel_index(PyObject *name) {
  PyObject *id = PyUnicode_CheckExact(name) ? PyDict_GetItemWithError(ids, name) : name;
  if (id && PyLong_Check(id)) {
    long index = PyLong_AsLong(id);
    if (index >= 0 && index < dl_table->n_kernels) return (int)index;
    PyErr_Clear();
  }
  if (!PyErr_Occurred()) {
    PyObject *names = PySequence_List(ids);
    PyErr_Format(PyExc_KeyError, "dl: no kernel %R; there are %S", name, names);
    Py_XDECREF(names);
  }
  return -1;
}

static PyObject *kernel_id(PyObject *self, PyObject *name) {
  (void)self;
  int id = kernel_index(name);
  return id < 0 ? NULL : PyLong_FromLong(id);
}

static PyObject *isas(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  PyObject *names = PyTuple_New(n_available);
  for (int i = 0; names && i < n_available; i++) PyTuple_SET_ITEM(names, i, PyUnicode_FromString(available[i]->isa));
  return names;
}

static PyObject *isa(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return PyUnicode_FromString(dl_table->isa);
}

static PyObject *use(PyObject *self, PyObject *name) {
  (void)self;
  const char *wanted = PyUnicode_AsUTF8(name);
  if (!wanted) return NULL;
  for (int i = 0; i < n_available; i++)
    if (strcmp(wanted, available[i]->isa) == 0) {
      dl_table = available[i];
      dl_epoch++; /* recorded programs hold the old kernels */
      Py_RETURN_NONE;
    }
  return PyErr_Format(PyExc_ValueError, "dl: instruction set '%s' is not available; see dl._kernels.isas()", wanted);
}

static PyObject *num_threads(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return PyLong_FromLong(dl_threads);
}

static PyObject *set_num_threads(PyObject *self, PyObject *number) {
  (void)self;
  long n = PyLong_AsLong(number);
  if (n == -1 && PyErr_Occurred()) return NULL;
  if (n < 1 || n > DL_MAX_THREADS)
    return PyErr_Format(PyExc_ValueError, "dl: the number of threads must be 1 to %d, got %ld", DL_MAX_THREADS, n);
  dl_threads = (int)n;
  Py_RETURN_NONE;
}

static PyObject *epoch(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return PyLong_FromLongLong(dl_epoch);
}

static PyObject *bump_epoch(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  dl_epoch++;
  Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"isas", isas, METH_NOARGS, "Names of the instruction sets this processor can run, best last."},
    {"isa", isa, METH_NOARGS, "Name of the instruction set in use."},
    {"use", use, METH_O, "Use another instruction set (tests run every kernel on each)."},
    {"num_threads", num_threads, METH_NOARGS, "Threads a call may use, the caller included."},
    {"set_num_threads", set_num_threads, METH_O, "Set the threads a call may use, 1 to 64."},
    {"kernel_id", kernel_id, METH_O, "kernel_id(name) -> id of a kernel, the same on every instruction set."},
    {"elementwise", (PyCFunction)(void (*)(void))py_elementwise, METH_FASTCALL,
     "elementwise(code, *arrays) -> array: a micro-operation with broadcasting; the result lies as the inputs do."},
    {"matmul", (PyCFunction)(void (*)(void))py_matmul, METH_FASTCALL, "matmul(a, b, bias=None) -> a b + bias."},
    {"linear", (PyCFunction)(void (*)(void))py_linear, METH_FASTCALL, "linear(x, w, bias=None) -> x w^T + bias."},
    {"linear_bias", py_linear_bias, METH_O, "linear_bias(g): the sum of the rows, as the gradient of a bias."},
    {"linear_weight", (PyCFunction)(void (*)(void))py_linear_weight, METH_FASTCALL, "linear_weight(g, x) -> g^T x."},
    {"reduce", (PyCFunction)(void (*)(void))py_reduce, METH_FASTCALL | METH_KEYWORDS,
     "reduce(name or id, x, dim=(...)) -> array: a reduction whose result has the dtype of x (int64 for bool)."},
    {"any_read_only", py_any_read_only, METH_O, "Whether one of a tuple of arrays must not be written into."},
    {"linear_backward", (PyCFunction)(void (*)(void))py_linear_backward, METH_FASTCALL, "The rule of linear on arrays."},
    {"tanh_backward", (PyCFunction)(void (*)(void))py_tanh_backward, METH_FASTCALL, "The rule of tanh on arrays."},
    {"sigmoid_backward", (PyCFunction)(void (*)(void))py_sigmoid_backward, METH_FASTCALL, "The same of sigmoid."},
    {"relu_backward", (PyCFunction)(void (*)(void))py_relu_backward, METH_FASTCALL, "The same of relu."},
    {"mse_backward", (PyCFunction)(void (*)(void))py_mse_backward, METH_FASTCALL, "The same of mse_loss."},
    {"mse", (PyCFunction)(void (*)(void))py_mse, METH_FASTCALL, "mse(x, y) -> the mean of (x - y)^2."},
    {"micro_op", py_micro_op, METH_O, "micro_op(name) -> code of an elementwise operation."},
    {"micro_ops", py_micro_ops, METH_NOARGS,
     "{name: (code, arity, dtype codes of the result for float32, float64, int64, bool; -1: does not take it)}"},
    {"epoch", epoch, METH_NOARGS, "The number of times that recorded programs became invalid."},
    {"bump_epoch", bump_epoch, METH_NOARGS, "Make every recorded program invalid: an array it uses was replaced."},
    {"loop", (PyCFunction)(void (*)(void))py_loop, METH_FASTCALL,
     "loop(program, n, carry, fixed, rows, outs): runs a Program n times; tuples of arrays, rows and outs with a leading "
     "axis n; the program takes carry, fixed, a row of each of rows, and gives the next carry and a row of each of outs."},
    {"call", (PyCFunction)(void (*)(void))py_call, METH_FASTCALL,
     "call(name or id, outs, ins, ints, floats): runs a kernel; arrays or None, then its numbers."},
    {NULL, NULL, 0, NULL}};

static int fill_ids(PyObject *module) {
  ids = PyDict_New();
  for (int i = 0; ids && i < dl_table->n_kernels; i++) {
    PyObject *name = PyUnicode_InternFromString(dl_table->kernels[i]->name), *id = PyLong_FromLong(i);
    int failed = !name || !id || PyDict_SetItem(ids, name, id);
    Py_XDECREF(name);
    Py_XDECREF(id);
    if (failed) return -1;
  }
  PyObject *names = ids ? PySequence_Tuple(ids) : NULL;
  return names ? PyModule_AddObject(module, "KERNELS", names) : -1;
}

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) {
  import_array();
  find_isas();
  team_init();
  scratch_init();
  int cores = team_cores();
  dl_threads = cores < DL_MAX_THREADS ? cores : DL_MAX_THREADS;
  PyObject *module = PyModule_Create(&definition);
  if (module && (fill_ids(module) || add_program_types(module) || add_choice_type(module) || add_jitted_type(module) ||
                 add_tape_type(module))) Py_CLEAR(module);
  return module;
}
