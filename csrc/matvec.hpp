// Integer matrix times vector, the one hot loop of the context model: out[r] = sum_c weights[r][c] * x[c] in int32.
//
// All variants give the same integers: int16 products, int32 sums that the model's construction proved not to overflow.
#pragma once
#include <cstdint>

namespace lfic {

inline constexpr int kLane = 16;  // columns are padded with zeros to a multiple of this

enum class Simd { automatic, scalar, avx2, neon };

using MatVec = void (*)(const int16_t* weights, int rows, int columns, const int16_t* x, int32_t* out);

// The variant for this machine, or the one that is asked for; throws InvalidInput where the machine lacks it.
MatVec matvec_for(Simd simd);

}  // namespace lfic
