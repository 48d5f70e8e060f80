/* The Choice type: recorded programs with the same results, for all threads and for one, of which the fastest runs.
 *
 * Which one that is depends on the machine, on its neighbours and on how densely the calls come, and it changes: so all
 * of them have their turn again after a while, later and later as long as the same one wins. */
#include "program.h"

#include <structmember.h>
#include <time.h>

enum { MOST = 2, BLOCK = 4, ROUNDS = 2 };              /* programs; consecutive calls of one, and turns in a trial */
enum { SHORTEST = 64, LONGEST = 16384, SECONDS = 60 }; /* between two trials: calls, and how long they may take */

typedef struct {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *programs, *rewritten; /* tuples; of tensors that are written into */
  PyObject *clock, *latest;       /* of dl.tape */
  long long epoch, marked; /* marked: what the clock showed when the tensors were marked last */
  int n, best, calls, running, last; /* calls of this trial */
  int64_t left, pause;               /* calls until the next trial; after the last one */
  int64_t least[MOST];               /* [ns] in this trial */
} Choice;

PyTypeObject *dl_choice_type;
static PyObject *name_changed;

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static Program *program_of(const Choice *c, int i) { return (Program *)PyTuple_GET_ITEM(c->programs, i); }

/* Rules that wanted the old values of these tensors will refuse. Where the clock has not moved since the last time,
 * nobody recorded any. */
static int mark_rewritten(Choice *c) {
  Py_ssize_t n = PyTuple_GET_SIZE(c->rewritten);
  if (n == 0) return 0;
  PyObject *now = PyIter_Next(c->clock);
  long long before = c->marked;
  if (now && (c->marked = PyLong_AsLongLong(now)) == before + 1) n = 0;
  int failed = !now || PyErr_Occurred() || PyList_SetItem(c->latest, 0, Py_NewRef(now));
  for (Py_ssize_t i = 0; !failed && i < n; i++) {
    PyObject *box = PyObject_GetAttr(PyTuple_GET_ITEM(c->rewritten, i), name_changed);
    failed = !box || PyList_SetItem(box, 0, Py_NewRef(now));
    Py_XDECREF(box);
  }
  Py_XDECREF(now);
  return failed ? -1 : 0;
}

static void end_trial(Choice *c) {
  int best = 0;
  for (int i = 1; i < c->n; i++)
    if (c->least[i] < c->least[best]) best = i;
  int64_t most = SECONDS * (int64_t)1000000000 / (c->least[best] + 1);
  c->pause = c->best == best && c->pause ? 2 * c->pause : SHORTEST;
  if (c->pause > LONGEST) c->pause = LONGEST;
  if (c->pause > most) c->pause = most > SHORTEST ? most : SHORTEST;
  c->best = best, c->left = c->pause, c->calls = 0;
}

/* one call in a trial; the first of a block does not count: it may have to wake the others */
static PyObject *try_one(Choice *c, PyObject *const *args) {
  int which = c->calls / BLOCK % c->n, first = c->calls % BLOCK == 0;
  if (c->calls == 0)
    for (int i = 0; i < c->n; i++) c->least[i] = INT64_MAX;
  c->last = which;
  int64_t begin = now_ns();
  PyObject *out = program_run(program_of(c, which), args);
  int64_t took = now_ns() - begin;
  if (!first && took < c->least[which]) c->least[which] = took;
  if (++c->calls >= BLOCK * ROUNDS * c->n) end_trial(c);
  return out;
}

/* While one runs without the GIL, another thread's call waits for that one: two programs would write at the same time. */
PyObject *choice_run(PyObject *self, PyObject *const *args) {
  Choice *c = (Choice *)self;
  PyObject *out;
  int alone = c->running++ == 0;
  if (c->n > 1 && alone && c->left-- <= 0) {
    out = try_one(c, args);
  } else {
    if (alone) c->last = c->best;
    out = program_run(program_of(c, c->last), args);
  }
  c->running--;
  if (out && mark_rewritten(c)) Py_CLEAR(out);
  return out;
}

int choice_fits(PyObject *self, PyObject *const *args, Py_ssize_t n) {
  const Choice *c = (const Choice *)self;
  return program_matches(program_of(c, 0), args, n);
}

int choice_is_of_this_epoch(PyObject *self) { return ((const Choice *)self)->epoch == dl_epoch; }

static PyObject *choice_call(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names) {
  Py_ssize_t n = PyVectorcall_NARGS(nargs);
  if ((!names || PyTuple_GET_SIZE(names) == 0) && choice_fits(self, args, n)) return choice_run(self, args);
  return PyObject_Vectorcall(PyTuple_GET_ITEM(((Choice *)self)->programs, 0), args, nargs, names); /* which says why */
}

static PyObject *choice_new(PyTypeObject *type, PyObject *args, PyObject *named) {
  static char *names[] = {"programs", "clock", "latest", "rewritten", NULL};
  PyObject *programs, *clock = Py_None, *latest = Py_None, *rewritten = NULL;
  if (!PyArg_ParseTupleAndKeywords(args, named, "O!|OOO!:Choice", names, &PyTuple_Type, &programs, &clock, &latest,
                                   &PyTuple_Type, &rewritten))
    return NULL;
  Py_ssize_t n = PyTuple_GET_SIZE(programs);
  int sound = n >= 1 && n <= MOST && (!rewritten || (PyIter_Check(clock) && PyList_Check(latest)));
  for (Py_ssize_t i = 0; sound && i < n; i++) sound = Py_IS_TYPE(PyTuple_GET_ITEM(programs, i), dl_program_type);
  if (!sound)
    return PyErr_Format(PyExc_TypeError,
                        "dl.Choice: wants a tuple of 1 to %d Programs, and for the tensors that they write into an "
                        "iterator and a list", (int)MOST);
  Choice *c = (Choice *)type->tp_alloc(type, 0);
  if (!c) return NULL;
  c->vectorcall = choice_call;
  c->programs = Py_NewRef(programs);
  c->clock = Py_NewRef(clock);
  c->latest = Py_NewRef(latest);
  c->n = (int)n;
  c->epoch = dl_epoch;
  if (!(c->rewritten = rewritten ? Py_NewRef(rewritten) : PyTuple_New(0))) Py_CLEAR(c);
  return (PyObject *)c;
}

static PyObject *choice_program(PyObject *self, void *unused) {
  (void)unused;
  return Py_NewRef((PyObject *)program_of((Choice *)self, ((Choice *)self)->best));
}

static int choice_traverse(PyObject *self, visitproc visit, void *arg) {
  Choice *c = (Choice *)self;
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(c->programs);
  Py_VISIT(c->rewritten);
  Py_VISIT(c->clock);
  Py_VISIT(c->latest);
  return 0;
}

static void choice_free(PyObject *self) {
  Choice *c = (Choice *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_CLEAR(c->programs);
  Py_CLEAR(c->rewritten);
  Py_CLEAR(c->clock);
  Py_CLEAR(c->latest);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Choice, vectorcall), READONLY, NULL},
    {"epoch", T_LONGLONG, offsetof(Choice, epoch), 0, "The epoch() it is valid in; may be set."},
    {"programs", T_OBJECT, offsetof(Choice, programs), READONLY, "All of them."},
    {NULL, 0, 0, 0, NULL}};

static PyGetSetDef getset[] = {{"program", choice_program, NULL, "The one that won the last trial.", NULL},
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, choice_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_dealloc, choice_free},
    {Py_tp_traverse, choice_traverse},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_doc, "Choice(programs, clock, latest, rewritten): runs the fastest of Programs with the same results.\n\n"
                "After each run next(clock) is latest[0] and the _changed[0] of each tensor in rewritten."},
    {0, NULL}};

static PyType_Spec spec = {
    "dl._kernels.Choice", sizeof(Choice), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE, slots};

int add_choice_type(PyObject *module) {
  if (!(name_changed = PyUnicode_InternFromString("_changed"))) return -1;
  dl_choice_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return dl_choice_type ? PyModule_AddObjectRef(module, "Choice", (PyObject *)dl_choice_type) : -1;
}
