/* Kernels of small networks called on arrays without a detour through Python: the result is allocated here. The same
 * kernels get the same operands as by _kernels.call, so the bits and the refusals are the same. */
#include "py.h"

static void transpose(Array *a) {
  int n = a->ndim;
  int64_t shape = a->shape[n - 1], stride = a->stride[n - 1];
  a->shape[n - 1] = a->shape[n - 2];
  a->stride[n - 1] = a->stride[n - 2];
  a->shape[n - 2] = shape;
  a->stride[n - 2] = stride;
}

/* a new array of this shape, and as what kernels see */
static PyObject *result(Array *out, int dtype, int ndim, const int64_t *shape) {
  npy_intp sizes[DL_MAXDIM];
  for (int d = 0; d < ndim; d++) sizes[d] = shape[d];
  PyArray_Descr *descr = PyArray_DescrFromType(dtype_numpy[dtype]);
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, descr, ndim, sizes, NULL, NULL, 0, NULL);
  if (array && array_from(out, array, "result", "output", 0, 1)) Py_CLEAR(array);
  return array;
}

static PyObject *finished(Call *call, PyObject *out) {
  const char *wrong = out && call->kernel->check ? call->kernel->check(call) : NULL;
  if (wrong) refuse(call, wrong);
  if (out && (wrong || run_call(call, call_ns(call)))) Py_CLEAR(out);
  return out;
}

/* axes in front of the last two, broadcast; -1: they do not fit (check says so) */
static int batches(const Array *a, const Array *b, int64_t *shape) {
  int ndim = a->ndim > b->ndim ? a->ndim : b->ndim;
  for (int d = 0; d < ndim - 2; d++) {
    int i = d - (ndim - a->ndim), j = d - (ndim - b->ndim);
    int64_t m = i < 0 ? 1 : a->shape[i], n = j < 0 ? 1 : b->shape[j];
    shape[d] = m == 1 ? n : m;
  }
  return ndim;
}

/* gemm(a, b, bias) with a or b transposed */
static PyObject *product(PyObject *const *args, Py_ssize_t n, int flip_a, int flip_b) {
  static PyObject *name;
  Array operands[4];
  int64_t shape[DL_MAXDIM], none = 0;
  if (n < 2 || n > 3) return PyErr_Format(PyExc_TypeError, "dl.gemm: takes 2 or 3 arrays, got %zd", n);
  if (!name && !(name = PyUnicode_InternFromString("gemm"))) return NULL;
  int id = kernel_index(name);
  if (id < 0) return NULL;
  for (int i = 0; i < 3; i++)
    if (array_from(&operands[i + 1], i < n ? args[i] : Py_None, "gemm", "input", i, 0)) return NULL;
  Array *a = &operands[1], *b = &operands[2];
  if (!a->data || !b->data || a->ndim < 2 || b->ndim < 2)
    return PyErr_Format(PyExc_ValueError, "dl.gemm: the factors must have two axes or more, got %d and %d", a->ndim, b->ndim);
  if (flip_a) transpose(a);
  if (flip_b) transpose(b);
  int ndim = batches(a, b, shape);
  shape[ndim - 2] = a->shape[a->ndim - 2];
  shape[ndim - 1] = b->shape[b->ndim - 1];
  PyObject *out = result(&operands[0], a->dtype, ndim, shape);
  Call call = {dl_table->kernels[id], n == 3 ? 4 : 3, 1, 0, operands, &none, NULL, NULL};
  return finished(&call, out);
}

PyObject *py_matmul(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return product(args, n, 0, 0);
}

PyObject *py_linear(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return product(args, n, 0, 1);
}

PyObject *py_linear_weight(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return product(args, n, 1, 0);
}

/* reduce(name or id, x, *, dim): dim is a tuple of dims; the kernel's check refuses those that are not there */
PyObject *py_reduce(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names) {
  (void)module;
  Array operands[2];
  int64_t dims[DL_MAXDIM], shape[DL_MAXDIM];
  int k = 0, gone[DL_MAXDIM] = {0}, id;
  if (n != 2 || !names || PyTuple_GET_SIZE(names) != 1 || !PyTuple_Check(args[2]) || PyTuple_GET_SIZE(args[2]) > DL_MAXDIM)
    return PyErr_Format(PyExc_TypeError, "reduce(name or id, array, dim=(...)) takes a tuple of dims");
  if ((id = kernel_index(args[0])) < 0) return NULL;
  const Kernel *kernel = dl_table->kernels[id];
  if (array_from(&operands[1], args[1], kernel->name, "input", 0, 0)) return NULL;
  int n_dims = (int)PyTuple_GET_SIZE(args[2]), dtype = operands[1].dtype == DL_BOOL ? DL_I64 : operands[1].dtype;
  for (int i = 0; i < n_dims; i++) {
    dims[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(args[2], i));
    if (dims[i] == -1 && PyErr_Occurred()) return NULL;
    if (dims[i] >= 0 && dims[i] < operands[1].ndim) gone[dims[i]] = 1;
  }
  for (int d = 0; d < operands[1].ndim; d++)
    if (!gone[d]) shape[k++] = operands[1].shape[d];
  PyObject *out = result(&operands[0], dtype, k, shape);
  Call call = {kernel, 2, n_dims, 0, operands, dims, NULL, NULL};
  return finished(&call, out);
}

PyObject *py_any_read_only(PyObject *module, PyObject *arrays) {
  (void)module;
  if (!PyTuple_Check(arrays)) return PyErr_Format(PyExc_TypeError, "any_read_only takes a tuple of arrays");
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(arrays); i++) {
    PyObject *a = PyTuple_GET_ITEM(arrays, i);
    if (!PyArray_Check(a) || !PyArray_ISWRITEABLE((PyArrayObject *)a)) Py_RETURN_TRUE;
  }
  Py_RETURN_FALSE;
}
