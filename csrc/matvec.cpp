#include "matvec.hpp"

#include "errors.hpp"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define LFIC_X86 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define LFIC_NEON 1
#endif

namespace lfic {

static void matvec_scalar(const int16_t* weights, int rows, int columns, const int16_t* x, int32_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns) {
        int32_t sum = 0;
        for (int c = 0; c < columns; ++c) sum += static_cast<int32_t>(weights[c]) * x[c];
        out[r] = sum;
    }
}

#ifdef LFIC_X86
__attribute__((target("avx2"))) static int32_t sum8(__m256i v) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
    return _mm_cvtsi128_si32(s);
}

__attribute__((target("avx2"))) static void matvec_avx2(const int16_t* weights, int rows, int columns, const int16_t* x, int32_t* out) {
    int r = 0;
    for (; r + 4 <= rows; r += 4, weights += 4 * columns) {
        __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
        for (int k = 0; k < columns; k += kLane) {
            const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + k));
            const int16_t* w = weights + k;
            a = _mm256_add_epi32(a, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w))));
            b = _mm256_add_epi32(b, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + columns))));
            c = _mm256_add_epi32(c, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 2 * columns))));
            d = _mm256_add_epi32(d, _mm256_madd_epi16(v, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + 3 * columns))));
        }
        const __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
        const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + r), four);
    }
    for (; r < rows; ++r, weights += columns) {
        __m256i a = _mm256_setzero_si256();
        for (int k = 0; k < columns; k += kLane)
            a = _mm256_add_epi32(a, _mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + k)),
                                                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + k))));
        out[r] = sum8(a);
    }
}
#endif

#ifdef LFIC_NEON
static void matvec_neon(const int16_t* weights, int rows, int columns, const int16_t* x, int32_t* out) {
    for (int r = 0; r < rows; ++r, weights += columns) {
        int32x4_t a = vdupq_n_s32(0), b = a;
        for (int k = 0; k < columns; k += 8) {
            const int16x8_t v = vld1q_s16(x + k), w = vld1q_s16(weights + k);
            a = vmlal_s16(a, vget_low_s16(v), vget_low_s16(w));
            b = vmlal_high_s16(b, v, w);
        }
        out[r] = vaddvq_s32(vaddq_s32(a, b));
    }
}
#endif

MatVec matvec_for(Simd simd) {
    if (simd == Simd::scalar) return matvec_scalar;
#ifdef LFIC_X86
    if (__builtin_cpu_supports("avx2") && simd != Simd::neon) return matvec_avx2;
#endif
#ifdef LFIC_NEON
    if (simd != Simd::avx2) return matvec_neon;
#endif
    if (simd == Simd::automatic) return matvec_scalar;
    throw InvalidInput("this machine does not have the SIMD level that was asked for");
}

}  // namespace lfic
