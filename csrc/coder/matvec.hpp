// Integer matrix times vectors, the hot loop of the context model: sum_c weights[r][c] * x[v][c] in int32 for every row
// r and for one to four vectors v at once, so that weights are loaded once for all of them.
//
// All variants give the same integers: int16 products, int32 sums that the model's construction proved not to overflow
// in any order.
#pragma once
#include <cstddef>
#include <cstdint>
#include <new>
#include <string>
#include <vector>

namespace lfic {

// Columns and rows are padded with zeros to multiples of these.
inline constexpr int kPadColumns = 16, kPadRows = 16;
// So many vectors are multiplied at once.
inline constexpr int kVectors = 4;

constexpr int padded(int count, int to) {
    return (count + to - 1) / to * to;
}

// Vectors at the start of a cache line: a load that crosses two of them takes twice as long.
template <class T>
struct CacheLines {
    using value_type = T;
    static constexpr std::align_val_t kLine{64};
    CacheLines() = default;
    template <class U>
    CacheLines(const CacheLines<U>&) {}
    T* allocate(std::size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), kLine)); }
    void deallocate(T* p, std::size_t) { ::operator delete(p, kLine); }
    template <class U>
    bool operator==(const CacheLines<U>&) const {
        return true;
    }
    template <class U>
    bool operator!=(const CacheLines<U>&) const {
        return false;
    }
};
template <class T>
using Aligned = std::vector<T, CacheLines<T>>;

enum class Simd { automatic, scalar, avx2, neon };

// Of "auto", "scalar", "avx2", "neon"; throws InvalidInput for any other.
Simd simd_named(const std::string& name);

// Weights in the order in which a variant reads them; rows and columns are padded.
struct Matrix {
    int rows, columns;
    Aligned<int16_t> weights;
};

struct MatVec {
    // weights [rows, columns] -> the matrix
    Matrix (*pack)(const int16_t* weights, int rows, int columns);
    // out[v][r] = sum + bias[v][r] for 1 to kVectors vectors. All of x, bias and out are as long as the padded matrix.
    void (*linear)(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                   int32_t* const* out);
    // out[v][r] = clamp((sum + bias[v][r]) >> shift, 0, 255)
    void (*hidden)(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias, int shift,
                   int16_t* const* out);
    const char* name;
};

// The variant for this machine, or the one that is asked for; throws InvalidInput where the machine lacks it.
MatVec matvec_for(Simd simd);

}  // namespace lfic
