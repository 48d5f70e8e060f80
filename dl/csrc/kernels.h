/* The table of kernels: one instance per instruction set, all from kernels.c. */
#ifndef DL_KERNELS_H
#define DL_KERNELS_H
#include <stddef.h>

typedef struct {
  const char *name;
  void (*axpy_f32)(size_t n, float a, const float *x, const float *y, float *out);
  void (*axpy_f64)(size_t n, double a, const double *x, const double *y, double *out);
} Kernels;

extern const Kernels kernels_base;
#ifdef HAVE_X86_ISA
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

#endif
