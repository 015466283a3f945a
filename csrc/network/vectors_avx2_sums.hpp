// Sums of 256 bits for kernels_body.hpp, after vectors_avx2.hpp.

using Sums = __m256i;
using Weights = __m256i;
using Pair = __m256i;
inline constexpr int kPixels = 6, kPanels = 1, kSums = 2, kHalves = 1;
inline constexpr const int* kOrder = kDepthwiseOrder;

LFIC_TARGET LFIC_INLINE Sums load_sums(const std::int32_t* p) {
    return load_words(p);
}
LFIC_TARGET LFIC_INLINE void load_weights(const std::int16_t* p, Weights* w) {
    w[0] = load16(p);
    w[1] = load16(p + 16);
}
LFIC_TARGET LFIC_INLINE Pair load_pair(const std::int16_t* p) {
    std::int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return _mm256_set1_epi32(pair);
}
LFIC_TARGET LFIC_INLINE Sums dot(Sums sums, Weights w, Pair x) {
    return LFIC_DOT(sums, w, x);
}
LFIC_TARGET LFIC_INLINE void narrow(const Sums* sums, const std::int32_t* shift, I16* out) {
    *out = _mm256_packs_epi32(_mm256_srav_epi32(sums[0], load_words(shift)),
                              _mm256_srav_epi32(sums[1], load_words(shift + 8)));
}
