/* Building a program: what Python recorded becomes flat, checked, and is never looked at again. */
#include "program.h"

/* where in the program, for errors */
typedef struct {
  const char *kernel, *what;
  Py_ssize_t call;
  int index;
} Place;

typedef struct {
  Program *program;
  Segment *segment;
  Step *step;
  Array *array;
  int64_t *integer;
  double *real;
} Build;

static int fail(const Place *at, const char *text) {
  if (at->call < 0)
    PyErr_Format(PyExc_ValueError, "dl.Program: %s %d: %s", at->what, at->index, text);
  else
    PyErr_Format(PyExc_ValueError, "dl.Program: call %zd (%s), %s %d: %s", at->call, at->kernel, at->what, at->index,
                 text);
  return -1;
}

/* the bytes [*lo, *hi) around the data pointer that an array with these strides touches; -1 where they do not fit */
static int extent(int ndim, const int64_t *shape, const int64_t *stride, int64_t unit, int64_t *lo, int64_t *hi) {
  *lo = 0, *hi = unit;
  for (int i = 0; i < ndim; i++)
    if (shape[i] == 0) return *hi = 0;
  for (int i = 0; i < ndim; i++) {
    int64_t step, reach, *side = stride[i] < 0 ? lo : hi;
    if (__builtin_mul_overflow(stride[i], unit, &step) || __builtin_mul_overflow(step, shape[i] - 1, &reach) ||
        __builtin_add_overflow(*side, reach, side))
      return -1;
  }
  return 0;
}

static int in_buffer(const Array *a, PyArrayObject *buffer, int64_t offset) {
  int64_t shape[NPY_MAXDIMS], stride[NPY_MAXDIMS], lo, hi, first, last;
  for (int i = 0; i < PyArray_NDIM(buffer); i++) {
    shape[i] = PyArray_DIM(buffer, i);
    stride[i] = PyArray_STRIDE(buffer, i);
  }
  if (extent(PyArray_NDIM(buffer), shape, stride, 1, &lo, &hi)) return 0;
  if (hi) hi += PyArray_ITEMSIZE(buffer) - 1; /* extent counted one byte for the last item */
  if (extent(a->ndim, a->shape, a->stride, dtype_bytes[a->dtype], &first, &last)) return 0;
  if (__builtin_add_overflow(first, offset, &first) || __builtin_add_overflow(last, offset, &last)) return 0;
  return first >= lo && last <= hi;
}

static int integers(int64_t *to, int64_t least, PyObject *tuple) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
    to[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
    if (to[i] == -1 && PyErr_Occurred()) PyErr_Clear(), to[i] = INT64_MIN;
    if (to[i] < least || to[i] == INT64_MIN) return -1;
  }
  return 0;
}

static int operand(Array *a, PyObject *spec, PyObject *buffers, int writes, const Place *at) {
  Py_ssize_t index;
  long long offset;
  PyObject *shape, *stride;
  memset(a, 0, sizeof *a);
  if (spec == Py_None) return 0;
  if (!PyTuple_Check(spec) || !PyArg_ParseTuple(spec, "nLiO!O!", &index, &offset, &a->dtype, &PyTuple_Type, &shape,
                                                &PyTuple_Type, &stride)) {
    PyErr_Clear();
    return fail(at, "must be None or (buffer, byte offset, dtype code, shape tuple, strides tuple)");
  }
  Py_ssize_t ndim = PyTuple_GET_SIZE(shape);
  if (index < 0 || index >= PyTuple_GET_SIZE(buffers)) return fail(at, "there is no such buffer");
  if (a->dtype < 0 || a->dtype > 3) return fail(at, "the dtype code must be 0 to 3");
  if (ndim > DL_MAXDIM || PyTuple_GET_SIZE(stride) != ndim)
    return fail(at, "shape and strides must have one length, at most 8");
  a->ndim = (int)ndim;
  if (integers(a->shape, 0, shape)) return fail(at, "the shape must be of integers, zero or more");
  if (integers(a->stride, -INT64_MAX, stride)) return fail(at, "the strides must be integers");
  PyArrayObject *buffer = (PyArrayObject *)PyTuple_GET_ITEM(buffers, index);
  if (writes && !PyArray_ISWRITEABLE(buffer)) return fail(at, "is written to, but its buffer is read-only");
  if (!in_buffer(a, buffer, offset)) return fail(at, "lies outside its buffer");
  a->data = PyArray_BYTES(buffer) + offset;
  if ((uintptr_t)a->data % (uintptr_t)dtype_bytes[a->dtype]) return fail(at, "is not aligned to its items");
  return 0;
}

/* a call from Python: (kernel, outs, ins, ints, floats, barrier, thread), or ("python", callable) */
typedef struct {
  PyObject *name, *outs, *ins, *ints, *floats;
  int barrier, thread;
} Record;

static int is_python(PyObject *spec) {
  return PyTuple_Check(spec) && PyTuple_GET_SIZE(spec) == 2 && PyCallable_Check(PyTuple_GET_ITEM(spec, 1)) &&
         PyUnicode_Check(PyTuple_GET_ITEM(spec, 0)) &&
         PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(spec, 0), "python") == 0;
}

static int record(Record *r, PyObject *spec, Py_ssize_t number) {
  PyTypeObject *t = &PyTuple_Type;
  if (PyTuple_Check(spec) && PyArg_ParseTuple(spec, "OO!O!O!O!pi", &r->name, t, &r->outs, t, &r->ins, t, &r->ints, t,
                                              &r->floats, &r->barrier, &r->thread) &&
      r->thread >= 0 && r->thread <= DL_MAX_THREADS)
    return 0;
  PyErr_Clear();
  PyErr_Format(PyExc_ValueError,
               "dl.Program: call %zd must be (kernel, outs, ins, ints, floats, barrier, thread) with four tuples, or "
               "('python', callable); got %.200R",
               number, spec);
  return -1;
}

static int add_operands(Build *b, PyObject *specs, Place *at, const char *what) {
  at->what = what;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(specs); i++) {
    at->index = (int)i;
    if (operand(b->array++, PyTuple_GET_ITEM(specs, i), b->program->buffers, what[0] == 'o', at)) return -1;
  }
  return 0;
}

static int add_numbers(Build *b, const Record *r) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(r->ints); i++)
    *b->integer++ = PyLong_AsLongLong(PyTuple_GET_ITEM(r->ints, i));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(r->floats); i++)
    *b->real++ = PyFloat_AsDouble(PyTuple_GET_ITEM(r->floats, i));
  return PyErr_Occurred() ? -1 : 0;
}

static int add_step(Build *b, PyObject *spec, Py_ssize_t number) {
  Record r;
  if (record(&r, spec, number)) return -1;
  int id = kernel_index(r.name);
  if (id < 0) return -1;
  const Kernel *kernel = dl_table->kernels[id];
  Place at = {kernel->name, "output", number, 0};
  Step *step = b->step++;
  step->barrier = r.barrier;
  step->thread = r.thread;
  step->call = (Call){kernel, (int)(PyTuple_GET_SIZE(r.outs) + PyTuple_GET_SIZE(r.ins)), (int)PyTuple_GET_SIZE(r.ints),
                      (int)PyTuple_GET_SIZE(r.floats), b->array, b->integer, b->real, NULL};
  if (add_operands(b, r.outs, &at, "output") || add_operands(b, r.ins, &at, "input") || add_numbers(b, &r)) return -1;
  const char *wrong = kernel->check ? kernel->check(&step->call) : NULL;
  if (wrong) {
    refuse(&step->call, wrong);
    return -1;
  }
  b->program->ns += call_ns(&step->call);
  if (step->thread != 1) b->segment->nt = b->program->nt;
  return 0;
}

/* a segment ends where Python is called, and at the end of the program */
static void next_segment(Build *b, PyObject *python) {
  b->segment->python = python;
  b->segment->end = b->step;
  b->segment++;
  b->segment->begin = b->step;
  b->segment->nt = 1;
}

static int add_calls(Build *b, PyObject *calls) {
  Program *p = b->program;
  b->segment->begin = b->step;
  b->segment->nt = 1;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(calls); i++) {
    PyObject *spec = PyTuple_GET_ITEM(calls, i);
    if (is_python(spec))
      next_segment(b, Py_NewRef(PyTuple_GET_ITEM(spec, 1)));
    else if (add_step(b, spec, i))
      return -1;
    p->n_segments = (int)(b->segment - p->segments); /* so far, for an error on the way */
  }
  b->segment->end = b->step;
  p->n_segments++;
  return 0;
}

/* how many of each there will be; -1: error set */
static int count(PyObject *calls, Py_ssize_t n[5]) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(calls); i++) {
    PyObject *spec = PyTuple_GET_ITEM(calls, i);
    Record r;
    if (is_python(spec)) {
      n[0]++;
      continue;
    }
    if (record(&r, spec, i)) return -1;
    n[1]++;
    n[2] += PyTuple_GET_SIZE(r.outs) + PyTuple_GET_SIZE(r.ins);
    n[3] += PyTuple_GET_SIZE(r.ints);
    n[4] += PyTuple_GET_SIZE(r.floats);
  }
  return 0;
}

static int ends(Build *b, PyObject *specs, const char *what, int writes) {
  Place at = {NULL, what, -1, 0};
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(specs); i++, at.index++) {
    if (PyTuple_GET_ITEM(specs, i) == Py_None) return fail(&at, "must not be None");
    if (operand(b->array++, PyTuple_GET_ITEM(specs, i), b->program->buffers, writes, &at)) return -1;
  }
  return 0;
}

int program_build(Program *p, PyObject *calls, PyObject *inputs, PyObject *outputs) {
  Py_ssize_t n[5] = {2, 0, PyTuple_GET_SIZE(inputs) + PyTuple_GET_SIZE(outputs), 0, 0}; /* one segment is a sentinel */
  if (count(calls, n)) return -1;
  size_t at[5] = {0}, bytes[5] = {sizeof(Segment), sizeof(Step), sizeof(Array), 8, 8}, total = 0;
  for (int i = 0; i < 5; total += (size_t)n[i] * bytes[i], i++) at[i] = total;
  if (!(p->memory = PyMem_Calloc(1, total))) return PyErr_NoMemory(), -1;
  char *m = p->memory;
  Build b = {p, (Segment *)m, (Step *)(m + at[1]), (Array *)(m + at[2]), (int64_t *)(m + at[3]), (double *)(m + at[4])};
  p->steps = b.step;
  p->segments = b.segment;
  p->inputs = b.array;
  p->n_inputs = (int)PyTuple_GET_SIZE(inputs);
  p->outputs = b.array + p->n_inputs;
  p->n_outputs = (int)PyTuple_GET_SIZE(outputs);
  p->n_steps = (int)n[1];
  if (ends(&b, inputs, "input", 1) || ends(&b, outputs, "output", 0) || add_calls(&b, calls)) return -1;
  return program_lay_out(p);
}
