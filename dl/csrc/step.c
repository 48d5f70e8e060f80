/* What happens to a group of parameters at once, where nobody listens: their gradients are forgotten, or an optimiser's
 * kernel updates them in place. Its operands are gathered from the tensors here, and the change is marked as tape.c
 * does; whatever is unusual is left to Python, which does the same or says what is wrong. */
#include "program.h"
#include "tape.h"

enum { NUMBERS = 8, STATES = 4 }; /* at most, of a kind and of a parameter */

typedef struct {
  Tape *tape;
  PyObject *count, *rate, *params;
  PyObject *states[STATES]; /* lists as long as params */
  int n_states;
  int64_t ints[NUMBERS];
  double floats[NUMBERS];
  PyObject **arrays; /* what the kernel gets, held while it runs */
  Array *operands;
  Py_ssize_t n;
} Update;

/* the array of t becomes the next operand; 0: Python has to look at it */
static int gather(Update *s, PyObject *t, int writes) {
  PyObject *array = Py_IS_TYPE(t, s->tape->tensor) ? OF_TENSOR(s->tape, t, ARRAY) : NULL;
  if (!array || !PyArray_CheckExact(array) || (writes && !PyArray_ISWRITEABLE((PyArrayObject *)array))) return 0;
  s->arrays[s->n] = Py_NewRef(array);
  return array_from(&s->operands[s->n++], array, "step", "input", 0, writes) == 0;
}

/* count, rate, then p, its gradient and its states for each parameter that has a gradient */
static int gather_all(Update *s) {
  int sound = gather(s, s->count, 1) && gather(s, s->rate, 0);
  for (Py_ssize_t i = 0; sound && i < PyList_GET_SIZE(s->params); i++) {
    PyObject *p = PyList_GET_ITEM(s->params, i);
    if (!Py_IS_TYPE(p, s->tape->tensor)) return 0;
    if (OF_TENSOR(s->tape, p, GRAD) == Py_None) continue;
    sound = gather(s, p, 1) && gather(s, OF_TENSOR(s->tape, p, GRAD), 0);
    for (int k = 0; sound && k < s->n_states; k++) sound = gather(s, PyList_GET_ITEM(s->states[k], i), 1);
  }
  return sound;
}

static int mark_all(const Update *s) {
  PyObject *now = PyIter_Next(s->tape->held[CLOCK]);
  int failed = !now || tape_changed(s->tape, s->count, now);
  for (Py_ssize_t i = 0; !failed && i < PyList_GET_SIZE(s->params); i++) {
    PyObject *p = PyList_GET_ITEM(s->params, i);
    if (OF_TENSOR(s->tape, p, GRAD) == Py_None) continue;
    failed = tape_changed(s->tape, p, now);
    for (int k = 0; !failed && k < s->n_states; k++)
      failed = tape_changed(s->tape, PyList_GET_ITEM(s->states[k], i), now);
  }
  Py_XDECREF(now);
  return failed;
}

/* the numbers of the kernel; 0: not what was expected */
static int read_numbers(Update *s, Call *call, PyObject *ints, PyObject *floats) {
  if (!PyTuple_CheckExact(ints) || !PyTuple_CheckExact(floats)) return 0;
  Py_ssize_t n = PyTuple_GET_SIZE(ints), m = PyTuple_GET_SIZE(floats);
  if (n > NUMBERS || m > NUMBERS) return 0;
  for (Py_ssize_t k = 0; k < n; k++) s->ints[k] = PyLong_AsLongLong(PyTuple_GET_ITEM(ints, k));
  for (Py_ssize_t k = 0; k < m; k++) s->floats[k] = PyFloat_AsDouble(PyTuple_GET_ITEM(floats, k));
  call->n_ints = (int)n;
  call->n_floats = (int)m;
  call->ints = s->ints;
  call->floats = s->floats;
  return !PyErr_Occurred();
}

/* the lists of state; 0: one is not there yet, or something is unusual */
static int find_states(Update *s, PyObject *state, PyObject *names) {
  if (!PyList_CheckExact(s->params) || !PyDict_CheckExact(state) || !PyTuple_CheckExact(names)) return 0;
  if (PyTuple_GET_SIZE(names) > STATES) return 0;
  for (; s->n_states < PyTuple_GET_SIZE(names); s->n_states++) {
    PyObject *list = PyDict_GetItemWithError(state, PyTuple_GET_ITEM(names, s->n_states));
    if (!list || !PyList_CheckExact(list) || PyList_GET_SIZE(list) != PyList_GET_SIZE(s->params)) return 0;
    s->states[s->n_states] = list;
  }
  return 1;
}

/* 1: done, 0: for Python, -1: an error */
static int take(Update *s, Call *call) {
  size_t most = 2 + (size_t)PyList_GET_SIZE(s->params) * (size_t)(2 + s->n_states);
  int done = 0;
  s->operands = PyMem_Malloc(most * (sizeof *s->operands + sizeof *s->arrays));
  if (!s->operands) return PyErr_NoMemory(), -1;
  s->arrays = (PyObject **)(s->operands + most);
  if (gather_all(s)) {
    call->args = s->operands;
    call->n_args = (int)s->n;
    done = s->n == 2 ? 1 : mark_all(s) || checked_run(call) ? -1 : 1; /* 2: nobody has a gradient */
  } else {
    PyErr_Clear();
  }
  while (s->n) Py_DECREF(s->arrays[--s->n]);
  PyMem_Free(s->operands);
  return done;
}

PyObject *tape_step(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  Update s = {.tape = (Tape *)self};
  int grad = 0, id = n == 8 ? kernel_index(args[0]) : -1;
  if (n != 8) return PyErr_Format(PyExc_TypeError, "step: takes 8 arguments, got %zd", n);
  if (id < 0) return NULL;
  Call call = {.kernel = dl_table->kernels[id]};
  s.count = args[1], s.rate = args[2], s.params = args[3];
  /* numbers first: reading them may run Python, which may change the lists */
  int everyday = read_numbers(&s, &call, args[6], args[7]) ? tape_everyday(s.tape, &grad) : 0;
  if (everyday < 1 || grad || !find_states(&s, args[4], args[5])) return PyErr_Clear(), Py_NewRef(Py_False);
  int done = take(&s, &call);
  return done < 0 ? NULL : PyBool_FromLong(done);
}

PyObject *tape_forget(PyObject *self, PyObject *leaves) {
  Tape *tape = (Tape *)self;
  int grad, everyday = PyList_CheckExact(leaves) ? tape_everyday(tape, &grad) : 0;
  if (everyday < 0) return NULL;
  for (Py_ssize_t i = 0; everyday && i < PyList_GET_SIZE(leaves); i++) {
    PyObject *leaf = PyList_GET_ITEM(leaves, i);
    if ((everyday = Py_IS_TYPE(leaf, tape->tensor))) Py_SETREF(OF_TENSOR(tape, leaf, GRAD), Py_NewRef(Py_None));
  }
  dl_epoch++;
  return PyBool_FromLong(everyday);
}
