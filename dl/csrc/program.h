/* A recorded program: calls of kernels on preallocated buffers, run in one call from Python. */
#ifndef DL_PROGRAM_H
#define DL_PROGRAM_H
#include <pthread.h>

#include "py.h"

typedef struct {
  Call call;
  int32_t barrier; /* the team meets after this call */
  int32_t thread;  /* 0: the whole team runs it; t: the thread with tid t - 1 alone (modulo the team's size) */
} Step;

/* steps without Python, and the Python callable that comes after them (or NULL) */
typedef struct {
  const Step *begin, *end;
  PyObject *python;
  int nt; /* 1 where no step wants more */
} Segment;

typedef struct {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *buffers; /* tuple of the arrays whose memory the steps use */
  void *memory, *plans, *work; /* all that follows points into memory */
  Segment *segments;
  Step *steps;
  Array *inputs, *outputs;
  int n_segments, n_inputs, n_outputs, n_steps, nt;
  double ns; /* that one thread takes, roughly: a short program keeps the GIL */
  int undisturbed; /* no other Python code can run between its begin and its end */
  size_t work_bytes;
  long long epoch;
  pthread_mutex_t lock;
  unsigned long owner, forks; /* who holds the lock, and in which process */
} Program;

extern PyTypeObject *dl_program_type, *dl_choice_type, *dl_jitted_type;
extern PyObject *dl_mismatch;
extern long long dl_epoch;

int program_build(Program *p, PyObject *calls, PyObject *inputs, PyObject *outputs); /* -1: error set */
int program_lay_out(Program *p);
int program_matches(const Program *p, PyObject *const *args, Py_ssize_t n);
PyObject *program_run(Program *p, PyObject *const *args); /* args match */

int choice_fits(PyObject *choice, PyObject *const *args, Py_ssize_t n);
int choice_is_of_this_epoch(PyObject *choice);
PyObject *choice_run(PyObject *choice, PyObject *const *args); /* args fit */

int add_program_types(PyObject *module);
int add_choice_type(PyObject *module);
int add_jitted_type(PyObject *module);
#endif
