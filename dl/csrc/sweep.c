/* The hot half of dl.backward.backward: gradients flow backwards over the tape to all leaves, without a graph of their
 * own. Gradients wait at their nodes as arrays (in a list where a node has several outputs) until all that a node feeds is
 * done, in the order of recording. Hooks, rules over all inputs and errors are Python's, in `cases`. */
#include "program.h"
#include "tape.h"

enum { SETTLE, UNCHANGED, ARRIVE, PULL, HOOKED, ACCUMULATE, N_CASES };

typedef struct {
  long long seq;
  PyObject *node; /* pending holds it */
} Waiting;

typedef struct {
  Tape *tape;
  PyObject *pending, *found; /* {node: gradients}, {leaf: gradient} */
  PyObject *const *cases;
  Waiting *heap;
  Py_ssize_t n, room;
} Sweep;

static PyObject *add_code;

static int push(Sweep *s, PyObject *node) {
  if (s->n == s->room) {
    Py_ssize_t room = s->room ? 2 * s->room : 64;
    Waiting *heap = PyMem_Resize(s->heap, Waiting, room);
    if (!heap) return PyErr_NoMemory(), -1;
    s->heap = heap;
    s->room = room;
  }
  Waiting new = {PyLong_AsLongLong(OF_NODE(s->tape, node, SEQ)), node};
  Py_ssize_t i = s->n++;
  for (Py_ssize_t up; i && s->heap[up = (i - 1) / 2].seq < new.seq; i = up) s->heap[i] = s->heap[up];
  s->heap[i] = new;
  return 0;
}

static PyObject *pop(Sweep *s) {
  PyObject *node = s->heap[0].node;
  Waiting last = s->heap[--s->n];
  Py_ssize_t i = 0;
  for (Py_ssize_t down; (down = 2 * i + 1) < s->n; i = down) {
    if (down + 1 < s->n && s->heap[down + 1].seq > s->heap[down].seq) down++;
    if (s->heap[down].seq <= last.seq) break;
    s->heap[i] = s->heap[down];
  }
  s->heap[i] = last;
  return node;
}

/* the array of a Tensor; of something else, a new reference to an error */
static PyObject *array_of(const Sweep *s, PyObject *tensor) {
  if (Py_IS_TYPE(tensor, s->tape->tensor)) return Py_NewRef(OF_TENSOR(s->tape, tensor, ARRAY));
  return PyErr_Format(PyExc_TypeError, "backward: a rule gave %.100s, wanted a Tensor", Py_TYPE(tensor)->tp_name);
}

/* a + b; where the dtypes differ, as Tensors promote them */
static PyObject *sum_of(const Sweep *s, PyObject *a, PyObject *b) {
  PyObject *operands[3] = {add_code, a, b}, *sum = NULL;
  if (PyArray_TYPE((PyArrayObject *)a) == PyArray_TYPE((PyArrayObject *)b)) return py_elementwise(NULL, operands, 3);
  PyObject *x = tape_tensor(s->tape, a, NULL), *y = tape_tensor(s->tape, b, NULL);
  PyObject *z = x && y ? PyNumber_Add(x, y) : NULL;
  if (z) sum = array_of(s, z);
  Py_XDECREF(x);
  Py_XDECREF(y);
  Py_XDECREF(z);
  return sum;
}

/* g joins what is at the key already */
static int put(Sweep *s, PyObject *dict, PyObject *key, PyObject *g) {
  PyObject *old = PyDict_GetItemWithError(dict, key);
  if (!old) return PyErr_Occurred() ? -1 : PyDict_SetItem(dict, key, g);
  PyObject *sum = sum_of(s, old, g);
  int failed = !sum || PyDict_SetItem(dict, key, sum);
  Py_XDECREF(sum);
  return failed ? -1 : 0;
}

static int put_slot(Sweep *s, PyObject *node, Py_ssize_t n, Py_ssize_t index, PyObject *g) {
  PyObject *slots = PyDict_GetItemWithError(s->pending, node);
  if (!slots) {
    if (PyErr_Occurred() || !(slots = PyList_New(n))) return -1;
    for (Py_ssize_t i = 0; i < n; i++) PyList_SET_ITEM(slots, i, Py_NewRef(Py_None));
    int failed = PyDict_SetItem(s->pending, node, slots);
    Py_DECREF(slots);
    if (failed) return -1;
  }
  PyObject *old = PyList_GET_ITEM(slots, index), *sum = old == Py_None ? Py_NewRef(g) : sum_of(s, old, g);
  return sum ? PyList_SetItem(slots, index, sum) : -1;
}

/* the gradient g (an array) of t arrives, at its node or at the leaf */
static int send(Sweep *s, PyObject *t, PyObject *g) {
  PyObject *node = OF_TENSOR(s->tape, t, NODE);
  if (node == Py_None) return put(s, s->found, t, g);
  Py_ssize_t n = PyTuple_GET_SIZE(OF_NODE(s->tape, node, OUTS)), size = PyDict_GET_SIZE(s->pending);
  int failed = n == 1 ? put(s, s->pending, node, g)
                      : put_slot(s, node, n, PyLong_AsSsize_t(OF_TENSOR(s->tape, t, INDEX)), g);
  if (failed) return -1;
  return PyDict_GET_SIZE(s->pending) > size ? push(s, node) : 0;
}

static int needed(const Sweep *s, PyObject *t) {
  PyObject *wants = t == Py_None ? Py_False : OF_TENSOR(s->tape, t, REQUIRES_GRAD);
  return wants == Py_True || (wants != Py_False && PyObject_IsTrue(wants) == 1);
}

/* gradients as a list of Tensors or None, one per output */
static PyObject *wrapped(const Sweep *s, PyObject *gradients) {
  Py_ssize_t n = PyList_CheckExact(gradients) ? PyList_GET_SIZE(gradients) : 1;
  PyObject *list = PyList_New(n);
  for (Py_ssize_t i = 0; list && i < n; i++) {
    PyObject *g = PyList_CheckExact(gradients) ? PyList_GET_ITEM(gradients, i) : gradients;
    PyObject *t = g == Py_None ? Py_NewRef(g) : tape_tensor(s->tape, g, NULL);
    if (!t) Py_CLEAR(list);
    else PyList_SET_ITEM(list, i, t);
  }
  return list;
}

/* the gradients of the inputs, Tensors or arrays or None, go on */
static int send_all(Sweep *s, PyObject *inputs, PyObject *gradients) {
  PyObject *all = PySequence_Fast(gradients, "backward: a rule must give a tuple");
  if (!all) return -1;
  int failed = 0;
  Py_ssize_t n = PySequence_Fast_GET_SIZE(all), n_inputs = PyTuple_GET_SIZE(inputs);
  if (n != n_inputs) {
    PyErr_Format(PyExc_ValueError, "backward: a rule gave %zd gradients for %zd inputs", n, n_inputs);
    failed = 1;
  }
  for (Py_ssize_t i = 0; !failed && i < n; i++) {
    PyObject *d = PySequence_Fast_GET_ITEM(all, i), *t = PyTuple_GET_ITEM(inputs, i);
    if (d == Py_None || !needed(s, t)) continue;
    PyObject *g = PyArray_CheckExact(d) ? Py_NewRef(d) : array_of(s, d);
    failed = !g || send(s, t, g);
    Py_XDECREF(g);
  }
  Py_DECREF(all);
  return failed ? -1 : 0;
}

/* dl.backward.pull with Tensors */
static int by_python(Sweep *s, PyObject *node, PyObject *inputs, PyObject *gradients) {
  PyObject *slots = wrapped(s, gradients);
  PyObject *needs = PyTuple_New(PyTuple_GET_SIZE(inputs));
  for (Py_ssize_t i = 0; needs && i < PyTuple_GET_SIZE(inputs); i++)
    PyTuple_SET_ITEM(needs, i, PyBool_FromLong(needed(s, PyTuple_GET_ITEM(inputs, i))));
  PyObject *args[3] = {node, slots, needs};
  PyObject *found = slots && needs ? PyObject_Vectorcall(s->cases[PULL], args, 3, NULL) : NULL;
  int failed = !found || send_all(s, inputs, found);
  Py_XDECREF(found);
  Py_XDECREF(slots);
  Py_XDECREF(needs);
  return failed ? -1 : 0;
}

enum { MOST = 32 }; /* inputs of an operation whose rules are called from here */

/* one rule(g, out, *inputs, **attrs) per input, on Tensors */
static int one_by_one(Sweep *s, PyObject *node, PyObject *inputs, PyObject *gradient, PyObject *rules) {
  Tape *tape = s->tape;
  PyObject *attrs = OF_NODE(tape, node, ATTRS), *args[MOST + 3];
  Py_ssize_t n = PyTuple_GET_SIZE(inputs);
  PyObject *out = PyTuple_GET_ITEM(OF_NODE(tape, node, OUTS), 0), *box = PyTuple_GET_ITEM(OF_NODE(tape, node, BOXES), 0);
  args[1] = tape_tensor(tape, gradient, NULL);
  args[2] = tape_tensor(tape, out, box);
  int failed = !args[1] || !args[2];
  for (Py_ssize_t i = 0; i < n; i++) args[i + 3] = PyTuple_GET_ITEM(inputs, i);
  for (Py_ssize_t i = 0; !failed && i < n && i < PyTuple_GET_SIZE(rules); i++) {
    PyObject *rule = PyTuple_GET_ITEM(rules, i);
    if (rule == Py_None || !needed(s, args[i + 3])) continue;
    PyObject *named = PyDict_GET_SIZE(attrs) ? attrs : NULL;
    PyObject *d = PyObject_VectorcallDict(rule, args + 1, (size_t)(n + 2) | PY_VECTORCALL_ARGUMENTS_OFFSET, named);
    PyObject *g = d && d != Py_None ? array_of(s, d) : NULL;
    failed = !d || (g ? send(s, args[i + 3], g) : d != Py_None);
    Py_XDECREF(g);
    Py_XDECREF(d);
  }
  Py_XDECREF(args[1]);
  Py_XDECREF(args[2]);
  return failed ? -1 : 0;
}

/* quiet(needs, g, out, *inputs) on arrays, needs a number with a bit per input; 0: it declined */
static int quietly(Sweep *s, PyObject *node, PyObject *inputs, PyObject *gradient, PyObject *quiet) {
  PyObject *args[MOST + 4];
  Py_ssize_t n = PyTuple_GET_SIZE(inputs);
  long needs = 0;
  args[2] = gradient;
  args[3] = PyTuple_GET_ITEM(OF_NODE(s->tape, node, OUTS), 0);
  for (Py_ssize_t i = 0; i < n; i++) {
    PyObject *t = PyTuple_GET_ITEM(inputs, i);
    args[i + 4] = Py_NewRef(t == Py_None ? t : OF_TENSOR(s->tape, t, ARRAY));
    needs |= (long)needed(s, t) << i;
  }
  PyObject *found = NULL;
  if ((args[1] = PyLong_FromLong(needs)))
    found = PyObject_Vectorcall(quiet, args + 1, (size_t)(n + 3) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
  Py_XDECREF(args[1]);
  for (Py_ssize_t i = 0; i < n; i++) Py_DECREF(args[i + 4]); /* kernels let other threads in, who might replace them */
  if (!found) return -1;
  int done = found == Py_NotImplemented ? 0 : send_all(s, inputs, found) ? -1 : 1;
  Py_DECREF(found);
  return done;
}

/* hooks and retained gradients; a hook may put another gradient in the place of one */
static int arrive(Sweep *s, PyObject *node, PyObject **gradients) {
  PyObject *slots = wrapped(s, *gradients);
  PyObject *args[2] = {node, slots}, *done = slots ? PyObject_Vectorcall(s->cases[ARRIVE], args, 2, NULL) : NULL;
  Py_ssize_t n = done ? PyList_GET_SIZE(slots) : 0;
  int failed = !done;
  for (Py_ssize_t i = 0; !failed && i < n; i++) {
    PyObject *t = PyList_GET_ITEM(slots, i), *g = t == Py_None ? Py_NewRef(t) : array_of(s, t);
    failed = !g;
    if (g && n > 1)
      failed = PyList_SetItem(*gradients, i, g);
    else if (g)
      Py_SETREF(*gradients, g);
  }
  Py_XDECREF(done);
  Py_XDECREF(slots);
  return failed ? -1 : 0;
}

static int pull(Sweep *s, PyObject *node, PyObject *gradients) {
  PyObject *p = OF_NODE(s->tape, node, PRIMITIVE), *attrs = OF_NODE(s->tape, node, ATTRS);
  PyObject *inputs = Py_NewRef(OF_NODE(s->tape, node, INPUTS)); /* another thread may settle the node meanwhile */
  int small = PyTuple_GET_SIZE(inputs) <= MOST && !PyList_CheckExact(gradients), done = 0;
  if (small && Py_IS_TYPE(p, s->tape->row)) {
    PyObject *quiet = OF_ROW(s->tape, p, QUIET), *rule = OF_ROW(s->tape, p, VJP); /* the node holds p */
    if (quiet != Py_None && PyDict_GET_SIZE(attrs) == 0) done = quietly(s, node, inputs, gradients, quiet);
    if (!done && PyTuple_CheckExact(rule)) done = one_by_one(s, node, inputs, gradients, rule) ? -1 : 1;
  }
  if (!done) done = by_python(s, node, inputs, gradients);
  Py_DECREF(inputs);
  return done < 0 ? -1 : 0;
}

/* a FloatingPointError names the operation whose derivative it was */
static void say_where(PyObject *p) {
  PyObject *type, *value, *trace;
  if (!PyErr_ExceptionMatches(PyExc_FloatingPointError)) return;
  PyErr_Fetch(&type, &value, &trace);
  PyObject *name = PyObject_GetAttrString(p, "name");
  if (name) PyErr_Format(PyExc_FloatingPointError, "backward of %S: %S", name, value);
  Py_XDECREF(name);
  Py_XDECREF(type);
  Py_XDECREF(value);
  Py_XDECREF(trace);
}

/* what the node read in place of tensors that were changed in place since */
static int settle(Sweep *s, PyObject *node) {
  PyObject *inputs = OF_NODE(s->tape, node, INPUTS), *done = Py_None;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(inputs); i++) {
    PyObject *t = PyTuple_GET_ITEM(inputs, i);
    if (t == Py_None || OF_TENSOR(s->tape, t, PAST) == Py_None) continue;
    done = PyObject_CallOneArg(s->cases[SETTLE], node);
    Py_XDECREF(done);
    break;
  }
  return done ? 0 : -1;
}

static int visit(Sweep *s) {
  PyObject *node = Py_NewRef(pop(s)), *gradients = Py_NewRef(PyDict_GetItem(s->pending, node));
  long long latest = PyLong_AsLongLong(PyList_GET_ITEM(s->tape->held[LATEST], 0));
  int heard = OF_NODE(s->tape, node, NODE_HOOKS) != Py_None || OF_NODE(s->tape, node, RETAINED) != Py_None;
  int failed = PyDict_DelItem(s->pending, node) || settle(s, node);
  if (!failed && heard) failed = arrive(s, node, &gradients);
  if (!failed && PyLong_AsLongLong(OF_NODE(s->tape, node, SEQ)) < latest) {
    PyObject *sound = PyObject_CallOneArg(s->cases[UNCHANGED], node);
    failed = !sound;
    Py_XDECREF(sound);
  }
  if (!failed) failed = pull(s, node, gradients);
  if (failed) say_where(OF_NODE(s->tape, node, PRIMITIVE));
  Py_DECREF(gradients);
  Py_DECREF(node);
  return failed ? -1 : 0;
}

/* leaf.grad = g where there was none; g or, where others hold its memory too, a copy */
static int give(const Sweep *s, PyObject *leaf, PyObject *g) {
  int own = Py_REFCNT(g) == 1 && !PyArray_BASE((PyArrayObject *)g);
  PyObject *array = own ? Py_NewRef(g) : PyArray_NewCopy((PyArrayObject *)g, NPY_CORDER);
  PyObject *t = array ? tape_tensor(s->tape, array, NULL) : NULL;
  Py_XDECREF(array);
  if (!t) return -1;
  Py_SETREF(OF_TENSOR(s->tape, leaf, GRAD), t);
  dl_epoch++;
  return 0;
}

static int call_with(PyObject *function, PyObject *a, PyObject *b, PyObject **result) {
  PyObject *args[2] = {a, b};
  *result = b ? PyObject_Vectorcall(function, args, 2, NULL) : NULL;
  Py_XDECREF(b);
  return *result ? 0 : -1;
}

/* the whole gradients of the leaves: their hooks, all of them first, then .grad */
static int deliver(Sweep *s) {
  Py_ssize_t at = 0;
  PyObject *leaf, *g, *made;
  while (PyDict_Next(s->found, &at, &leaf, &g)) {
    PyObject *hooks = OF_TENSOR(s->tape, leaf, HOOKS);
    if (hooks == Py_None || PyDict_GET_SIZE(hooks) == 0) continue;
    if (call_with(s->cases[HOOKED], hooks, tape_tensor(s->tape, g, NULL), &made)) return -1;
    PyObject *array = array_of(s, made);
    Py_DECREF(made);
    int failed = !array || PyDict_SetItem(s->found, leaf, array);
    Py_XDECREF(array);
    if (failed) return -1;
  }
  at = 0;
  while (PyDict_Next(s->found, &at, &leaf, &g)) {
    if (OF_TENSOR(s->tape, leaf, GRAD) == Py_None) {
      if (give(s, leaf, g)) return -1;
      continue;
    }
    if (call_with(s->cases[ACCUMULATE], leaf, tape_tensor(s->tape, g, NULL), &made)) return -1;
    Py_DECREF(made);
  }
  return 0;
}

/* the gradient to start from, an array; NULL without an error: Python says what is wrong */
static PyObject *start_of(const Tape *tape, PyObject *output, PyObject *gradient) {
  PyArrayObject *y = (PyArrayObject *)OF_TENSOR(tape, output, ARRAY);
  int type = PyArray_TYPE(y);
  if (type != NPY_FLOAT && type != NPY_DOUBLE) return NULL;
  if (gradient != Py_None) {
    if (!Py_IS_TYPE(gradient, tape->tensor)) return NULL;
    PyArrayObject *g = (PyArrayObject *)OF_TENSOR(tape, gradient, ARRAY);
    return PyArray_TYPE(g) == type && PyArray_SAMESHAPE(g, y) ? Py_NewRef((PyObject *)g) : NULL;
  }
  if (PyArray_SIZE(y) != 1) return NULL;
  PyObject *one = PyArray_SimpleNew(PyArray_NDIM(y), PyArray_DIMS(y), type);
  if (one && type == NPY_FLOAT) *(float *)PyArray_DATA((PyArrayObject *)one) = 1;
  if (one && type == NPY_DOUBLE) *(double *)PyArray_DATA((PyArrayObject *)one) = 1;
  return one;
}

static int sweep(Sweep *s, PyObject *output, PyObject *start) {
  s->pending = PyDict_New();
  s->found = PyDict_New();
  int failed = !s->pending || !s->found || send(s, output, start);
  while (!failed && s->n) failed = visit(s);
  return failed;
}

PyObject *tape_backward(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  Tape *tape = (Tape *)self;
  int grad, everyday = n == 3 && PyTuple_CheckExact(args[2]) && PyTuple_GET_SIZE(args[2]) == N_CASES &&
                       Py_IS_TYPE(args[0], tape->tensor) && OF_TENSOR(tape, args[0], REQUIRES_GRAD) == Py_True;
  if (!everyday || tape_everyday(tape, &grad) < 1) return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
  PyObject *start = start_of(tape, args[0], args[1]);
  if (!start) return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
  Sweep s = {.tape = tape, .cases = &PyTuple_GET_ITEM(args[2], 0)};
  PyObject *state = Py_NewRef(tape_state(tape));
  int failed = PyDict_SetItem(state, tape_name_grad, Py_False) || sweep(&s, args[0], start);
  Py_DECREF(start);
  if (!failed) failed = deliver(&s);
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  if (PyDict_SetItem(state, tape_name_grad, grad ? Py_True : Py_False)) failed = 1;
  if (type) PyErr_Restore(type, value, trace);
  Py_DECREF(state);
  Py_XDECREF(s.pending);
  Py_XDECREF(s.found);
  PyMem_Free(s.heap);
  return failed ? NULL : Py_NewRef(Py_True);
}

int tape_names(void) {
  PyObject *add = PyUnicode_InternFromString("add");
  add_code = add ? py_micro_op(NULL, add) : NULL;
  Py_XDECREF(add);
  return add_code ? 0 : -1;
}
