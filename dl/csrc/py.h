/* What the files on the Python side of dl._kernels share. */
#ifndef DL_PY_H
#define DL_PY_H
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL dl_numpy
#ifndef DL_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include "table.h"
#include "team.h"

extern const KernelTable *dl_table; /* of the instruction set in use */
extern int dl_threads;              /* set_num_threads */

/* id of a kernel given by id or name; -1 with a KeyError set */
int kernel_index(PyObject *name_or_id);

/* fills a from an ndarray or None (then data is NULL); what says which operand it is, for the error. -1: error set */
int array_from(Array *a, PyObject *object, const char *kernel, const char *what, int index, int writes);

/* sets ValueError "dl.<kernel>: <text>; got shapes ... and dtypes ..." */
void refuse(const Call *call, const char *text);

PyObject *shape_tuple(const Array *a);

extern const char *const dtype_name[4];
extern const int dtype_numpy[4], dtype_bytes[4];
int dtype_of(PyArrayObject *a); /* DL_F32 ... or -1 */

double call_ns(const Call *call); /* on one thread, roughly */

/* runs a sound call, which takes about ns on one thread, on as many threads as pay; -1: error set */
int run_call(Call *call, double ns);
int checked_run(Call *call); /* a call that may not be sound */

/* methods of the module */
PyObject *py_call(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_elementwise(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_matmul(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_linear(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_linear_weight(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_reduce(PyObject *module, PyObject *const *args, Py_ssize_t n, PyObject *names);
PyObject *py_any_read_only(PyObject *module, PyObject *arrays);
PyObject *py_loop(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_micro_op(PyObject *module, PyObject *name);
PyObject *py_micro_ops(PyObject *module, PyObject *unused);

/* what n - 1 operands give with broadcasting, uninitialised, and all n as the fused kernel wants them, the result first.
 * n is at most 4; dtype: of all n; the code is for errors */
PyObject *elementwise_result(int code, PyObject *const *args, int n, const int *dtype, Array *operands);

/* x reduced over dims by the kernel with this id: a result of the dtype of x, int64 for bool */
PyObject *reduce_over(int id, PyObject *x, const int64_t *dims, int n);

/* derivative rules on arrays: (needs, g, out, *inputs) -> gradients, or NotImplemented; needs has a bit per input */
PyObject *py_linear_bias(PyObject *module, PyObject *g);
PyObject *py_linear_backward(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_tanh_backward(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_sigmoid_backward(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_relu_backward(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_mse_backward(PyObject *module, PyObject *const *args, Py_ssize_t n);
PyObject *py_mse(PyObject *module, PyObject *const *args, Py_ssize_t n);
int add_tape_type(PyObject *module);
#endif
