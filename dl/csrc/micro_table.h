/* The table of micro-operations. Python knows them by name, so new ones go anywhere; codes are places in this list. */
#ifndef MICRO_TABLE_H
#define MICRO_TABLE_H
#include "micro.h"

enum { SAME = -1 };

typedef struct {
  int8_t arity, result; /* result: a dtype, or SAME as the operands */
  Loop loop[4];         /* by dtype; NULL: not there */
} Micro;

#define FLOATS(op) {loop_##op##_f32, loop_##op##_f64, NULL, NULL}
#define NUMBERS(op) {loop_##op##_f32, loop_##op##_f64, loop_##op##_i64, NULL}
#define ALL(op) {loop_##op##_f32, loop_##op##_f64, loop_##op##_i64, loop_##op##_bool}

/* X(name, arity, result, dtypes) */
#define UNARY_OPS(X) \
  X(neg, 1, SAME, NUMBERS) X(abs, 1, SAME, NUMBERS) X(sign, 1, SAME, NUMBERS) X(square, 1, SAME, NUMBERS) \
  X(sqrt, 1, SAME, FLOATS) X(rsqrt, 1, SAME, FLOATS) X(reciprocal, 1, SAME, FLOATS) \
  X(exp, 1, SAME, FLOATS) X(expm1, 1, SAME, FLOATS) X(exp2, 1, SAME, FLOATS) X(log, 1, SAME, FLOATS) \
  X(log1p, 1, SAME, FLOATS) X(log2, 1, SAME, FLOATS) X(log10, 1, SAME, FLOATS) \
  X(sin, 1, SAME, FLOATS) X(cos, 1, SAME, FLOATS) X(tan, 1, SAME, FLOATS) \
  X(asin, 1, SAME, FLOATS) X(acos, 1, SAME, FLOATS) X(atan, 1, SAME, FLOATS) \
  X(sinh, 1, SAME, FLOATS) X(cosh, 1, SAME, FLOATS) X(tanh, 1, SAME, FLOATS) \
  X(asinh, 1, SAME, FLOATS) X(acosh, 1, SAME, FLOATS) X(atanh, 1, SAME, FLOATS) \
  X(sigmoid, 1, SAME, FLOATS) X(erf, 1, SAME, FLOATS) X(erfc, 1, SAME, FLOATS) X(relu, 1, SAME, FLOATS) \
  X(softplus, 1, SAME, FLOATS) X(gelu, 1, SAME, FLOATS) X(gelu_tanh, 1, SAME, FLOATS) X(silu, 1, SAME, FLOATS) \
  X(mish, 1, SAME, FLOATS) X(gelu_grad, 1, SAME, FLOATS) X(gelu_tanh_grad, 1, SAME, FLOATS) \
  X(silu_grad, 1, SAME, FLOATS) X(mish_grad, 1, SAME, FLOATS) \
  X(floor, 1, SAME, FLOATS) X(ceil, 1, SAME, FLOATS) X(round, 1, SAME, FLOATS) X(trunc, 1, SAME, FLOATS) \
  X(logical_not, 1, DL_BOOL, ALL) X(isfinite, 1, DL_BOOL, FLOATS) X(isnan, 1, DL_BOOL, FLOATS)

#define BINARY_OPS(X) \
  X(add, 2, SAME, NUMBERS) X(sub, 2, SAME, NUMBERS) X(mul, 2, SAME, NUMBERS) X(div, 2, SAME, FLOATS) \
  X(floor_divide, 2, SAME, NUMBERS) X(remainder, 2, SAME, NUMBERS) X(fmod, 2, SAME, FLOATS) \
  X(pow, 2, SAME, NUMBERS) X(maximum, 2, SAME, ALL) X(minimum, 2, SAME, ALL) \
  X(atan2, 2, SAME, FLOATS) X(hypot, 2, SAME, FLOATS) X(copysign, 2, SAME, FLOATS) \
  X(tanh_backward, 2, SAME, FLOATS) X(sigmoid_backward, 2, SAME, FLOATS) X(relu_backward, 2, SAME, FLOATS) \
  X(squared_difference, 2, SAME, FLOATS) \
  X(eq, 2, DL_BOOL, ALL) X(ne, 2, DL_BOOL, ALL) X(lt, 2, DL_BOOL, ALL) X(le, 2, DL_BOOL, ALL) \
  X(gt, 2, DL_BOOL, ALL) X(ge, 2, DL_BOOL, ALL) \
  X(logical_and, 2, DL_BOOL, ALL) X(logical_or, 2, DL_BOOL, ALL) X(logical_xor, 2, DL_BOOL, ALL)

#define OTHER_OPS(X) \
  X(where, 3, SAME, ALL) X(clip, 3, SAME, NUMBERS) X(mse_backward, 3, SAME, FLOATS) \
  X(to_f32, 1, DL_F32, ALL) X(to_f64, 1, DL_F64, ALL) X(to_i64, 1, DL_I64, ALL) X(to_bool, 1, DL_BOOL, ALL)

#define ROW(name, arity, result, dtypes) {arity, result, dtypes(name)},
static const Micro micro[] = {UNARY_OPS(ROW) BINARY_OPS(ROW) OTHER_OPS(ROW)};
_Static_assert(sizeof micro / sizeof *micro == N_MICRO_OPS, "N_MICRO_OPS in fused.h is the length of this table");

#define NAME(name, arity, result, dtypes) #name,
const char *const K(micro_ops)[] = {UNARY_OPS(NAME) BINARY_OPS(NAME) OTHER_OPS(NAME)};
int K(micro_op_accepts)(int code, int dtype) {
  return code >= 0 && code < N_MICRO_OPS && dtype >= 0 && dtype < 4 && micro[code].loop[dtype] != NULL;
}

int K(micro_op_arity)(int code) { return code >= 0 && code < N_MICRO_OPS ? micro[code].arity : 0; }

int K(micro_op_result_dtype)(int code, int dtype) {
  return code >= 0 && code < N_MICRO_OPS && micro[code].result != SAME ? micro[code].result : dtype;
}

#endif
