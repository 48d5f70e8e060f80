/* Kernels, written once and compiled for each instruction set (ISA is set by CMake). The twin of each is in
 * dl/reference.py. No allocation, no Python. */
#include "kernels.h"

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)
#define TEXT2(a) #a
#define TEXT(a) TEXT2(a)

#define DEFINE_AXPY(suffix, T)                                                                        \
  static void axpy_##suffix(size_t n, T a, const T *restrict x, const T *restrict y, T *restrict out) { \
    for (size_t i = 0; i < n; i++) out[i] = a * x[i] + y[i];                                          \
  }

DEFINE_AXPY(f32, float)
DEFINE_AXPY(f64, double)

const Kernels PASTE(kernels, ISA) = {TEXT(ISA), axpy_f32, axpy_f64};
