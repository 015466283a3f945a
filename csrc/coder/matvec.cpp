#include "coder/matvec.hpp"

#include <algorithm>
#include <cstring>

#include "common/compiler.hpp"
#include "common/cpu.hpp"
#include "common/errors.hpp"

namespace lfic {
namespace {

inline int16_t squash(int32_t v, int shift) {
    v >>= shift;
    return static_cast<int16_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// Rows one behind the other, zeros added.
Matrix pack_rows(const int16_t* weights, int rows, int columns) {
    Matrix out{padded(rows, kPadRows), padded(columns, kPadColumns), {}};
    out.weights.resize(static_cast<std::size_t>(out.rows) * out.columns, 0);
    for (int r = 0; r < rows; ++r)
        std::copy_n(weights + static_cast<std::ptrdiff_t>(r) * columns, columns,
                    out.weights.begin() + static_cast<std::ptrdiff_t>(r) * out.columns);
    return out;
}

// For matrices of pack_rows: store(v, r, sum + bias) for every row and vector.
template <class Dot, class Store>
LFIC_INLINE void row_by_row(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                            const Dot& dot, const Store& store) {
    const int16_t* weights = matrix.weights.data();
    for (int r = 0; r < matrix.rows; ++r, weights += matrix.columns)
        for (int v = 0; v < vectors; ++v) store(v, r, dot(weights, matrix.columns, x[v]) + bias[v][r]);
}

inline int32_t dot_scalar(const int16_t* weights, int columns, const int16_t* x) {
    int32_t sum = 0;
    for (int c = 0; c < columns; ++c) sum += static_cast<int32_t>(weights[c]) * x[c];
    return sum;
}

void linear_scalar(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                   int32_t* const* out) {
    row_by_row(matrix, vectors, x, bias, dot_scalar, [&](int v, int r, int32_t sum) { out[v][r] = sum; });
}

void hidden_scalar(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias, int shift,
                   int16_t* const* out) {
    row_by_row(matrix, vectors, x, bias, dot_scalar,
               [&](int v, int r, int32_t sum) { out[v][r] = squash(sum, shift); });
}

#ifdef LFIC_AVX2
constexpr int kLanes32 = 8;       // int32 in a vector
constexpr int kPairBytes = 4;     // two columns of x
constexpr int kVectorBytes = 32;  // eight rows of two columns

// Blocks of 8 rows; in a block pairs of columns; of a pair a vector of 8 rows x 2 columns. vpmaddwd of such a vector
// with the pair of x in every lane gives 8 rows' sums: nothing has to be added across lanes in the end.
Matrix pack_avx2(const int16_t* weights, int rows, int columns) {
    Matrix out{padded(rows, kPadRows), padded(columns, kPadColumns), {}};
    out.weights.resize(static_cast<std::size_t>(out.rows) * out.columns, 0);
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) {
            const std::size_t block = static_cast<std::size_t>(r / kLanes32) * kLanes32 * out.columns;
            out.weights[block + static_cast<std::size_t>(c / 2) * 2 * kLanes32 + r % kLanes32 * 2 + c % 2] =
                weights[static_cast<std::ptrdiff_t>(r) * columns + c];
        }
    return out;
}

// sum += w . x. In assembly, as GCC otherwise begins all products of a loop before it adds any, which takes more
// registers than there are.
LFIC_AVX2 LFIC_INLINE void multiply_add(__m256i& sum, __m256i w, __m256i x) {
    __m256i products;
    asm("vpmaddwd %[x], %[w], %[products]\n\tvpaddd %[products], %[sum], %[sum]"
        : [sum] "+x"(sum), [products] "=&x"(products)
        : [w] "x"(w), [x] "x"(x));
}

LFIC_AVX2 LFIC_INLINE __m256i pair_at(const char* x) {
    int32_t pair;
    std::memcpy(&pair, x, sizeof pair);
    return _mm256_set1_epi32(pair);
}

// sums += those of kBlocks x 8 rows and kCount vectors over the pairs of columns that are listed. |w| <= 2047 and
// |x| <= 255 keep sums of two products far inside int32.
template <int kBlocks, int kCount>
LFIC_AVX2 LFIC_INLINE void tile(const int16_t* weights, std::ptrdiff_t block, const uint16_t* pairs, int count,
                                const int16_t* const* x, __m256i (&sums)[kBlocks][kCount]) {
    const char* w[kBlocks];
    const char* from[kCount];
    for (int b = 0; b < kBlocks; ++b) w[b] = reinterpret_cast<const char*>(weights + b * block);
    for (int v = 0; v < kCount; ++v) from[v] = reinterpret_cast<const char*>(x[v]);
    for (int p = 0; p < count; ++p) {
        const std::ptrdiff_t at = pairs[p];
        __m256i many[kCount];
        for (int v = 0; v < kCount; ++v) many[v] = pair_at(from[v] + at);
        for (int b = 0; b < kBlocks; ++b) {
            const void* rows = w[b] + at * (kVectorBytes / kPairBytes);
            const __m256i row = _mm256_load_si256(static_cast<const __m256i*>(rows));
            for (int v = 0; v < kCount; ++v) multiply_add(sums[b][v], row, many[v]);
        }
    }
}

// Stores of 16 rows' sums with their biases.
struct Linear {
    int32_t* const* out;
    LFIC_AVX2 LFIC_INLINE void operator()(int v, int r, __m256i low, __m256i high) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[v] + r), low);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[v] + r + kLanes32), high);
    }
};
struct Hidden {
    int16_t* const* out;
    __m128i shift;
    LFIC_AVX2 LFIC_INLINE void operator()(int v, int r, __m256i low, __m256i high) const {
        const __m256i packed = _mm256_packs_epi32(_mm256_sra_epi32(low, shift), _mm256_sra_epi32(high, shift));
        const __m256i squashed = _mm256_min_epi16(_mm256_max_epi16(packed, _mm256_setzero_si256()),  //
                                                  _mm256_set1_epi16(255));
        // packs works in halves: their quarters change places.
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out[v] + r), _mm256_permute4x64_epi64(squashed, 0xD8));
    }
};

// The rows from `r` on, kBlocks x 8 at once, while there are so many; returns the first that is left.
template <int kBlocks, int kCount, class Store>
LFIC_AVX2 LFIC_INLINE int tiles(const Matrix& matrix, int r, const uint16_t* pairs, int count, const int16_t* const* x,
                                const int32_t* const* bias, const Store& store) {
    const std::ptrdiff_t block = static_cast<std::ptrdiff_t>(kLanes32) * matrix.columns;
    for (; r + kBlocks * kLanes32 <= matrix.rows; r += kBlocks * kLanes32) {
        __m256i sums[kBlocks][kCount];
        for (int b = 0; b < kBlocks; ++b)
            for (int v = 0; v < kCount; ++v)
                sums[b][v] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias[v] + r) + b);
        tile<kBlocks, kCount>(matrix.weights.data() + r / kLanes32 * block, block, pairs, count, x, sums);
        for (int b = 0; b < kBlocks; b += 2)
            for (int v = 0; v < kCount; ++v) store(v, r + b * kLanes32, sums[b][v], sums[b + 1][v]);
    }
    return r;
}

// Few vectors take more rows at once: eight or so sums keep the multipliers busy.
template <class Store>
LFIC_AVX2 LFIC_INLINE void all_rows(const Matrix& matrix, int vectors, const uint16_t* pairs, int count,
                                    const int16_t* const* x, const int32_t* const* bias, const Store& store) {
    if (vectors == 4) {
        tiles<2, 4>(matrix, 0, pairs, count, x, bias, store);
    } else if (vectors == 3) {
        tiles<2, 3>(matrix, 0, pairs, count, x, bias, store);
    } else if (vectors == 2) {
        tiles<2, 2>(matrix, tiles<4, 2>(matrix, 0, pairs, count, x, bias, store), pairs, count, x, bias, store);
    } else {
        tiles<2, 1>(matrix, tiles<8, 1>(matrix, 0, pairs, count, x, bias, store), pairs, count, x, bias, store);
    }
}

constexpr int kMostPairs = 2048;  // of 4 x 1024 columns, the most that a context model has

// Of every byte where the pairs of its bits that are set stand, and how many they are.
struct Bits {
    uint8_t places[256][8], count[256];
};
constexpr Bits bits_of_bytes() {
    Bits out{};
    for (int byte = 0; byte < 256; ++byte)
        for (int bit = 0; bit < 8; ++bit)
            if (byte >> bit & 1) out.places[byte][out.count[byte]++] = static_cast<uint8_t>(bit * kPairBytes);
    return out;
}
alignas(64) constexpr Bits kBits = bits_of_bytes();

// Where the pairs of columns stand (bytes) that are not zero in all vectors: most context values are, and a third of
// the hidden units. Writes up to 8 entries past the end.
LFIC_AVX2 int list_pairs(int columns, int vectors, const int16_t* const* x, uint16_t* pairs) {
    int count = 0;
    for (int c = 0; c < columns; c += 16) {
        __m256i any = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[0] + c));
        for (int v = 1; v < vectors; ++v)
            any = _mm256_or_si256(any, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x[v] + c)));
        const __m256i zero = _mm256_cmpeq_epi32(any, _mm256_setzero_si256());
        const int found = _mm256_movemask_ps(_mm256_castsi256_ps(zero)) ^ 255;
        const __m128i places = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(kBits.places[found]));
        const __m128i first = _mm_set1_epi16(static_cast<int16_t>(c / 2 * kPairBytes));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(pairs + count), _mm_add_epi16(_mm_cvtepu8_epi16(places), first));
        count += kBits.count[found];
    }
    return count;
}

LFIC_AVX2 void linear_avx2(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                           int32_t* const* out) {
    uint16_t pairs[kMostPairs + 8];
    const int count = list_pairs(matrix.columns, vectors, x, pairs);
    all_rows(matrix, vectors, pairs, count, x, bias, Linear{out});
}

LFIC_AVX2 void hidden_avx2(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                           int shift, int16_t* const* out) {
    uint16_t pairs[kMostPairs + 8];
    const int count = list_pairs(matrix.columns, vectors, x, pairs);
    all_rows(matrix, vectors, pairs, count, x, bias, Hidden{out, _mm_cvtsi32_si128(shift)});
}
#endif

#ifdef LFIC_NEON
inline int32_t dot_neon(const int16_t* weights, int columns, const int16_t* x) {
    int32x4_t a = vdupq_n_s32(0), b = a;
    for (int k = 0; k < columns; k += 8) {
        const int16x8_t v = vld1q_s16(x + k), w = vld1q_s16(weights + k);
        a = vmlal_s16(a, vget_low_s16(v), vget_low_s16(w));
        b = vmlal_high_s16(b, v, w);
    }
    return vaddvq_s32(vaddq_s32(a, b));
}

void linear_neon(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias,
                 int32_t* const* out) {
    row_by_row(matrix, vectors, x, bias, dot_neon, [&](int v, int r, int32_t sum) { out[v][r] = sum; });
}

void hidden_neon(const Matrix& matrix, int vectors, const int16_t* const* x, const int32_t* const* bias, int shift,
                 int16_t* const* out) {
    row_by_row(matrix, vectors, x, bias, dot_neon, [&](int v, int r, int32_t sum) { out[v][r] = squash(sum, shift); });
}
#endif

}  // namespace

Simd simd_named(const std::string& name) {
    if (name == "auto") return Simd::automatic;
    if (name == "scalar") return Simd::scalar;
    if (name == "avx2") return Simd::avx2;
    if (name == "neon") return Simd::neon;
    throw InvalidInput("simd is '" + name + "'; allowed are auto, scalar, avx2, neon");
}

MatVec matvec_for(Simd simd) {
    if (simd == Simd::scalar) return {pack_rows, linear_scalar, hidden_scalar, "scalar"};
#ifdef LFIC_AVX2
    if (simd != Simd::neon && has_avx2()) return {pack_avx2, linear_avx2, hidden_avx2, "avx2"};
#endif
#ifdef LFIC_NEON
    if (simd != Simd::avx2) return {pack_rows, linear_neon, hidden_neon, "neon"};
#endif
    if (simd == Simd::automatic) return {pack_rows, linear_scalar, hidden_scalar, "scalar"};
    throw InvalidInput(std::string("this machine has no ") + (simd == Simd::avx2 ? "AVX2" : "NEON") +
                       "; simd='auto' takes what it has");
}

}  // namespace lfic
