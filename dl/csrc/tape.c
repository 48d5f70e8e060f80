/* The hot half of dl.tape.apply: run an operation on Tensors and put it on the tape. Whatever is not everyday (listeners,
 * in-place changes, random numbers, several outputs, other types) goes to the Python twin, which does the same.
 *
 * Tensor and Node are Python classes with __slots__; their slots are written here without a detour through Python. */
#include "py.h"

#include <structmember.h>

enum { VIEW = 1, DIFFERENTIABLE = 2, SPECIAL = 4 }; /* Primitive.traits */
enum { ARRAY, CHANGED, REQUIRES_GRAD, GRAD, NODE, INDEX, HOOKS, PAST, PARAMETER, N_TENSOR };
enum { PRIMITIVE, INPUTS, ATTRS, OUTS, BOXES, SEQ, NODE_HOOKS, RETAINED, N_NODE };
enum { MOST = 8 }; /* inputs */

static const char *const tensor_slots[N_TENSOR] = {"array", "_changed", "requires_grad", "_grad",    "_node",
                                                   "_index", "_hooks",  "_past",         "_parameter"};
static const char *const node_slots[N_NODE] = {"primitive", "inputs", "attrs", "outs", "boxes", "seq", "hooks", "retained"};

typedef struct {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyTypeObject *tensor, *node;
  Py_ssize_t tensor_at[N_TENSOR], node_at[N_NODE];
  PyObject *state, *clock, *rewritten, *twin, *several, *no_attrs;
  PyObject *here; /* the state's dict in the thread that asked last */
  uint64_t thread;
} Tape;

static PyObject *name_run, *name_traits, *name_grad, *name_traces, *name_dict, *zero;

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))

/* borrowed; NULL with an error */
static PyObject *state_of(Tape *tape) {
  uint64_t id = PyThreadState_GetID(PyThreadState_Get());
  if (id != tape->thread || !tape->here) {
    PyObject *dict = PyObject_GetAttr(tape->state, name_dict);
    if (!dict) return NULL;
    Py_XSETREF(tape->here, dict);
    tape->thread = id;
  }
  return tape->here;
}

static PyObject *new_tensor(const Tape *tape, PyObject *array, PyObject *box) {
  PyObject *t = tape->tensor->tp_alloc(tape->tensor, 0);
  if (!t) return NULL;
  if (box)
    Py_INCREF(box);
  else if ((box = PyList_New(1)))
    PyList_SET_ITEM(box, 0, Py_NewRef(zero));
  const Py_ssize_t *at = tape->tensor_at;
  SLOT(t, at[ARRAY]) = Py_NewRef(array);
  SLOT(t, at[CHANGED]) = box;
  SLOT(t, at[REQUIRES_GRAD]) = Py_NewRef(Py_False);
  SLOT(t, at[GRAD]) = Py_NewRef(Py_None);
  SLOT(t, at[NODE]) = Py_NewRef(Py_None);
  SLOT(t, at[INDEX]) = Py_NewRef(zero);
  SLOT(t, at[HOOKS]) = Py_NewRef(Py_None);
  SLOT(t, at[PAST]) = Py_NewRef(Py_None);
  SLOT(t, at[PARAMETER]) = Py_NewRef(Py_False);
  if (!box) Py_CLEAR(t);
  return t;
}

static int record(const Tape *tape, PyObject *p, PyObject *inputs, PyObject *attrs, PyObject *result) {
  const Py_ssize_t *of = tape->tensor_at, *at = tape->node_at;
  PyObject *node = tape->node->tp_alloc(tape->node, 0);
  if (!node) return -1;
  SLOT(node, at[PRIMITIVE]) = Py_NewRef(p);
  SLOT(node, at[INPUTS]) = Py_NewRef(inputs);
  SLOT(node, at[ATTRS]) = Py_NewRef(attrs);
  SLOT(node, at[OUTS]) = PyTuple_Pack(1, SLOT(result, of[ARRAY]));
  SLOT(node, at[BOXES]) = PyTuple_Pack(1, SLOT(result, of[CHANGED]));
  SLOT(node, at[SEQ]) = PyIter_Next(tape->clock);
  SLOT(node, at[NODE_HOOKS]) = Py_NewRef(Py_None);
  SLOT(node, at[RETAINED]) = Py_NewRef(Py_None);
  if (!SLOT(node, at[OUTS]) || !SLOT(node, at[BOXES]) || !SLOT(node, at[SEQ])) {
    Py_DECREF(node);
    return -1;
  }
  Py_SETREF(SLOT(result, of[NODE]), node);
  Py_SETREF(SLOT(result, of[REQUIRES_GRAD]), Py_NewRef(Py_True));
  return 0;
}

/* the arrays of the inputs, new references; wants: whether one requires a gradient. Their number; -1: something unusual */
static Py_ssize_t arrays_of(const Tape *tape, PyObject *inputs, PyObject **arrays, int *wants) {
  Py_ssize_t n = PyTuple_GET_SIZE(inputs), i;
  *wants = 0;
  for (i = 0; i < n; i++) {
    PyObject *t = PyTuple_GET_ITEM(inputs, i), *array = Py_None;
    if (t != Py_None) {
      if (!Py_IS_TYPE(t, tape->tensor)) break;
      PyObject *grad = SLOT(t, tape->tensor_at[REQUIRES_GRAD]);
      array = SLOT(t, tape->tensor_at[ARRAY]);
      if (!array || (grad != Py_True && grad != Py_False)) break;
      *wants |= grad == Py_True;
    }
    arrays[i] = Py_NewRef(array);
  }
  if (i == n) return n;
  while (i--) Py_DECREF(arrays[i]);
  return -1;
}

/* the end of an operation with one output */
static PyObject *finish(const Tape *tape, PyObject *p, PyObject *inputs, PyObject *attrs, PyObject *out, int traits,
                        int recorded) {
  if (!PyArray_CheckExact(out)) {
    Py_SETREF(out, PyArray_FromAny(out, NULL, 0, 0, 0, NULL));
    if (!out) return NULL;
  }
  int shares = traits & VIEW && PyArray_BASE((PyArrayObject *)out);
  PyObject *box = shares ? SLOT(PyTuple_GET_ITEM(inputs, 0), tape->tensor_at[CHANGED]) : NULL;
  PyObject *result = new_tensor(tape, out, box);
  Py_DECREF(out);
  if (result && recorded && record(tape, p, inputs, attrs, result)) Py_CLEAR(result);
  return result;
}

/* -1: not an everyday call; else whether the tape records */
static int everyday(Tape *tape, PyObject *const *args, size_t n, PyObject *names, int traits) {
  if (n < 2 || n > 3 || names || traits & SPECIAL || PyList_GET_SIZE(tape->rewritten)) return -1;
  if (!PyTuple_CheckExact(args[1]) || PyTuple_GET_SIZE(args[1]) > MOST || (n == 3 && !PyDict_CheckExact(args[2])))
    return -1;
  PyObject *state = state_of(tape), *traces = state ? PyDict_GetItem(state, name_traces) : NULL;
  PyObject *grad = state ? PyDict_GetItem(state, name_grad) : NULL;
  if (!traces || !grad || !PyTuple_CheckExact(traces) || PyTuple_GET_SIZE(traces)) return -1;
  return grad == Py_True ? 1 : grad == Py_False ? 0 : -1;
}

static int traits_of(PyObject *const *args, size_t n) {
  PyObject *number = n ? PyObject_GetAttr(args[0], name_traits) : NULL;
  long traits = number && PyLong_CheckExact(number) ? PyLong_AsLong(number) : SPECIAL;
  Py_XDECREF(number);
  PyErr_Clear();
  return (int)traits;
}

static PyObject *tape_call(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names) {
  Tape *tape = (Tape *)self;
  size_t n = (size_t)PyVectorcall_NARGS(nargs);
  int traits = traits_of(args, n), on = everyday(tape, args, n, names, traits), wants;
  PyObject *arrays[MOST + 1];
  Py_ssize_t given = on < 0 ? -1 : arrays_of(tape, args[1], arrays + 1, &wants);
  if (given < 0) return PyObject_Vectorcall(tape->twin, args, nargs, names);
  PyObject *p = args[0], *inputs = args[1], *attrs = n == 3 ? args[2] : tape->no_attrs;
  PyObject *run = PyObject_GetAttr(p, name_run), *named = PyDict_GET_SIZE(attrs) ? attrs : NULL, *out = NULL;
  if (run) out = PyObject_VectorcallDict(run, arrays + 1, (size_t)given | PY_VECTORCALL_ARGUMENTS_OFFSET, named);
  Py_XDECREF(run);
  while (given) Py_DECREF(arrays[given--]);
  if (!out) return NULL;
  if (!PyTuple_CheckExact(out)) return finish(tape, p, inputs, attrs, out, traits, on && wants && traits & DIFFERENTIABLE);
  PyObject *end[4] = {p, inputs, attrs, out};
  PyObject *result = PyObject_Vectorcall(tape->several, end, 4, NULL);
  Py_DECREF(out);
  return result;
}

static PyObject *tape_wrap(PyObject *self, PyObject *array) { return new_tensor((Tape *)self, array, NULL); }

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
  PyObject *held[] = {(PyObject *)tape->tensor, (PyObject *)tape->node, tape->state,    tape->clock, tape->rewritten,
                      tape->twin,               tape->several,          tape->no_attrs, tape->here};
  PyTypeObject *type = Py_TYPE(self);
  for (size_t i = 0; i < sizeof held / sizeof *held; i++) Py_XDECREF(held[i]);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyObject *tape_new(PyTypeObject *type, PyObject *args, PyObject *named) {
  static char *names[] = {"tensor", "node", "state", "clock", "rewritten", "twin", "several", "no_attrs", NULL};
  PyObject *held[8];
  if (!PyArg_ParseTupleAndKeywords(args, named, "O!O!OOO!OOO!:Tape", names, &PyType_Type, &held[0], &PyType_Type,
                                   &held[1], &held[2], &held[3], &PyList_Type, &held[4], &held[5], &held[6],
                                   &PyDict_Type, &held[7]))
    return NULL;
  Tape *tape = (Tape *)type->tp_alloc(type, 0);
  if (!tape) return NULL;
  for (int i = 0; i < 8; i++) Py_INCREF(held[i]);
  tape->vectorcall = tape_call;
  tape->tensor = (PyTypeObject *)held[0];
  tape->node = (PyTypeObject *)held[1];
  tape->state = held[2];
  tape->clock = held[3];
  tape->rewritten = held[4];
  tape->twin = held[5];
  tape->several = held[6];
  tape->no_attrs = held[7];
  if (find_slots(tape->tensor, tensor_slots, tape->tensor_at, N_TENSOR) ||
      find_slots(tape->node, node_slots, tape->node_at, N_NODE))
    Py_CLEAR(tape);
  return (PyObject *)tape;
}

static PyMethodDef methods[] = {
    {"wrap", tape_wrap, METH_O, "wrap(array) -> a Tensor without a past, as Tensor(array)."}, {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Tape, vectorcall), READONLY, NULL},
                                {"twin", T_OBJECT, offsetof(Tape, twin), READONLY, "The same in Python."},
                                {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_dealloc, tape_dealloc},
                              {Py_tp_new, tape_new},
                              {Py_tp_call, PyVectorcall_Call},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_doc, "Tape(...)(primitive, inputs, attrs): dl.tape.apply for everyday calls, else its twin."},
                              {0, NULL}};

static PyType_Spec spec = {"dl._kernels.Tape", sizeof(Tape), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, slots};

int add_tape_type(PyObject *module) {
  name_run = PyUnicode_InternFromString("run");
  name_traits = PyUnicode_InternFromString("traits");
  name_grad = PyUnicode_InternFromString("grad");
  name_traces = PyUnicode_InternFromString("traces");
  name_dict = PyUnicode_InternFromString("__dict__");
  zero = PyLong_FromLong(0);
  if (!name_run || !name_traits || !name_grad || !name_traces || !name_dict || !zero) return -1;
  PyObject *type = PyType_FromSpec(&spec);
  return type ? PyModule_AddObject(module, "Tape", type) : -1;
}
