/* Derivative rules of small networks on arrays, for backward passes that nobody listens to: what the rules of the table do
 * with Tensors, by the same operations in the same order, so the bits are the same. A rule gets a number with a bit for each
 * input that wants its gradient; it declines (NotImplemented) what is not everyday. */
#include "py.h"

/* whether all are arrays of one floating dtype that kernels can read */
static int everyday(PyObject *const *args, int n, int *dtype) {
  for (int i = 0; i < n; i++) {
    PyArrayObject *a = (PyArrayObject *)args[i];
    if (!PyArray_CheckExact(args[i]) || !PyArray_ISBEHAVED_RO(a)) return 0;
    int found = dtype_of(a);
    if ((found != DL_F32 && found != DL_F64) || (i && found != *dtype)) return 0;
    *dtype = found;
    for (int d = 0; d < PyArray_NDIM(a); d++)
      if (PyArray_STRIDE(a, d) % dtype_bytes[found]) return 0;
  }
  return 1;
}

enum { TANH_BACKWARD, SIGMOID_BACKWARD, RELU_BACKWARD, SQUARED_DIFFERENCE, MSE_BACKWARD, NEG, N_MICRO };

/* a micro-operation on n arrays */
static PyObject *micro(int which, PyObject *const *args, int n) {
  static const char *const names[N_MICRO] = {"tanh_backward",      "sigmoid_backward", "relu_backward",
                                             "squared_difference", "mse_backward",     "neg"};
  static PyObject *codes[N_MICRO]; /* found when first needed */
  if (!codes[which]) {
    PyObject *name = PyUnicode_FromString(names[which]);
    codes[which] = name ? py_micro_op(NULL, name) : NULL;
    Py_XDECREF(name);
    if (!codes[which]) return NULL;
  }
  PyObject *operands[4] = {codes[which]};
  for (int i = 0; i < n; i++) operands[i + 1] = args[i];
  return py_elementwise(NULL, operands, n + 1);
}

/* of f(x) by g and f(x): args are (needs, g, out, x) */
static PyObject *unary_rule(int which, PyObject *const *args, Py_ssize_t n) {
  int dtype = 0;
  if (n != 4 || !everyday(args + 1, 2, &dtype)) return Py_NewRef(Py_NotImplemented);
  PyObject *d = micro(which, args + 1, 2), *all = d ? PyTuple_Pack(1, d) : NULL;
  Py_XDECREF(d);
  return all;
}

PyObject *py_tanh_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(TANH_BACKWARD, args, n);
}

PyObject *py_sigmoid_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(SIGMOID_BACKWARD, args, n);
}

PyObject *py_relu_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(RELU_BACKWARD, args, n);
}

/* the sum over the first dims */
static PyObject *sum_of(PyObject *x, int dims) {
  static PyObject *name;
  static const int64_t all[DL_MAXDIM] = {0, 1, 2, 3, 4, 5, 6, 7};
  if (!name && !(name = PyUnicode_InternFromString("sum"))) return NULL;
  int id = kernel_index(name);
  return id < 0 ? NULL : reduce_over(id, x, all, dims);
}

static int same_shape(PyObject *x, PyObject *y) { return PyArray_SAMESHAPE((PyArrayObject *)x, (PyArrayObject *)y); }

/* a number / n, in its own dtype */
static void divide(PyArrayObject *number, PyArrayObject *to, npy_intp n) {
  if (PyArray_TYPE(number) == NPY_FLOAT)
    *(float *)PyArray_DATA(to) = *(const float *)PyArray_DATA(number) / (float)n;
  else
    *(double *)PyArray_DATA(to) = *(const double *)PyArray_DATA(number) / (double)n;
}

PyObject *py_mse(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  int dtype = 0;
  if (n != 2 || !everyday(args, 2, &dtype) || !same_shape(args[0], args[1]))
    return PyErr_Format(PyExc_TypeError, "dl.mse_loss: takes two arrays of one shape, both float32 or both float64");
  PyObject *squares = micro(SQUARED_DIFFERENCE, args, 2);
  PyObject *mean = squares ? sum_of(squares, PyArray_NDIM((PyArrayObject *)squares)) : NULL;
  Py_XDECREF(squares);
  if (mean) divide((PyArrayObject *)mean, (PyArrayObject *)mean, PyArray_SIZE((PyArrayObject *)args[0]));
  return mean;
}

/* g / n (d + d) with d = x - y, and the opposite for y; args are (needs, g, out, x, y) */
PyObject *py_mse_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  int dtype = 0;
  if (n != 5 || !everyday(args + 1, 4, &dtype) || !same_shape(args[3], args[4])) return Py_NewRef(Py_NotImplemented);
  if (PyArray_NDIM((PyArrayObject *)args[1]) != 0) return Py_NewRef(Py_NotImplemented);
  long needs = PyLong_AsLong(args[0]);
  if (needs == -1 && PyErr_Occurred()) return NULL;
  PyObject *dx = NULL, *dy = NULL, *both = NULL, *share = PyArray_SimpleNew(0, NULL, dtype_numpy[dtype]);
  if (share) {
    PyObject *operands[3] = {share, args[3], args[4]};
    divide((PyArrayObject *)args[1], (PyArrayObject *)share, PyArray_SIZE((PyArrayObject *)args[3]));
    dx = micro(MSE_BACKWARD, operands, 3);
  }
  if (dx) dy = needs & 2 ? micro(NEG, &dx, 1) : Py_NewRef(Py_None);
  if (dy) both = PyTuple_Pack(2, dx, dy);
  Py_XDECREF(share);
  Py_XDECREF(dx);
  Py_XDECREF(dy);
  return both;
}

/* (..., n) as a matrix with rows of n */
static PyObject *flat(PyObject *array) {
  PyArrayObject *a = (PyArrayObject *)array;
  int ndim = PyArray_NDIM(a);
  if (ndim == 2) return Py_NewRef(array);
  npy_intp sizes[2] = {PyArray_MultiplyList(PyArray_DIMS(a), ndim - 1), PyArray_DIM(a, ndim - 1)};
  PyArray_Dims shape = {sizes, 2};
  return PyArray_Newshape(a, &shape, NPY_CORDER);
}

PyObject *py_linear_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  int dtype = 0, arrays = n == 6 && args[5] == Py_None ? 4 : 5; /* of needs, g, out, x, w, b */
  if (n != 6 || !everyday(args + 1, arrays, &dtype)) return Py_NewRef(Py_NotImplemented);
  int ndim = PyArray_NDIM((PyArrayObject *)args[1]);
  if (ndim < 2 || ndim != PyArray_NDIM((PyArrayObject *)args[3]) || PyArray_SIZE((PyArrayObject *)args[1]) == 0)
    return Py_NewRef(Py_NotImplemented);
  long needs = PyLong_AsLong(args[0]);
  if (needs == -1 && PyErr_Occurred()) return NULL;
  PyObject *operands[2] = {args[1], args[4]}, *flats[2] = {flat(args[1]), flat(args[3])};
  PyObject *all = flats[0] && flats[1] ? PyTuple_New(3) : NULL;
  for (int i = 0; all && i < 3; i++) {
    PyObject *d = !(needs >> i & 1) ? Py_NewRef(Py_None)
                  : i == 0          ? py_matmul(module, operands, 2)
                  : i == 1          ? py_linear_weight(module, flats, 2)
                                    : py_linear_bias(module, flats[0]);
    if (d)
      PyTuple_SET_ITEM(all, i, d);
    else
      Py_CLEAR(all);
  }
  Py_XDECREF(flats[0]);
  Py_XDECREF(flats[1]);
  return all;
}
