// Integer matrix times vector, the hot loop of the context model: sum_c weights[r][c] * x[c] in int32 for every row r.
//
// All variants give the same integers: int16 products, int32 sums that the model's construction proved not to overflow
// in any order.
#pragma once
#include <cstdint>
#include <string>

namespace lfic {

// Columns and rows are padded with zeros to multiples of these.
inline constexpr int kPadColumns = 16, kPadRows = 4;

enum class Simd { automatic, scalar, avx2, neon };

// Of "auto", "scalar", "avx2", "neon"; throws InvalidInput for any other.
Simd simd_named(const std::string& name);

struct MatVec {
    // out[r] = sum + bias[r]
    void (*linear)(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int32_t* out);
    // out[r] = clamp((sum + bias[r]) >> shift, 0, 255)
    void (*hidden)(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int shift,
                   int16_t* out);
    const char* name;
};

// The variant for this machine, or the one that is asked for; throws InvalidInput where the machine lacks it.
MatVec matvec_for(Simd simd);

}  // namespace lfic
