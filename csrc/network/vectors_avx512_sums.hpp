// Sums of 512 bits for kernels_body.hpp, after vectors_avx2.hpp.

using Sums = __m512i;
using Weights = __m512i;
using Pair = __m512i;
inline constexpr int kPixels = 10, kPanels = 2, kSums = 1, kHalves = 1;
inline constexpr int kOrder[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

LFIC_TARGET LFIC_INLINE Sums load_sums(const std::int32_t* p) {
    return _mm512_loadu_si512(p);
}
LFIC_TARGET LFIC_INLINE void load_weights(const std::int16_t* p, Weights* w) {
    *w = _mm512_loadu_si512(p);
}
LFIC_TARGET LFIC_INLINE Pair load_pair(const std::int16_t* p) {
    std::int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return _mm512_set1_epi32(pair);
}
LFIC_TARGET LFIC_INLINE Sums dot(Sums sums, Weights w, Pair x) {
    return _mm512_dpwssd_epi32(sums, w, x);
}
LFIC_TARGET LFIC_INLINE void narrow(const Sums* sums, const std::int32_t* shift, I16* out) {
    *out = _mm512_cvtsepi32_epi16(_mm512_srav_epi32(*sums, _mm512_loadu_si512(shift)));
}
