#include "coder/matvec.hpp"

#include <cstddef>

#include "common/cpu.hpp"
#include "common/errors.hpp"

namespace lfic {
namespace {

inline int16_t squash(int32_t v, int shift) {
    v >>= shift;
    return static_cast<int16_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

inline int32_t dot_scalar(const int16_t* weights, int columns, const int16_t* x) {
    int32_t sum = 0;
    for (int c = 0; c < columns; ++c) sum += static_cast<int32_t>(weights[c]) * x[c];
    return sum;
}

void linear_scalar(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int32_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns) out[r] = dot_scalar(weights, columns, x) + bias[r];
}

void hidden_scalar(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int shift,
                   int16_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns)
        out[r] = squash(dot_scalar(weights, columns, x) + bias[r], shift);
}

#ifdef LFIC_AVX2
// Sums of four rows. vpmaddwd adds pairs of products: |w| <= 2047 and |x| <= 255 keep them far inside int32.
LFIC_AVX2 inline __m128i four_rows(const int16_t* weights, int columns, const int16_t* x) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    const std::ptrdiff_t step = columns;
    for (int k = 0; k < columns; k += kPadColumns, weights += kPadColumns) {
        const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + k));
        a = _mm256_add_epi32(a, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights))));
        b = _mm256_add_epi32(
            b, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + step))));
        c = _mm256_add_epi32(
            c, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 2 * step))));
        d = _mm256_add_epi32(
            d, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 3 * step))));
    }
    const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

LFIC_AVX2 void linear_avx2(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias,
                           int32_t* out) {
    for (int r = 0; r < rows; r += kPadRows, weights += kPadRows * static_cast<std::ptrdiff_t>(columns)) {
        const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bias + r));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + r), _mm_add_epi32(four_rows(weights, columns, x), b));
    }
}

LFIC_AVX2 void hidden_avx2(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias,
                           int shift, int16_t* out) {
    const __m128i count = _mm_cvtsi32_si128(shift), most = _mm_set1_epi16(255), zero = _mm_setzero_si128();
    for (int r = 0; r < rows; r += kPadRows, weights += kPadRows * static_cast<std::ptrdiff_t>(columns)) {
        const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bias + r));
        const __m128i v = _mm_sra_epi32(_mm_add_epi32(four_rows(weights, columns, x), b), count);
        const __m128i packed = _mm_min_epi16(_mm_max_epi16(_mm_packs_epi32(v, v), zero), most);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(out + r), packed);
    }
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

void linear_neon(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int32_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns) out[r] = dot_neon(weights, columns, x) + bias[r];
}

void hidden_neon(const int16_t* weights, int rows, int columns, const int16_t* x, const int32_t* bias, int shift,
                 int16_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns) out[r] = squash(dot_neon(weights, columns, x) + bias[r], shift);
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
    if (simd == Simd::scalar) return {linear_scalar, hidden_scalar, "scalar"};
#ifdef LFIC_AVX2
    if (simd != Simd::neon && has_avx2()) return {linear_avx2, hidden_avx2, "avx2"};
#endif
#ifdef LFIC_NEON
    if (simd != Simd::avx2) return {linear_neon, hidden_neon, "neon"};
#endif
    if (simd == Simd::automatic) return {linear_scalar, hidden_scalar, "scalar"};
    throw InvalidInput(std::string("this machine has no ") + (simd == Simd::avx2 ? "AVX2" : "NEON") +
                       "; simd='auto' takes what it has");
}

}  // namespace lfic
