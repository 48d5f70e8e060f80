/* The Program type: copies the arguments in, runs the segments, copies the results out. */
#include "program.h"

#include <structmember.h>

/* below this, releasing the GIL and taking it again costs more than another thread could gain */
static const double GIL_NS = 2000;

PyTypeObject *dl_program_type;
PyObject *dl_mismatch;

static void copy_row(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t n, int bytes) {
  switch (bytes) {
    case 1:
      for (; n > 0; n--, to += to_step, from += from_step) *to = *from;
      break;
    case 4:
      for (; n > 0; n--, to += to_step, from += from_step) memcpy(to, from, 4);
      break;
    default:
      for (; n > 0; n--, to += to_step, from += from_step) memcpy(to, from, 8);
  }
}

/* strides in bytes; any alignment */
static void copy_strided(const Array *a, char *to, const int64_t *to_step, const char *from, const int64_t *from_step) {
  int64_t at[DL_MAXDIM] = {0};
  int last = a->ndim - 1, bytes = dtype_bytes[a->dtype];
  if (array_size(a) == 0) return;
  if (last < 0) return copy_row(to, 0, from, 0, 1, bytes);
  for (;;) {
    copy_row(to, to_step[last], from, from_step[last], a->shape[last], bytes);
    int i = last - 1;
    for (; i >= 0; i--) {
      to += to_step[i], from += from_step[i];
      if (++at[i] < a->shape[i]) break;
      to -= to_step[i] * at[i], from -= from_step[i] * at[i];
      at[i] = 0;
    }
    if (i < 0) return;
  }
}

/* one of the two sides is an operand of the program, the other an ndarray of its shape and dtype */
static void copy_operand(const Array *a, PyArrayObject *array, int in) {
  char *data = PyArray_BYTES(array);
  int bytes = dtype_bytes[a->dtype];
  if (PyArray_IS_C_CONTIGUOUS(array) && array_contiguous(a)) {
    memmove(in ? a->data : data, in ? data : a->data, (size_t)(array_size(a) * bytes));
    return;
  }
  int64_t step[DL_MAXDIM], other[DL_MAXDIM];
  for (int i = 0; i < a->ndim; i++) step[i] = a->stride[i] * bytes, other[i] = PyArray_STRIDE(array, i);
  if (in)
    copy_strided(a, a->data, step, data, other);
  else
    copy_strided(a, data, other, a->data, step);
}

int program_matches(const Program *p, PyObject *const *args, Py_ssize_t n) {
  if (n != p->n_inputs) return 0;
  for (Py_ssize_t i = 0; i < n; i++) {
    const Array *a = &p->inputs[i];
    if (!PyArray_CheckExact(args[i])) return 0;
    PyArrayObject *array = (PyArrayObject *)args[i];
    if (PyArray_NDIM(array) != a->ndim || dtype_of(array) != a->dtype || PyArray_ISBYTESWAPPED(array)) return 0;
    for (int d = 0; d < a->ndim; d++)
      if (PyArray_DIM(array, d) != a->shape[d]) return 0;
  }
  return 1;
}

static PyObject *result(const Array *a) {
  npy_intp shape[DL_MAXDIM];
  for (int i = 0; i < a->ndim; i++) shape[i] = a->shape[i];
  PyArray_Descr *dtype = PyArray_DescrFromType(dtype_numpy[a->dtype]);
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, dtype, a->ndim, shape, NULL, NULL, 0, NULL);
  if (array) copy_operand(a, (PyArrayObject *)array, 0);
  return array;
}

static PyObject *results(const Program *p) {
  if (p->n_outputs == 0) Py_RETURN_NONE;
  if (p->n_outputs == 1) return result(p->outputs);
  PyObject *all = PyTuple_New(p->n_outputs);
  for (int i = 0; all && i < p->n_outputs; i++) {
    PyObject *one = result(&p->outputs[i]);
    if (!one) {
      Py_CLEAR(all);
      break;
    }
    PyTuple_SET_ITEM(all, i, one);
  }
  return all;
}

/* Its buffers are state, so one thread runs it at a time. A holder from before a fork does not exist in the child. */
static int acquire(Program *p) {
  unsigned long me = PyThread_get_thread_ident();
  if (pthread_mutex_trylock(&p->lock)) {
    if (p->forks != team_forks()) {
      pthread_mutex_init(&p->lock, NULL);
      p->forks = team_forks();
      return acquire(p);
    }
    if (p->owner == me) {
      PyErr_SetString(PyExc_RuntimeError, "dl.Program: a Python call inside a program cannot run that program");
      return -1;
    }
    Py_BEGIN_ALLOW_THREADS pthread_mutex_lock(&p->lock);
    Py_END_ALLOW_THREADS
  }
  p->owner = me;
  p->forks = team_forks();
  return 0;
}

static void release(Program *p) {
  p->owner = 0;
  pthread_mutex_unlock(&p->lock);
}

static void replay(void *segment, const Team *team) {
  static const Team single = {0, 1, NULL};
  const Step *end = ((const Segment *)segment)->end;
  for (const Step *step = ((const Segment *)segment)->begin; step < end; step++) {
    if (step->thread == 0)
      step->call.kernel->run(&step->call, team);
    else if ((step->thread - 1) % team->nt == team->tid)
      step->call.kernel->run(&step->call, &single);
    if (step->barrier) team_barrier(team);
  }
}

static int run_segments(const Program *p) {
  for (Segment *s = p->segments; s < p->segments + p->n_segments; s++) {
    PyThreadState *state = p->ns < GIL_NS ? NULL : PyEval_SaveThread();
    team_run(s->nt, replay, s);
    if (state) PyEval_RestoreThread(state);
    if (!s->python) continue;
    PyObject *ignored = PyObject_CallNoArgs(s->python);
    if (!ignored) return -1;
    Py_DECREF(ignored);
  }
  return 0;
}

/* It keeps the GIL, calls no Python, and makes one array: a tuple could start the garbage collector, which calls
 * anything. Then no other thread can find it half done, and it needs no lock. */
static int undisturbed(const Program *p) {
#ifdef Py_GIL_DISABLED
  return 0;
#endif
  return p->ns < GIL_NS && p->n_segments == 1 && p->n_outputs <= 1;
}

PyObject *program_run(Program *p, PyObject *const *args) {
  if (!p->undisturbed && acquire(p)) return NULL;
  for (int i = 0; i < p->n_inputs; i++) copy_operand(&p->inputs[i], (PyArrayObject *)args[i], 1);
  PyObject *out = run_segments(p) ? NULL : results(p);
  if (!p->undisturbed) release(p);
  return out;
}

static PyObject *wanted(const Program *p) {
  PyObject *list = PyList_New(0);
  for (int i = 0; list && i < p->n_inputs; i++) {
    PyObject *shape = shape_tuple(&p->inputs[i]);
    PyObject *text = shape ? PyUnicode_FromFormat("%s%R", dtype_name[p->inputs[i].dtype], shape) : NULL;
    if (!text || PyList_Append(list, text)) Py_CLEAR(list);
    Py_XDECREF(shape);
    Py_XDECREF(text);
  }
  return list;
}

static PyObject *program_call(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names) {
  Program *p = (Program *)self;
  Py_ssize_t n = PyVectorcall_NARGS(nargs);
  if ((!names || PyTuple_GET_SIZE(names) == 0) && program_matches(p, args, n)) return program_run(p, args);
  PyObject *list = wanted(p);
  if (list)
    PyErr_Format(dl_mismatch, "dl.Program: wanted arrays %S, in this order; got %zd arguments, not all like that", list,
                 n);
  Py_XDECREF(list);
  return NULL;
}

static int check_buffers(PyObject *buffers) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(buffers); i++)
    if (!PyArray_Check(PyTuple_GET_ITEM(buffers, i))) {
      PyErr_Format(PyExc_TypeError, "dl.Program: buffer %zd must be a NumPy array, got %.100s", i,
                   Py_TYPE(PyTuple_GET_ITEM(buffers, i))->tp_name);
      return -1;
    }
  return 0;
}

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *named) {
  static char *names[] = {"buffers", "calls", "inputs", "outputs", "nt", NULL};
  PyObject *lists[4];
  int nt;
  if (!PyArg_ParseTupleAndKeywords(args, named, "OOOOi:Program", names, &lists[0], &lists[1], &lists[2], &lists[3],
                                   &nt))
    return NULL;
  if (nt < 1 || nt > DL_MAX_THREADS)
    return PyErr_Format(PyExc_ValueError, "dl.Program: nt must be 1 to %d, got %d", DL_MAX_THREADS, nt);
  Program *p = (Program *)type->tp_alloc(type, 0);
  if (!p) return NULL;
  p->vectorcall = program_call;
  p->nt = nt;
  p->epoch = dl_epoch;
  pthread_mutex_init(&p->lock, NULL);
  PyObject *tuples[4] = {NULL};
  int failed = 0;
  for (int i = 0; i < 4 && !failed; i++) failed = !(tuples[i] = PySequence_Tuple(lists[i]));
  if (!failed) {
    p->buffers = Py_NewRef(tuples[0]);
    failed = check_buffers(tuples[0]) || program_build(p, tuples[1], tuples[2], tuples[3]);
    p->undisturbed = undisturbed(p);
  }
  for (int i = 0; i < 4; i++) Py_XDECREF(tuples[i]);
  if (failed) Py_CLEAR(p);
  return (PyObject *)p;
}

static int program_traverse(PyObject *self, visitproc visit, void *arg) {
  Program *p = (Program *)self;
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(p->buffers);
  for (int i = 0; i < p->n_segments; i++) Py_VISIT(p->segments[i].python);
  return 0;
}

static int program_clear(PyObject *self) {
  Program *p = (Program *)self;
  for (int i = 0; i < p->n_segments; i++) Py_CLEAR(p->segments[i].python);
  return 0;
}

static void program_free(PyObject *self) {
  Program *p = (Program *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  program_clear(self);
  Py_CLEAR(p->buffers);
  PyMem_Free(p->memory);
  free(p->plans);
  free(p->work);
  pthread_mutex_destroy(&p->lock);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Program, vectorcall), READONLY, NULL},
    {"epoch", T_LONGLONG, offsetof(Program, epoch), 0, "The epoch() this program is valid in; may be set."},
    {"nt", T_INT, offsetof(Program, nt), READONLY, "Threads that run it."},
    {"buffers", T_OBJECT, offsetof(Program, buffers), READONLY, "The arrays whose memory it uses."},
    {"scratch", T_ULONG, offsetof(Program, work_bytes), READONLY, "Bytes of scratch memory it holds."},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, program_new},
                              {Py_tp_call, PyVectorcall_Call},
                              {Py_tp_dealloc, program_free},
                              {Py_tp_traverse, program_traverse},
                              {Py_tp_clear, program_clear},
                              {Py_tp_members, members},
                              {Py_tp_doc,
                               "Program(buffers, calls, inputs, outputs, nt): a recorded program; program(*arrays)\n"
                               "runs it.\n\n"
                               "An operand is None or (buffer index, byte offset, dtype code, shape, strides in\n"
                               "elements). A call is (kernel, outs, ins, ints, floats, barrier, thread), where\n"
                               "barrier says that the team meets after it, and thread is 0 for all threads or t for\n"
                               "thread t - 1 alone; or ('python', callable). inputs are filled from the arguments,\n"
                               "outputs are copied out."},
                              {0, NULL}};

static PyType_Spec spec = {
    "dl._kernels.Program", sizeof(Program), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE, slots};

int add_program_types(PyObject *module) {
  dl_mismatch = PyErr_NewException("dl._kernels.Mismatch", PyExc_TypeError, NULL);
  dl_program_type = (PyTypeObject *)PyType_FromSpec(&spec);
  if (!dl_mismatch || !dl_program_type) return -1;
  if (PyModule_AddObjectRef(module, "Mismatch", dl_mismatch)) return -1;
  return PyModule_AddObjectRef(module, "Program", (PyObject *)dl_program_type);
}
