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
  if (out && checked_run(call)) Py_CLEAR(out);
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

/* Into how many parts the sum over k rows falls (dl/matmul_kernels.py has the same): two, where two threads with half of
 * the rows each would exchange less than if both read all rows. */
static int parts_of(int64_t m, int64_t n, int64_t k) {
  return k >= 32 && k <= 1024 && 2 * m * n <= k * (m + n) ? 2 : 0;
}

/* gemm(a, b, bias) with a or b transposed; a transposed: the gradient of a weight */
static PyObject *product(PyObject *const *args, Py_ssize_t n, int flip_a, int flip_b) {
  static PyObject *name;
  Array operands[4];
  int64_t shape[DL_MAXDIM], ints[2] = {0, 0};
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
  if (flip_a && ndim == 2) ints[1] = parts_of(shape[0], shape[1], a->shape[1]);
  PyObject *out = result(&operands[0], a->dtype, ndim, shape);
  Call call = {dl_table->kernels[id], n == 3 ? 4 : 3, 2, 0, operands, ints, NULL, NULL};
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

/* linear_bias(g): the sum of the rows of a matrix, in two parts where they are not too many */
PyObject *py_linear_bias(PyObject *module, PyObject *g) {
  (void)module;
  static PyObject *name;
  Array operands[2];
  if (!name && !(name = PyUnicode_InternFromString("linear_bias"))) return NULL;
  int id = kernel_index(name);
  if (id < 0 || array_from(&operands[1], g, "linear_bias", "input", 0, 0)) return NULL;
  if (operands[1].ndim != 2) return PyErr_Format(PyExc_ValueError, "dl.linear_bias: wanted a matrix, got %d axes", operands[1].ndim);
  int64_t k = operands[1].shape[0], parts = k >= 32 && k <= 1024 ? 2 : 1;
  PyObject *out = result(&operands[0], operands[1].dtype, 1, &operands[1].shape[1]);
  Call call = {dl_table->kernels[id], 2, 1, 0, operands, &parts, NULL, NULL};
  return finished(&call, out);
}

PyObject *reduce_over(int id, PyObject *x, const int64_t *dims, int n) {
  Array operands[2];
  int64_t shape[DL_MAXDIM];
  int k = 0, gone[DL_MAXDIM] = {0};
  const Kernel *kernel = dl_table->kernels[id];
  if (array_from(&operands[1], x, kernel->name, "input", 0, 0)) return NULL;
  for (int i = 0; i < n; i++)
    if (dims[i] >= 0 && dims[i] < operands[1].ndim) gone[dims[i]] = 1;
  for (int d = 0; d < operands[1].ndim; d++)
    if (!gone[d]) shape[k++] = operands[1].shape[d];
  PyObject *out = result(&operands[0], operands[1].dtype == DL_BOOL ? DL_I64 : operands[1].dtype, k, shape);
  Call call = {kernel, 2, n, 0, operands, dims, NULL, NULL};
  return finished(&call, out);
}

/* reduce(name or id, x, *, dim): dim is a tuple of dims; the kernel's check refuses those that are not there */
PyObject *py_reduce(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names) {
  (void)module;
  int64_t dims[DL_MAXDIM];
  if (n != 2 || !names || PyTuple_GET_SIZE(names) != 1 || !PyTuple_Check(args[2]) || PyTuple_GET_SIZE(args[2]) > DL_MAXDIM)
    return PyErr_Format(PyExc_TypeError, "reduce(name or id, array, dim=(...)) takes a tuple of at most 8 dims");
  int id = kernel_index(args[0]), n_dims = (int)PyTuple_GET_SIZE(args[2]);
  if (id < 0) return NULL;
  for (int i = 0; i < n_dims; i++)
    if ((dims[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(args[2], i))) == -1 && PyErr_Occurred()) return NULL;
  return reduce_over(id, args[1], dims, n_dims);
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
