/* _kernels.elementwise: one micro-operation with broadcasting on NumPy arrays, the path on which every microsecond of
 * an eager network is spent. The operands' axes are ordered by stride as NumPy's ufuncs do (the result's layout follows
 * the inputs), neighbours that lie together are merged, and the fused kernel runs a program of one operation. */
#include "py.h"

enum { MOST = 4 }; /* the output and three inputs */

typedef struct {
  int ndim, n; /* axes; operands */
  int64_t shape[NPY_MAXDIMS];
  int64_t stride[MOST][NPY_MAXDIMS]; /* in bytes; 0 where broadcast; [0] is the output's */
} Loop;

static int fail(int code, PyObject *const *args, Py_ssize_t n, const char *text) {
  PyObject *shapes = PyList_New(0), *dtypes = PyList_New(0);
  for (Py_ssize_t i = 0; shapes && dtypes && i < n; i++) {
    PyObject *shape = PyObject_GetAttrString(args[i], "shape");
    PyObject *dtype = PyObject_Str((PyObject *)PyArray_DESCR((PyArrayObject *)args[i]));
    if (!shape || PyList_Append(shapes, shape) || !dtype || PyList_Append(dtypes, dtype)) Py_CLEAR(shapes);
    Py_XDECREF(shape);
    Py_XDECREF(dtype);
  }
  if (shapes && dtypes)
    PyErr_Format(PyExc_ValueError, "dl.%s: %s; got shapes %S, dtypes %S", dl_table->micro_ops[code], text, shapes,
                 dtypes);
  Py_XDECREF(shapes);
  Py_XDECREF(dtypes);
  return -1;
}

/* shapes and strides of the inputs against each other */
static int broadcast(Loop *loop, int code, PyObject *const *args) {
  int n = loop->n - 1, ndim = 0;
  for (int i = 0; i < n; i++) {
    int d = PyArray_NDIM((PyArrayObject *)args[i]);
    if (d > ndim) ndim = d;
  }
  loop->ndim = ndim;
  for (int d = 0; d < ndim; d++) loop->shape[d] = 1;
  for (int i = 0; i < n; i++) {
    PyArrayObject *a = (PyArrayObject *)args[i];
    int lead = ndim - PyArray_NDIM(a);
    for (int d = 0; d < ndim; d++) {
      int64_t size = d < lead ? 1 : PyArray_DIM(a, d - lead);
      loop->stride[i + 1][d] = size == 1 ? 0 : PyArray_STRIDE(a, d - lead);
      if (size == loop->shape[d] || size == 1) continue;
      if (loop->shape[d] != 1) return fail(code, args, n, "the shapes cannot be broadcast together");
      loop->shape[d] = size;
    }
  }
  return 0;
}

/* whether axis a, which stands outside axis b now, belongs inside it: 1 yes, 0 no, -1 no operand says */
static int belongs_inside(const Loop *loop, int a, int b) {
  int answer = -1;
  for (int i = 1; i < loop->n; i++) {
    int64_t outer = loop->stride[i][a], inner = loop->stride[i][b];
    if (outer == 0 || inner == 0) continue;
    if ((outer < 0 ? -outer : outer) >= (inner < 0 ? -inner : inner)) return 0;
    answer = 1;
  }
  return answer;
}

/* order[0] is the outermost axis; C order where the operands disagree */
static void sort_axes(const Loop *loop, int *order) {
  for (int d = 0; d < loop->ndim; d++) order[d] = d;
  for (int d = loop->ndim - 2; d >= 0; d--) {
    int to = d;
    for (int e = d + 1; e < loop->ndim; e++) {
      int inside = belongs_inside(loop, d, order[e]);
      if (inside == 0) break;
      if (inside == 1) to = e;
    }
    for (int e = d; e < to; e++) order[e] = order[e + 1];
    order[to] = d;
  }
}

/* the kernel's operands: axes in order, those of size 1 dropped, those that lie together merged; -1: more than 8 */
static int arrange(const Loop *loop, const int *order, Array *args, const int *dtype) {
  int m = 0;
  int64_t *shape = args[0].shape;
  for (int d = 0; d < loop->ndim; d++) {
    int axis = order[d], merges = m > 0;
    int64_t size = loop->shape[axis];
    if (size == 1) continue;
    for (int i = 0; merges && i < loop->n; i++)
      merges = args[i].stride[m - 1] * dtype_bytes[dtype[i]] == loop->stride[i][axis] * size;
    if (!merges && m == DL_MAXDIM) return -1;
    if (merges)
      shape[--m] *= size;
    else
      shape[m] = size;
    for (int i = 0; i < loop->n; i++) args[i].stride[m] = loop->stride[i][axis] / dtype_bytes[dtype[i]];
    m++;
  }
  for (int i = 0; i < loop->n; i++) {
    args[i].ndim = m;
    args[i].dtype = dtype[i];
    if (i) memcpy(args[i].shape, shape, (size_t)m * sizeof *shape);
  }
  return 0;
}

static PyObject *allocate(Loop *loop, const int *order, int dtype) {
  npy_intp shape[NPY_MAXDIMS], stride[NPY_MAXDIMS], step = dtype_bytes[dtype];
  for (int d = loop->ndim - 1; d >= 0; d--) {
    int axis = order[d];
    shape[axis] = loop->shape[axis];
    loop->stride[0][axis] = stride[axis] = step;
    step *= shape[axis] ? shape[axis] : 1;
  }
  PyArray_Descr *descr = PyArray_DescrFromType(dtype_numpy[dtype]);
  return PyArray_NewFromDescr(&PyArray_Type, descr, loop->ndim, shape, stride, NULL, 0, NULL);
}

/* all operands of one shape in C order, or single numbers: the kernel sees one axis. NULL without an error: not so */
static PyObject *allocate_flat(PyObject *const *args, Array *operands, int n, const int *dtype) {
  PyArrayObject *first = (PyArrayObject *)args[0];
  for (int i = 1; i < n - 1; i++)
    if (PyArray_NDIM((PyArrayObject *)args[i]) > PyArray_NDIM(first)) first = (PyArrayObject *)args[i];
  npy_intp size = PyArray_SIZE(first);
  for (int i = 1; i < n; i++) {
    PyArrayObject *a = (PyArrayObject *)args[i - 1];
    Array *to = &operands[i];
    to->dtype = dtype[i];
    to->data = PyArray_DATA(a);
    to->ndim = 1;
    to->shape[0] = size;
    to->stride[0] = PyArray_NDIM(a) > 0;
    if (PyArray_NDIM(a) == 0 || a == first) continue;
    if (PyArray_NDIM(a) != PyArray_NDIM(first) || !PyArray_IS_C_CONTIGUOUS(a) ||
        memcmp(PyArray_DIMS(a), PyArray_DIMS(first), (size_t)PyArray_NDIM(a) * sizeof(npy_intp)))
      return NULL;
  }
  if (!PyArray_IS_C_CONTIGUOUS(first)) return NULL;
  operands[0].dtype = dtype[0];
  operands[0].ndim = 1;
  operands[0].shape[0] = size;
  operands[0].stride[0] = 1;
  return PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(dtype_numpy[dtype[0]]), PyArray_NDIM(first),
                              PyArray_DIMS(first), NULL, NULL, 0, NULL);
}

static PyObject *allocate_strided(int code, PyObject *const *args, Array *operands, int n, const int *dtype) {
  Loop loop;
  int order[NPY_MAXDIMS];
  loop.n = n;
  if (broadcast(&loop, code, args)) return NULL;
  sort_axes(&loop, order);
  PyObject *out = allocate(&loop, order, dtype[0]);
  if (out && arrange(&loop, order, operands, dtype)) {
    fail(code, args, n - 1, "more than 8 axes that cannot be merged");
    Py_CLEAR(out);
  }
  for (int i = 1; i < n; i++) operands[i].data = PyArray_DATA((PyArrayObject *)args[i - 1]);
  return out;
}

PyObject *elementwise_result(int code, PyObject *const *args, int n, const int *dtype, Array *operands) {
  PyObject *out = allocate_flat(args, operands, n, dtype);
  if (!out && !PyErr_Occurred()) out = allocate_strided(code, args, operands, n, dtype);
  if (out) operands[0].data = PyArray_DATA((PyArrayObject *)out);
  return out;
}

static int check_operands(int code, PyObject *const *args, int n, int *dtype) {
  const char *name = dl_table->micro_ops[code];
  for (int i = 0; i < n; i++) {
    if (!PyArray_Check(args[i])) {
      PyErr_Format(PyExc_TypeError, "dl.%s: input %d must be a NumPy array, got %.100s", name, i,
                   Py_TYPE(args[i])->tp_name);
      return -1;
    }
    dtype[i + 1] = dtype_of((PyArrayObject *)args[i]);
    Array unused;
    if (dtype[i + 1] < 0 || !PyArray_ISBEHAVED_RO((PyArrayObject *)args[i]))
      return array_from(&unused, args[i], name, "input", i, 0) ? -1 : fail(code, args, n, "unusable memory layout");
    for (int d = 0; d < PyArray_NDIM((PyArrayObject *)args[i]); d++)
      if (PyArray_STRIDE((PyArrayObject *)args[i], d) % dtype_bytes[dtype[i + 1]])
        return array_from(&unused, args[i], name, "input", i, 0);
  }
  return 0;
}

/* all operands have one dtype, but for the condition of where */
static int result_dtype(int code, PyObject *const *args, int n, const int *dtype) {
  const Fused *fused = dl_table->fused;
  int where = n == 3 && strcmp(dl_table->micro_ops[code], "where") == 0;
  if (where && dtype[1] != DL_BOOL) return fail(code, args, n, "the condition must be bool");
  for (int i = 1 + where; i < n; i++)
    if (dtype[i] != dtype[n]) return fail(code, args, n, "the operands must have one dtype");
  if (fused->accepts(code, dtype[n])) return fused->result_dtype(code, dtype[n]);
  return fail(code, args, n, "there is no such operation for this dtype");
}

static int run(int code, const Array *operands, int n) {
  int dtype = operands[n - 1].dtype, out = n - 1; /* a register */
  int64_t ints[4 + 6 + 1] = {1, n - 1, 0, 1, code, dtype, out, 0, n > 2 ? 1 : -1, n > 3 ? 2 : -1, out};
  Call call = {dl_table->fused_kernel, n, sizeof ints / sizeof *ints, 0, operands, ints, NULL, NULL};
  return run_call(&call, 0.15 * (double)array_size(operands));
}

PyObject *py_elementwise(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
  (void)module;
  int n = (int)nargs, dtype[MOST] = {0};
  long code = nargs > 0 ? PyLong_AsLong(args[0]) : -1;
  if (code == -1 && PyErr_Occurred()) return NULL;
  int arity = code < 0 || code >= dl_table->n_micro_ops ? 0 : dl_table->fused->arity((int)code);
  if (arity == 0) return PyErr_Format(PyExc_ValueError, "dl: no elementwise operation has the code %ld", code);
  if (n != arity + 1)
    return PyErr_Format(PyExc_TypeError, "dl.%s: takes %d arrays, got %d", dl_table->micro_ops[code], arity, n - 1);
  args++;
  if (check_operands((int)code, args, arity, dtype)) return NULL;
  if ((dtype[0] = result_dtype((int)code, args, arity, dtype)) < 0) return NULL;
  Array operands[MOST];
  PyObject *out = elementwise_result((int)code, args, n, dtype, operands);
  if (out && run((int)code, operands, n)) Py_CLEAR(out);
  return out;
}

static long code_of(PyObject *name) {
  const char *wanted = PyUnicode_AsUTF8(name);
  if (!wanted) return -1;
  for (int i = 0; i < dl_table->n_micro_ops; i++)
    if (strcmp(wanted, dl_table->micro_ops[i]) == 0) return i;
  PyErr_Format(PyExc_KeyError, "dl: no elementwise operation %R; dl._kernels.micro_ops() lists them", name);
  return -1;
}

PyObject *py_micro_op(PyObject *module, PyObject *name) {
  (void)module;
  long code = code_of(name);
  return code < 0 ? NULL : PyLong_FromLong(code);
}

PyObject *py_micro_ops(PyObject *module, PyObject *unused) {
  (void)module, (void)unused;
  const Fused *fused = dl_table->fused;
  PyObject *all = PyDict_New();
  for (int i = 0; all && i < dl_table->n_micro_ops; i++) {
    int r[4];
    for (int d = 0; d < 4; d++) r[d] = fused->accepts(i, d) ? fused->result_dtype(i, d) : -1;
    PyObject *row = Py_BuildValue("(ii(iiii))", i, fused->arity(i), r[0], r[1], r[2], r[3]);
    if (!row || PyDict_SetItemString(all, dl_table->micro_ops[i], row)) Py_CLEAR(all);
    Py_XDECREF(row);
  }
  return all;
}
