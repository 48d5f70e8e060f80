/* The hot half of dl.tape.apply: run an operation on Tensors and put it on the tape. Whatever is not everyday (listeners,
 * views that are out of date, random numbers, several outputs, other types) goes to the Python twin, which does
 * the same. */
#include "tape.h"

#include <structmember.h>

enum { FEW = 32 }; /* inputs that fit on the stack */

static const char *const tensor_slots[N_TENSOR] = {"array", "_changed", "requires_grad", "_grad",    "_node",
                                                   "_index", "_hooks",  "_past",         "_parameter"};
static const char *const node_slots[N_NODE] = {"primitive", "inputs", "attrs", "outs", "boxes", "seq", "hooks", "retained"};
static const char *const row_slots[N_ROW] = {"run", "traits", "vjp", "quiet", "mutates"};

PyObject *tape_name_grad;
static PyObject *name_traces, *name_dict, *zero;

PyObject *tape_state(Tape *tape) {
  uint64_t id = PyThreadState_GetID(PyThreadState_Get());
  if (id != tape->thread || !tape->here) {
    PyObject *dict = PyObject_GetAttr(tape->held[STATE], name_dict);
    if (!dict) return NULL;
    Py_XSETREF(tape->here, dict);
    tape->thread = id;
  }
  return tape->here;
}

int tape_everyday(Tape *tape, int *grad) {
  PyObject *state = tape_state(tape), *traces = state ? PyDict_GetItemWithError(state, name_traces) : NULL;
  PyObject *on = state ? PyDict_GetItemWithError(state, tape_name_grad) : NULL;
  if (!state) return -1;
  if (!traces || !PyTuple_CheckExact(traces) || PyTuple_GET_SIZE(traces)) return 0;
  *grad = on == Py_True;
  return *grad || on == Py_False;
}

PyObject *tape_tensor(const Tape *tape, PyObject *array, PyObject *box) {
  PyObject *t = tape->tensor->tp_alloc(tape->tensor, 0);
  if (!t) return NULL;
  if (box)
    Py_INCREF(box);
  else if ((box = PyList_New(1)))
    PyList_SET_ITEM(box, 0, Py_NewRef(zero));
  OF_TENSOR(tape, t, ARRAY) = Py_NewRef(array);
  OF_TENSOR(tape, t, CHANGED) = box;
  OF_TENSOR(tape, t, REQUIRES_GRAD) = Py_NewRef(Py_False);
  OF_TENSOR(tape, t, GRAD) = Py_NewRef(Py_None);
  OF_TENSOR(tape, t, NODE) = Py_NewRef(Py_None);
  OF_TENSOR(tape, t, INDEX) = Py_NewRef(zero);
  OF_TENSOR(tape, t, HOOKS) = Py_NewRef(Py_None);
  OF_TENSOR(tape, t, PAST) = Py_NewRef(Py_None);
  OF_TENSOR(tape, t, PARAMETER) = Py_NewRef(Py_False);
  if (!box) Py_CLEAR(t);
  return t;
}

static int record(const Tape *tape, PyObject *p, PyObject *inputs, PyObject *attrs, PyObject *result) {
  PyObject *node = tape->node->tp_alloc(tape->node, 0);
  if (!node) return -1;
  OF_NODE(tape, node, PRIMITIVE) = Py_NewRef(p);
  OF_NODE(tape, node, INPUTS) = Py_NewRef(inputs);
  OF_NODE(tape, node, ATTRS) = Py_NewRef(attrs);
  OF_NODE(tape, node, OUTS) = PyTuple_Pack(1, OF_TENSOR(tape, result, ARRAY));
  OF_NODE(tape, node, BOXES) = PyTuple_Pack(1, OF_TENSOR(tape, result, CHANGED));
  OF_NODE(tape, node, SEQ) = PyIter_Next(tape->held[CLOCK]);
  OF_NODE(tape, node, NODE_HOOKS) = Py_NewRef(Py_None);
  OF_NODE(tape, node, RETAINED) = Py_NewRef(Py_None);
  if (!OF_NODE(tape, node, OUTS) || !OF_NODE(tape, node, BOXES) || !OF_NODE(tape, node, SEQ)) {
    Py_DECREF(node);
    return -1;
  }
  Py_SETREF(OF_TENSOR(tape, result, NODE), node);
  Py_SETREF(OF_TENSOR(tape, result, REQUIRES_GRAD), Py_NewRef(Py_True));
  return 0;
}

/* the arrays of the inputs, new references; wants: whether one requires a gradient. 0: something unusual among them */
static int arrays_of(const Tape *tape, PyObject *inputs, PyObject **arrays, int *wants) {
  Py_ssize_t n = PyTuple_GET_SIZE(inputs), i;
  *wants = 0;
  for (i = 0; i < n; i++) {
    PyObject *t = PyTuple_GET_ITEM(inputs, i), *array = Py_None;
    if (t != Py_None) {
      if (!Py_IS_TYPE(t, tape->tensor)) break;
      PyObject *grad = OF_TENSOR(tape, t, REQUIRES_GRAD), *box = OF_TENSOR(tape, t, CHANGED);
      array = OF_TENSOR(tape, t, ARRAY);
      if (!array || PyList_GET_SIZE(box) > 1 || (grad != Py_True && grad != Py_False)) break;
      *wants |= grad == Py_True;
    }
    arrays[i] = Py_NewRef(array);
  }
  if (i == n) return 1;
  while (i--) Py_DECREF(arrays[i]);
  return 0;
}

int tape_changed(const Tape *tape, PyObject *t, PyObject *now) {
  int failed = PyList_SetItem(OF_TENSOR(tape, t, CHANGED), 0, Py_NewRef(now));
  return failed ? failed : PyList_SetItem(tape->held[LATEST], 0, Py_NewRef(now));
}

/* the memory of the inputs that p writes into is another one from now on */
static int mark(const Tape *tape, PyObject *p, PyObject *inputs) {
  PyObject *mutates = OF_ROW(tape, p, WRITES), *now = PyIter_Next(tape->held[CLOCK]);
  int failed = !now;
  for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(mutates); i++) {
    Py_ssize_t which = PyLong_AsSsize_t(PyTuple_GET_ITEM(mutates, i));
    PyObject *t = which >= 0 && which < PyTuple_GET_SIZE(inputs) ? PyTuple_GET_ITEM(inputs, which) : Py_None;
    if (t != Py_None) failed = tape_changed(tape, t, now);
  }
  Py_XDECREF(now);
  return failed ? -1 : 0;
}

/* the end of an operation with one output */
static PyObject *finish(const Tape *tape, PyObject *p, PyObject *inputs, PyObject *attrs, PyObject *out, int traits,
                        int recorded) {
  if (!PyArray_CheckExact(out)) {
    Py_SETREF(out, PyArray_FromAny(out, NULL, 0, 0, 0, NULL));
    if (!out) return NULL;
  }
  int shares = traits & VIEW && PyArray_BASE((PyArrayObject *)out);
  PyObject *box = shares ? OF_TENSOR(tape, PyTuple_GET_ITEM(inputs, 0), CHANGED) : NULL;
  PyObject *result = tape_tensor(tape, out, box);
  Py_DECREF(out);
  if (result && recorded && record(tape, p, inputs, attrs, result)) Py_CLEAR(result);
  return result;
}

/* arrays[1], ... are the inputs' and are released */
static PyObject *run(const Tape *tape, PyObject *p, PyObject *inputs, PyObject *attrs, PyObject **arrays, int traits,
                     int recorded) {
  Py_ssize_t n = PyTuple_GET_SIZE(inputs);
  PyObject *named = PyDict_GET_SIZE(attrs) ? attrs : NULL, *out = NULL;
  size_t given = (size_t)n | PY_VECTORCALL_ARGUMENTS_OFFSET;
  if (!(traits & MUTATES && mark(tape, p, inputs)))
    out = PyObject_VectorcallDict(OF_ROW(tape, p, RUN), arrays + 1, given, named);
  for (Py_ssize_t i = 1; i <= n; i++) Py_DECREF(arrays[i]);
  if (!out || (PyTuple_CheckExact(out) && PyTuple_GET_SIZE(out) == 0)) return out;
  if (!PyTuple_CheckExact(out)) return finish(tape, p, inputs, attrs, out, traits, recorded);
  PyObject *end[4] = {p, inputs, attrs, out};
  PyObject *result = PyObject_Vectorcall(tape->held[SEVERAL], end, 4, NULL);
  Py_DECREF(out);
  return result;
}

static PyObject *tape_call(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names) {
  Tape *tape = (Tape *)self;
  size_t n = (size_t)PyVectorcall_NARGS(nargs);
  int sound = (n == 2 || n == 3) && !names && Py_IS_TYPE(args[0], tape->row) && PyTuple_CheckExact(args[1]) &&
              (n == 2 || PyDict_CheckExact(args[2]));
  int traits = sound ? (int)PyLong_AsLong(OF_ROW(tape, args[0], TRAITS)) : STATEFUL, grad = 0, wants = 0;
  if (traits & STATEFUL || tape_everyday(tape, &grad) < 1) {
    if (PyErr_Occurred()) return NULL;
    return PyObject_Vectorcall(tape->held[TWIN], args, nargs, names);
  }
  PyObject *few[FEW + 1], **arrays = few, *result = NULL;
  if (PyTuple_GET_SIZE(args[1]) > FEW) arrays = PyMem_New(PyObject *, PyTuple_GET_SIZE(args[1]) + 1);
  if (!arrays) return PyErr_NoMemory();
  int usual = arrays_of(tape, args[1], arrays + 1, &wants), refused = traits & MUTATES && grad && wants;
  if (usual && !refused)
    result = run(tape, args[0], args[1], n == 3 ? args[2] : tape->held[NO_ATTRS], arrays, traits,
                 grad && wants && traits & DIFFERENTIABLE);
  for (Py_ssize_t i = 1; usual && refused && i <= PyTuple_GET_SIZE(args[1]); i++) Py_DECREF(arrays[i]);
  if (arrays != few) PyMem_Free(arrays);
  return usual && !refused ? result : PyObject_Vectorcall(tape->held[TWIN], args, nargs, names);
}

static PyObject *tape_wrap(PyObject *self, PyObject *array) { return tape_tensor((Tape *)self, array, NULL); }

/* an array of a floating dtype, of a Tensor; NULL: it is something else */
static PyArrayObject *floats_of(const Tape *tape, PyObject *t) {
  PyObject *array = Py_IS_TYPE(t, tape->tensor) ? OF_TENSOR(tape, t, ARRAY) : NULL;
  if (!array || !PyArray_CheckExact(array)) return NULL;
  int type = PyArray_TYPE((PyArrayObject *)array);
  return type == NPY_FLOAT || type == NPY_DOUBLE ? (PyArrayObject *)array : NULL;
}

static PyObject *tape_linear_fits(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  const Tape *tape = (Tape *)self;
  PyArrayObject *x = n == 3 ? floats_of(tape, args[0]) : NULL, *w = x ? floats_of(tape, args[1]) : NULL;
  PyArrayObject *b = w && args[2] != Py_None ? floats_of(tape, args[2]) : NULL;
  int ndim = w ? PyArray_NDIM(x) : 0, type = w ? PyArray_TYPE(w) : 0;
  int fits = ndim > 1 && PyArray_NDIM(w) == 2 && PyArray_DIM(x, ndim - 1) == PyArray_DIM(w, 1) && PyArray_TYPE(x) == type;
  if (fits && args[2] != Py_None)
    fits = b && PyArray_NDIM(b) == 1 && PyArray_DIM(b, 0) == PyArray_DIM(w, 0) && PyArray_TYPE(b) == type;
  return PyBool_FromLong(fits);
}

static PyObject *tape_alike(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  const Tape *tape = (Tape *)self;
  PyArrayObject *x = n == 2 ? floats_of(tape, args[0]) : NULL, *y = x ? floats_of(tape, args[1]) : NULL;
  return PyBool_FromLong(y && PyArray_TYPE(x) == PyArray_TYPE(y) && PyArray_SAMESHAPE(x, y));
}

static int find_slots(PyTypeObject *type, const char *const *names, Py_ssize_t *at, int n) {
  for (int i = 0; i < n; i++) {
    PyObject *slot = PyObject_GetAttrString((PyObject *)type, names[i]);
    if (!slot) return -1;
    int good = Py_IS_TYPE(slot, &PyMemberDescr_Type) && ((PyMemberDescrObject *)slot)->d_member->type == T_OBJECT_EX;
    if (good) at[i] = ((PyMemberDescrObject *)slot)->d_member->offset;
    Py_DECREF(slot);
    if (good) continue;
    PyErr_Format(PyExc_TypeError, "dl.Tape: %s.%s must be one of its __slots__", type->tp_name, names[i]);
    return -1;
  }
  return 0;
}

static void tape_dealloc(PyObject *self) {
  Tape *tape = (Tape *)self;
  PyTypeObject *type = Py_TYPE(self);
  for (int i = 0; i < N_HELD; i++) Py_XDECREF(tape->held[i]);
  Py_XDECREF(tape->here);
  Py_XDECREF(tape->tensor);
  Py_XDECREF(tape->node);
  Py_XDECREF(tape->row);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyObject *tape_new(PyTypeObject *type, PyObject *args, PyObject *named) {
  static char *names[] = {"tensor", "node",   "row",       "state",    "clock",
                           "latest", "no_attrs", "twin", "several", NULL};
  PyObject *tensor, *node, *row, *held[N_HELD];
  if (!PyArg_ParseTupleAndKeywords(args, named, "O!O!O!OOO!O!OO:Tape", names, &PyType_Type, &tensor, &PyType_Type,
                                   &node, &PyType_Type, &row, &held[STATE], &held[CLOCK], &PyList_Type, &held[LATEST],
                                   &PyDict_Type, &held[NO_ATTRS], &held[TWIN], &held[SEVERAL]))
    return NULL;
  Tape *tape = (Tape *)type->tp_alloc(type, 0);
  if (!tape) return NULL;
  tape->vectorcall = tape_call;
  tape->tensor = (PyTypeObject *)Py_NewRef(tensor);
  tape->node = (PyTypeObject *)Py_NewRef(node);
  tape->row = (PyTypeObject *)Py_NewRef(row);
  for (int i = 0; i < N_HELD; i++) tape->held[i] = Py_NewRef(held[i]);
  if (find_slots(tape->tensor, tensor_slots, tape->tensor_at, N_TENSOR) ||
      find_slots(tape->node, node_slots, tape->node_at, N_NODE) ||
      find_slots(tape->row, row_slots, tape->row_at, N_ROW))
    Py_CLEAR(tape);
  return (PyObject *)tape;
}

static PyMethodDef methods[] = {
    {"wrap", tape_wrap, METH_O, "wrap(array) -> a Tensor without a past, as Tensor(array)."},
    {"linear_fits", (PyCFunction)(void (*)(void))tape_linear_fits, METH_FASTCALL,
     "linear_fits(x, weight, bias) -> whether they are Tensors of one floating dtype that fit, x with two axes or more."},
    {"alike", (PyCFunction)(void (*)(void))tape_alike, METH_FASTCALL,
     "alike(x, y) -> whether they are Tensors of one floating dtype and one shape."},
    {"backward", (PyCFunction)(void (*)(void))tape_backward, METH_FASTCALL,
     "backward(tensor, gradient, cases) -> whether it was everyday and is done: dl.backward.backward without a graph."},
    {"step", (PyCFunction)(void (*)(void))tape_step, METH_FASTCALL,
     "step(kernel, count, rate, params, state, names, ints, floats) -> whether it was everyday and is done."},
    {"forget", tape_forget, METH_O, "forget(leaves) -> whether nobody listens and their gradients are gone."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Tape, vectorcall), READONLY, NULL},
                                {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, tape_dealloc},
                              {Py_tp_new, tape_new},
                              {Py_tp_call, PyVectorcall_Call},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_doc, "Tape(...)(primitive, inputs, attrs): dl.tape.apply for everyday calls, or twin."},
                              {0, NULL}};

static PyType_Spec spec = {"dl._kernels.Tape", sizeof(Tape), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, slots};

int add_tape_type(PyObject *module) {
  tape_name_grad = PyUnicode_InternFromString("grad");
  name_traces = PyUnicode_InternFromString("traces");
  name_dict = PyUnicode_InternFromString("__dict__");
  zero = PyLong_FromLong(0);
  if (!tape_name_grad || !name_traces || !name_dict || !zero) return -1;
  PyObject *type = tape_names() ? NULL : PyType_FromSpec(&spec);
  return type ? PyModule_AddObject(module, "Tape", type) : -1;
}
