/* The Jitted type: what was recorded of one function, tried in turn; where nothing fits, the fallback runs. */
#include "program.h"

#include <structmember.h>

typedef struct {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *fallback, *choices, *dict, *weak;
} Jitted;

PyTypeObject *dl_jitted_type;
long long dl_epoch;

static PyObject *jitted_call(PyObject *self, PyObject *const *args, size_t nargs, PyObject *names) {
  Jitted *j = (Jitted *)self;
  if (!names || PyTuple_GET_SIZE(names) == 0) {
    Py_ssize_t n = PyVectorcall_NARGS(nargs);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(j->choices); i++) {
      PyObject *choice = PyList_GET_ITEM(j->choices, i);
      if (!choice_is_of_this_epoch(choice) || !choice_fits(choice, args, n)) continue;
      Py_INCREF(choice); /* clear() may be called while it runs */
      PyObject *out = choice_run(choice, args);
      Py_DECREF(choice);
      return out;
    }
  }
  return PyObject_Vectorcall(j->fallback, args, nargs, names);
}

static PyObject *jitted_new(PyTypeObject *type, PyObject *args, PyObject *named) {
  static char *names[] = {"fallback", NULL};
  PyObject *fallback;
  if (!PyArg_ParseTupleAndKeywords(args, named, "O:Jitted", names, &fallback)) return NULL;
  if (!PyCallable_Check(fallback)) {
    PyErr_SetString(PyExc_TypeError, "dl.Jitted: the fallback must be callable");
    return NULL;
  }
  Jitted *j = (Jitted *)type->tp_alloc(type, 0);
  if (!j) return NULL;
  j->vectorcall = jitted_call;
  j->fallback = Py_NewRef(fallback);
  if (!(j->choices = PyList_New(0))) Py_CLEAR(j);
  return (PyObject *)j;
}

static PyObject *jitted_add(PyObject *self, PyObject *choice) {
  if (!Py_IS_TYPE(choice, dl_choice_type))
    return PyErr_Format(PyExc_TypeError, "dl.Jitted: add wants a Choice, got %.100s", Py_TYPE(choice)->tp_name);
  if (PyList_Insert(((Jitted *)self)->choices, 0, choice)) return NULL;
  Py_RETURN_NONE;
}

static PyObject *jitted_clear_choices(PyObject *self, PyObject *unused) {
  (void)unused;
  PyObject *choices = ((Jitted *)self)->choices;
  if (PyList_SetSlice(choices, 0, PyList_GET_SIZE(choices), NULL)) return NULL;
  Py_RETURN_NONE;
}

/* found in a class, it is a method of the instance, as a function is */
static PyObject *jitted_get(PyObject *self, PyObject *instance, PyObject *type) {
  (void)type;
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

static int jitted_traverse(PyObject *self, visitproc visit, void *arg) {
  Jitted *j = (Jitted *)self;
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(j->fallback);
  Py_VISIT(j->choices);
  Py_VISIT(j->dict);
  return 0;
}

static int jitted_clear(PyObject *self) {
  Jitted *j = (Jitted *)self;
  Py_CLEAR(j->dict);
  if (j->choices) PyList_SetSlice(j->choices, 0, PyList_GET_SIZE(j->choices), NULL);
  return 0;
}

static void jitted_free(PyObject *self) {
  Jitted *j = (Jitted *)self;
  PyTypeObject *type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  if (j->weak) PyObject_ClearWeakRefs(self);
  Py_CLEAR(j->dict);
  Py_CLEAR(j->fallback);
  Py_CLEAR(j->choices);
  type->tp_free(self);
  Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"add", jitted_add, METH_O, "add(choice): use it from now on where the arguments fit and the epoch is its own."},
    {"clear", jitted_clear_choices, METH_NOARGS, "Forget all choices."},
    {NULL, NULL, 0, NULL}};

static PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Jitted, vectorcall), READONLY, NULL},
    {"__dictoffset__", T_PYSSIZET, offsetof(Jitted, dict), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Jitted, weak), READONLY, NULL},
    {"fallback", T_OBJECT, offsetof(Jitted, fallback), READONLY, "What runs where nothing recorded fits."},
    {NULL, 0, 0, 0, NULL}};

static PyGetSetDef getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
                               {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot slots[] = {{Py_tp_new, jitted_new},
                              {Py_tp_call, PyVectorcall_Call},
                              {Py_tp_descr_get, jitted_get},
                              {Py_tp_dealloc, jitted_free},
                              {Py_tp_traverse, jitted_traverse},
                              {Py_tp_clear, jitted_clear},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, getset},
                              {Py_tp_doc, "Jitted(fallback): runs the recorded program that fits the arguments, or else fallback."},
                              {0, NULL}};

static PyType_Spec spec = {
    "dl._kernels.Jitted", sizeof(Jitted), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE, slots};

int add_jitted_type(PyObject *module) {
  dl_jitted_type = (PyTypeObject *)PyType_FromSpec(&spec);
  return dl_jitted_type ? PyModule_AddObjectRef(module, "Jitted", (PyObject *)dl_jitted_type) : -1;
}
