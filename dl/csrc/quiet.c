/* Derivative rules of small networks on arrays, for backward passes that nobody listens to: what the rules of the table do
 * with Tensors, by the same operations in the same order, so the bits are the same. A rule gets a number with a bit for each
 * input that wants its gradient; it declines (NotImplemented) what is not everyday. */
#include "py.h"

/* one micro-operation; registers: the inputs, the constants, then temporaries */
typedef struct {
  const char *name;
  int dst, a, b, c;
} Op;

enum { MOST_IN = 3, MOST_CONST = 1, MOST_OPS = 4 };

typedef struct {
  int n_in, n_const, n_ops, result;
  Op ops[MOST_OPS];
  int code[MOST_OPS]; /* found when first needed; 0 is found again */
} Formula;

static int find_codes(Formula *f) {
  for (int i = 0; i < f->n_ops && !f->code[i]; i++) {
    PyObject *name = PyUnicode_FromString(f->ops[i].name), *code = name ? py_micro_op(NULL, name) : NULL;
    Py_XDECREF(name);
    if (!code) return -1;
    f->code[i] = (int)PyLong_AsLong(code);
    Py_DECREF(code);
  }
  return 0;
}

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

/* the formula of arrays with one dtype */
static PyObject *evaluate(Formula *f, PyObject *const *args, double constant, int dtype) {
  int64_t ints[4 + MOST_CONST + 6 * MOST_OPS + 1] = {1, f->n_in, f->n_const, f->n_ops}, *next = ints + 4;
  int dtypes[MOST_IN + 1] = {dtype, dtype, dtype, dtype};
  Array operands[MOST_IN + 1];
  if (find_codes(f)) return NULL;
  if (f->n_const) *next++ = dtype;
  for (int i = 0; i < f->n_ops; i++, next += 6) {
    const Op *op = &f->ops[i];
    int64_t six[6] = {f->code[i], dtype, op->dst, op->a, op->b, op->c};
    memcpy(next, six, sizeof six);
  }
  *next++ = f->result;
  PyObject *out = elementwise_result(f->code[0], args, f->n_in + 1, dtypes, operands);
  if (!out) return NULL;
  Call call = {dl_table->fused_kernel, f->n_in + 1, (int)(next - ints), f->n_const, operands, ints, &constant, NULL};
  if (run_call(&call, call_ns(&call))) Py_CLEAR(out);
  return out;
}

static Formula tanh_rule = {2, 1, 3, 3, {{"square", 3, 1, -1, -1}, {"sub", 3, 2, 3, -1}, {"mul", 3, 0, 3, -1}}, {0}};
static Formula sigmoid_rule = {2, 1, 3, 3, {{"sub", 3, 2, 1, -1}, {"mul", 3, 1, 3, -1}, {"mul", 3, 0, 3, -1}}, {0}};
static Formula relu_rule = {2, 1, 2, 4, {{"gt", 3, 1, 2, -1}, {"where", 4, 3, 0, 2}}, {0}};
static Formula squared_error = {2, 0, 2, 2, {{"sub", 2, 0, 1, -1}, {"square", 2, 2, -1, -1}}, {0}};
static Formula divided = {1, 1, 1, 2, {{"div", 2, 0, 1, -1}}, {0}};
static Formula negated = {1, 0, 1, 1, {{"neg", 1, 0, -1, -1}}, {0}};
/* (g, x, y), n: g / n (d + d) with d = x - y */
static Formula mse_rule = {
    3, 1, 4, 4, {{"div", 4, 0, 3, -1}, {"sub", 5, 1, 2, -1}, {"add", 5, 5, 5, -1}, {"mul", 4, 4, 5, -1}}, {0}};

/* of f(x) by g and f(x): args are (needs, g, out, x) */
static PyObject *unary_rule(Formula *f, double constant, PyObject *const *args, Py_ssize_t n) {
  int dtype = 0;
  if (n != 4 || !everyday(args + 1, 2, &dtype)) return Py_NewRef(Py_NotImplemented);
  PyObject *d = evaluate(f, args + 1, constant, dtype), *all = d ? PyTuple_Pack(1, d) : NULL;
  Py_XDECREF(d);
  return all;
}

PyObject *py_tanh_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(&tanh_rule, 1, args, n);
}

PyObject *py_sigmoid_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(&sigmoid_rule, 1, args, n);
}

PyObject *py_relu_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  return unary_rule(&relu_rule, 0, args, n);
}

static PyObject *sum_of(PyObject *x, int dims) {
  static PyObject *names, *kernel;
  if (!names && !(names = Py_BuildValue("(s)", "dim"))) return NULL;
  if (!kernel && !(kernel = PyUnicode_InternFromString("sum"))) return NULL;
  PyObject *dim = PyTuple_New(dims), *args[3] = {kernel, x, dim};
  for (int i = 0; dim && i < dims; i++) PyTuple_SET_ITEM(dim, i, PyLong_FromLong(i));
  PyObject *out = dim ? py_reduce(NULL, args, 2, names) : NULL;
  Py_XDECREF(dim);
  return out;
}

static int same_shape(PyObject *x, PyObject *y) { return PyArray_SAMESHAPE((PyArrayObject *)x, (PyArrayObject *)y); }

PyObject *py_mse(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  int dtype = 0;
  if (n != 2 || !everyday(args, 2, &dtype) || !same_shape(args[0], args[1]))
    return PyErr_Format(PyExc_TypeError, "dl.mse: takes two arrays of one shape, both float32 or both float64");
  double count = (double)PyArray_SIZE((PyArrayObject *)args[0]);
  PyObject *squares = evaluate(&squared_error, args, 0, dtype);
  PyObject *sum = squares ? sum_of(squares, PyArray_NDIM((PyArrayObject *)squares)) : NULL;
  PyObject *mean = sum ? evaluate(&divided, &sum, count, dtype) : NULL;
  Py_XDECREF(squares);
  Py_XDECREF(sum);
  return mean;
}

PyObject *py_mse_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  int dtype = 0;
  if (n != 5 || !everyday(args + 1, 4, &dtype) || !same_shape(args[3], args[4])) return Py_NewRef(Py_NotImplemented);
  PyObject *operands[3] = {args[1], args[3], args[4]}, *dy = NULL, *both = NULL;
  PyObject *dx = evaluate(&mse_rule, operands, (double)PyArray_SIZE((PyArrayObject *)args[3]), dtype);
  if (dx) dy = PyLong_AsLong(args[0]) & 2 ? evaluate(&negated, &dx, 0, dtype) : Py_NewRef(Py_None);
  if (dy) both = PyTuple_Pack(2, dx, dy);
  Py_XDECREF(dx);
  Py_XDECREF(dy);
  return both;
}

/* (..., n) as a matrix with rows of n */
static PyObject *flat(PyObject *array) {
  PyArrayObject *a = (PyArrayObject *)array;
  int ndim = PyArray_NDIM(a);
  if (ndim == 2) return Py_NewRef(array);
  npy_intp last = PyArray_DIM(a, ndim - 1), sizes[2] = {last ? PyArray_SIZE(a) / last : 0, last};
  PyArray_Dims shape = {sizes, 2};
  return PyArray_Newshape(a, &shape, NPY_CORDER);
}

PyObject *py_linear_backward(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  int dtype = 0, arrays = n == 6 && args[5] == Py_None ? 4 : 5; /* of needs, g, out, x, w, b */
  if (n != 6 || !everyday(args + 1, arrays, &dtype)) return Py_NewRef(Py_NotImplemented);
  if (PyArray_NDIM((PyArrayObject *)args[1]) < 2 || PyArray_SIZE((PyArrayObject *)args[1]) == 0)
    return Py_NewRef(Py_NotImplemented);
  long needs = PyLong_AsLong(args[0]);
  PyObject *operands[2] = {args[1], args[4]}, *flats[2] = {flat(args[1]), flat(args[3])};
  PyObject *all = flats[0] && flats[1] ? PyTuple_New(3) : NULL;
  for (int i = 0; all && i < 3; i++) {
    PyObject *d = !(needs >> i & 1) ? Py_NewRef(Py_None)
                  : i == 0          ? py_matmul(module, operands, 2)
                  : i == 1          ? py_linear_weight(module, flats, 2)
                                    : sum_of(flats[0], 1);
    if (d)
      PyTuple_SET_ITEM(all, i, d);
    else
      Py_CLEAR(all);
  }
  Py_XDECREF(flats[0]);
  Py_XDECREF(flats[1]);
  return all;
}
