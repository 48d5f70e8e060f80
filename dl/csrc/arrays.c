/* NumPy arrays as kernels see them, and the errors about them. */
#include "py.h"

const char *const dtype_name[4] = {"float32", "float64", "int64", "bool"};
const int dtype_numpy[4] = {NPY_FLOAT, NPY_DOUBLE, NPY_INT64, NPY_BOOL}, dtype_bytes[4] = {4, 8, 8, 1};

int dtype_of(PyArrayObject *a) {
  switch (PyArray_TYPE(a)) {
    case NPY_FLOAT: return DL_F32;
    case NPY_DOUBLE: return DL_F64;
    case NPY_BOOL: return DL_BOOL;
    case NPY_LONG:
    case NPY_LONGLONG: return PyArray_ITEMSIZE(a) == 8 ? DL_I64 : -1;
    default: return -1;
  }
}

static int refuse_array(PyArrayObject *a, const char *kernel, const char *what, int index, const char *text) {
  PyObject *shape = PyObject_GetAttrString((PyObject *)a, "shape");
  if (shape)
    PyErr_Format(PyExc_TypeError, "dl.%s: %s %d %s; got dtype %S, shape %S", kernel, what, index, text,
                 (PyObject *)PyArray_DESCR(a), shape);
  Py_XDECREF(shape);
  return -1;
}

static double nothing;

int array_from(Array *a, PyObject *object, const char *kernel, const char *what, int index, int writes) {
  a->data = NULL;
  a->dtype = a->ndim = 0;
  if (object == Py_None) return 0;
  if (!PyArray_Check(object)) {
    PyErr_Format(PyExc_TypeError, "dl.%s: %s %d must be a NumPy array or None, got %.100s", kernel, what, index,
                 Py_TYPE(object)->tp_name);
    return -1;
  }
  PyArrayObject *array = (PyArrayObject *)object;
  int dtype = dtype_of(array), flags = PyArray_FLAGS(array), ndim = PyArray_NDIM(array);
  if (dtype < 0) return refuse_array(array, kernel, what, index, "must be float32, float64, int64 or bool");
  if (!(flags & NPY_ARRAY_ALIGNED)) return refuse_array(array, kernel, what, index, "must be aligned to its items");
  if (PyArray_ISBYTESWAPPED(array)) return refuse_array(array, kernel, what, index, "must have native byte order");
  if (ndim > DL_MAXDIM) return refuse_array(array, kernel, what, index, "must have at most 8 dimensions");
  if (writes && !(flags & NPY_ARRAY_WRITEABLE))
    return refuse_array(array, kernel, what, index, "is written to and must not be read-only");
  const npy_intp *shape = PyArray_DIMS(array), *stride = PyArray_STRIDES(array);
  int bytes = dtype_bytes[dtype];
  for (int i = 0; i < ndim; i++) {
    if (stride[i] % bytes)
      return refuse_array(array, kernel, what, index, "must have strides that are multiples of its item size");
    a->shape[i] = shape[i];
    a->stride[i] = stride[i] / bytes;
  }
  a->data = PyArray_DATA(array) ? PyArray_DATA(array) : &nothing; /* NULL means absent, an empty array may have it */
  a->dtype = dtype;
  a->ndim = ndim;
  return 0;
}

PyObject *shape_tuple(const Array *a) {
  PyObject *shape = PyTuple_New(a->ndim);
  for (int i = 0; shape && i < a->ndim; i++) PyTuple_SET_ITEM(shape, i, PyLong_FromLongLong(a->shape[i]));
  return shape;
}

void refuse(const Call *call, const char *text) {
  PyObject *shapes = PyList_New(0), *dtypes = PyList_New(0);
  for (int i = 0; shapes && dtypes && i < call->n_args; i++) {
    const Array *a = &call->args[i];
    PyObject *shape = a->data ? shape_tuple(a) : Py_NewRef(Py_None);
    PyObject *dtype = PyUnicode_FromString(a->data ? dtype_name[a->dtype] : "None");
    if (shape) PyList_Append(shapes, shape);
    if (dtype) PyList_Append(dtypes, dtype);
    Py_XDECREF(shape);
    Py_XDECREF(dtype);
  }
  PyObject *comma = PyUnicode_FromString(", "), *names = comma && dtypes ? PyUnicode_Join(comma, dtypes) : NULL;
  if (shapes && names)
    PyErr_Format(PyExc_ValueError, "dl.%s: %s; got shapes %R, dtypes %U (outputs first)", call->kernel->name, text,
                 shapes, names);
  Py_XDECREF(comma);
  Py_XDECREF(names);
  Py_XDECREF(shapes);
  Py_XDECREF(dtypes);
}
