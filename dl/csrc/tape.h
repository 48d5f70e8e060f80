/* The tape's hot half in C: what tape.c (operations) and sweep.c (the pass backwards) share. Tensor, Node and
 * Primitive are Python classes with __slots__, which are read and written here without a detour through Python. */
#ifndef DL_TAPE_H
#define DL_TAPE_H
#include "py.h"

enum { VIEW = 1, DIFFERENTIABLE = 2, STATEFUL = 4, MUTATES = 8 }; /* Primitive.traits */
enum { ARRAY, CHANGED, REQUIRES_GRAD, GRAD, NODE, INDEX, HOOKS, PAST, PARAMETER, N_TENSOR };
enum { PRIMITIVE, INPUTS, ATTRS, OUTS, BOXES, SEQ, NODE_HOOKS, RETAINED, N_NODE };
enum { RUN, TRAITS, VJP, QUIET, WRITES, N_ROW }; /* of a Primitive */
/* Python objects of dl.tape: its state, and functions for what is not everyday */
enum { STATE, CLOCK, LATEST, NO_ATTRS, TWIN, SEVERAL, N_HELD };

typedef struct {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyTypeObject *tensor, *node, *row;
  Py_ssize_t tensor_at[N_TENSOR], node_at[N_NODE], row_at[N_ROW];
  PyObject *held[N_HELD];
  PyObject *here; /* the state's dict in the thread that asked last */
  uint64_t thread;
} Tape;

#define SLOT(object, offset) (*(PyObject **)((char *)(object) + (offset)))
#define OF_TENSOR(tape, t, name) SLOT(t, (tape)->tensor_at[name])
#define OF_NODE(tape, node, name) SLOT(node, (tape)->node_at[name])
#define OF_ROW(tape, p, name) SLOT(p, (tape)->row_at[name])

PyObject *tape_state(Tape *tape);          /* borrowed, of this thread; NULL with an error */
int tape_changed(const Tape *tape, PyObject *t, PyObject *now); /* its memory is another one from now on; -1: error */
int tape_everyday(Tape *tape, int *grad); /* 0: somebody listens; -1: error */
PyObject *tape_tensor(const Tape *tape, PyObject *array, PyObject *box); /* a Tensor without a past */

PyObject *tape_backward(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *tape_step(PyObject *self, PyObject *const *args, Py_ssize_t n);
PyObject *tape_forget(PyObject *self, PyObject *leaves);
extern PyObject *tape_name_grad;
int tape_names(void); /* interns what sweep.c looks up; -1: error */
#endif
