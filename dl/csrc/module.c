/* dl._kernels: checks buffers, releases the GIL, calls the kernel table of the best instruction set. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernels.h"

static const Kernels *available[4];
static int n_available = 0;
static const Kernels *active = NULL;

static void find_isa(void) {
  available[n_available++] = &kernels_base;
#ifdef HAVE_X86_ISA
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) available[n_available++] = &kernels_avx2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    available[n_available++] = &kernels_avx512;
#endif
  active = available[n_available - 1];
}

/* isas() -> tuple of the names this processor can run, best last */
static PyObject *isas(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  PyObject *names = PyTuple_New(n_available);
  if (!names) return NULL;
  for (int i = 0; i < n_available; i++) PyTuple_SET_ITEM(names, i, PyUnicode_FromString(available[i]->name));
  return names;
}

static PyObject *isa(PyObject *self, PyObject *unused) {
  (void)self, (void)unused;
  return PyUnicode_FromString(active->name);
}

static PyObject *use(PyObject *self, PyObject *name) {
  (void)self;
  const char *wanted = PyUnicode_AsUTF8(name);
  if (!wanted) return NULL;
  for (int i = 0; i < n_available; i++)
    if (strcmp(wanted, available[i]->name) == 0) {
      active = available[i];
      Py_RETURN_NONE;
    }
  return PyErr_Format(PyExc_ValueError, "dl: instruction set '%s' is not available; see dl._kernels.isas()", wanted);
}

/* axpy(a, x, y, out): out = a x + y on C-contiguous buffers of one dtype ('f' or 'd') and one length */
static PyObject *axpy(PyObject *self, PyObject *const *args, Py_ssize_t nargs) {
  (void)self;
  if (nargs != 4) return PyErr_Format(PyExc_TypeError, "axpy(a, x, y, out) takes 4 arguments, got %zd", nargs);
  double a = PyFloat_AsDouble(args[0]);
  if (a == -1.0 && PyErr_Occurred()) return NULL;
  Py_buffer view[3];
  int held = 0;
  PyObject *result = NULL;
  for (; held < 3; held++) {
    int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (held == 2 ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(args[held + 1], &view[held], flags)) goto done;
  }
  for (int i = 0; i < 3; i++)
    if (strcmp(view[i].format, view[0].format) || view[i].len != view[0].len) {
      PyErr_Format(PyExc_ValueError, "axpy: x, y and out must have one dtype and one size; argument %d differs from x", i + 1);
      goto done;
    }
  size_t n = (size_t)(view[0].len / view[0].itemsize);
  if (strcmp(view[0].format, "f") == 0) {
    Py_BEGIN_ALLOW_THREADS active->axpy_f32(n, (float)a, view[0].buf, view[1].buf, view[2].buf);
    Py_END_ALLOW_THREADS
  } else if (strcmp(view[0].format, "d") == 0) {
    Py_BEGIN_ALLOW_THREADS active->axpy_f64(n, a, view[0].buf, view[1].buf, view[2].buf);
    Py_END_ALLOW_THREADS
  } else {
    PyErr_Format(PyExc_TypeError, "axpy: wanted float32 or float64, got buffer format '%s'", view[0].format);
    goto done;
  }
  result = Py_NewRef(Py_None);
done:
  while (held-- > 0) PyBuffer_Release(&view[held]);
  return result;
}

static PyMethodDef methods[] = {
    {"isas", isas, METH_NOARGS, "Names of the instruction sets this processor can run, best last."},
    {"isa", isa, METH_NOARGS, "Name of the instruction set in use."},
    {"use", use, METH_O, "Use another instruction set (tests run every kernel on each)."},
    {"axpy", (PyCFunction)(void (*)(void))axpy, METH_FASTCALL, "axpy(a, x, y, out): out = a x + y."},
    {NULL, NULL, 0, NULL}};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernels", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernels(void) {
  find_isa();
  return PyModule_Create(&module);
}
