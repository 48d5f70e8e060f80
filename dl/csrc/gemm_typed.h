/* All of the product for one type T of BITS bits; F(name) is the name with the type's suffix. */
#include "gemm_vec.h"

#include "gemm_micro.h"
#include "gemm_pack.h"
#include "gemm_block.h"
#include "gemm_dot.h"
#include "gemm_row.h"
#undef V
#undef W
#undef STEP
#undef ROW
#undef LANE
#undef LANES
#undef PART
