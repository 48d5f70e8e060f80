/* _kernels.loop: a recorded program many times over, in one call: what comes out first goes in again. */
#include "program.h"

typedef struct {
  Program *program;
  Py_ssize_t carry, fixed, rows, outs; /* arrays that go round, that stay, that have a row a turn, and their like out */
  char *const *from, *const *to;       /* data of the rows in and out */
  int64_t n;
} Loop;

static int64_t bytes_of(const Array *a) { return array_size(a) * dtype_bytes[a->dtype]; }

/* one of the two is contiguous memory, the other an operand of the program */
static void move(const Array *a, char *flat, int in) {
  int64_t at[DL_MAXDIM] = {0}, bytes = dtype_bytes[a->dtype], n = array_size(a);
  char *p = a->data;
  if (array_contiguous(a)) {
    memcpy(in ? a->data : flat, in ? flat : a->data, (size_t)(n * bytes));
    return;
  }
  for (int64_t k = 0; k < n; k++, flat += bytes) {
    memcpy(in ? p : flat, in ? flat : p, (size_t)bytes);
    for (int d = a->ndim - 1; d >= 0; d--) {
      p += a->stride[d] * bytes;
      if (++at[d] < a->shape[d]) break;
      p -= a->stride[d] * bytes * a->shape[d];
      at[d] = 0;
    }
  }
}

static void turn_all(void *arg, const Team *team) {
  const Loop *l = arg;
  const Program *p = l->program;
  const Array *in = p->inputs + l->carry + l->fixed, *out = p->outputs + l->carry;
  for (int64_t k = 0; k < l->n; k++) {
    for (Py_ssize_t i = 0; i < l->rows; i++) move(&in[i], l->from[i] + k * bytes_of(&in[i]), 1);
    for (const Step *s = p->segments->begin; s < p->segments->end; s++) s->call.kernel->run(&s->call, team);
    for (Py_ssize_t i = 0; i < l->outs; i++) move(&out[i], l->to[i] + k * bytes_of(&out[i]), 0);
    for (Py_ssize_t i = 0; i < l->carry; i++) move(&p->outputs[i], p->inputs[i].data, 0);
  }
}

/* data of a C-contiguous array of the operand's shape, with one more axis of length n in front unless n < 0 */
static char *data_of(PyObject *object, const Array *a, int64_t n, int writes) {
  PyArrayObject *array = (PyArrayObject *)object;
  int more = n >= 0, good = PyArray_CheckExact(object) && PyArray_IS_C_CONTIGUOUS(array) &&
                            (!writes || PyArray_ISWRITEABLE(array)) && PyArray_NDIM(array) == a->ndim + more &&
                            dtype_of(array) == a->dtype && !PyArray_ISBYTESWAPPED(array) &&
                            (!more || PyArray_DIM(array, 0) == n);
  for (int d = 0; good && d < a->ndim; d++) good = PyArray_DIM(array, d + more) == a->shape[d];
  if (good) return PyArray_BYTES(array);
  PyObject *shape = shape_tuple(a);
  if (shape)
    PyErr_Format(PyExc_ValueError, "dl.loop: wanted a C-contiguous %s array of shape %S%s", dtype_name[a->dtype], shape,
                 more ? " after an axis with one entry a turn" : "");
  Py_XDECREF(shape);
  return NULL;
}

static int sound(const Program *p, Py_ssize_t inputs, Py_ssize_t outputs, Py_ssize_t carry) {
  int good = p->n_inputs == inputs && p->n_outputs == outputs && carry <= outputs && p->n_segments == 1 &&
             p->segments->nt == 1 && !p->segments->python;
  for (Py_ssize_t i = 0; good && i < carry; i++) {
    const Array *a = &p->inputs[i], *b = &p->outputs[i];
    good = a->ndim == b->ndim && a->dtype == b->dtype && array_contiguous(a);
    for (int d = 0; good && d < a->ndim; d++) good = a->shape[d] == b->shape[d];
  }
  if (!good)
    PyErr_SetString(PyExc_ValueError,
                    "dl.loop: the program must run on one thread without Python, take carry, fixed and rows, and give "
                    "the carry with the same shapes and then rows");
  return good;
}

PyObject *py_loop(PyObject *module, PyObject *const *args, Py_ssize_t n) {
  (void)module;
  if (n != 6 || !Py_IS_TYPE(args[0], dl_program_type))
    return PyErr_Format(PyExc_TypeError, "loop(program, n, carry, fixed, rows, outs) wants a Program and 5 more");
  for (int i = 2; i < 6; i++)
    if (!PyTuple_Check(args[i])) return PyErr_Format(PyExc_TypeError, "loop: argument %d must be a tuple", i);
  enum { MOST = 64 };
  char *data[MOST];
  Loop l = {(Program *)args[0], PyTuple_GET_SIZE(args[2]), PyTuple_GET_SIZE(args[3]), PyTuple_GET_SIZE(args[4]),
            PyTuple_GET_SIZE(args[5]), NULL, NULL, PyLong_AsLongLong(args[1])};
  Program *p = l.program;
  Py_ssize_t inputs = l.carry + l.fixed + l.rows, at = 0;
  if (l.n < 0 || inputs + l.outs > MOST)
    return PyErr_Format(PyExc_ValueError, "loop: n must not be negative, and there may be 64 arrays");
  if (!sound(p, inputs, l.carry + l.outs, l.carry)) return NULL;
  for (int g = 2; g < 6; g++)
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args[g]); i++, at++) {
      const Array *a = g < 5 ? &p->inputs[at] : &p->outputs[l.carry + i];
      if (!(data[at] = data_of(PyTuple_GET_ITEM(args[g], i), a, g < 4 ? -1 : l.n, g == 5))) return NULL;
    }
  l.from = data + l.carry + l.fixed, l.to = data + inputs;
  if (pthread_mutex_trylock(&p->lock))
    return PyErr_Format(PyExc_RuntimeError, "dl.loop: another thread runs this program");
  for (Py_ssize_t i = 0; i < l.carry + l.fixed; i++) move(&p->inputs[i], data[i], 1);
  PyThreadState *state = PyEval_SaveThread();
  static const Team single = {0, 1, NULL};
  turn_all(&l, &single);
  PyEval_RestoreThread(state);
  pthread_mutex_unlock(&p->lock);
  Py_RETURN_NONE;
}
