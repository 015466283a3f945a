// Vectors of 256 bits for kernels_body.hpp. LFIC_DOT: the two steps of a dot product, or the one that VNNI has.

using I16 = __m256i;
using Half = __m128i;
struct Spread {
    __m256i low, high;
};
inline constexpr int kLanes = 16;
inline constexpr int kDepthwiseOrder[16] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};

LFIC_TARGET LFIC_INLINE I16 splat16(int x) {
    return _mm256_set1_epi16(static_cast<short>(x));
}
LFIC_TARGET LFIC_INLINE I16 load16(const std::int16_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
LFIC_TARGET LFIC_INLINE void store16(std::int16_t* p, I16 x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
}
LFIC_TARGET LFIC_INLINE I16 abs16(I16 x) {
    return _mm256_abs_epi16(x);
}
LFIC_TARGET LFIC_INLINE I16 min16(I16 a, I16 b) {
    return _mm256_min_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 max16(I16 a, I16 b) {
    return _mm256_max_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 and16(I16 a, I16 b) {
    return _mm256_and_si256(a, b);
}
LFIC_TARGET LFIC_INLINE I16 add16(I16 a, I16 b) {
    return _mm256_add_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 subtract16(I16 a, I16 b) {
    return _mm256_sub_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 add_saturated(I16 a, I16 b) {
    return _mm256_adds_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 shift_left(I16 x, int bits) {
    return _mm256_sll_epi16(x, _mm_cvtsi32_si128(bits));
}
LFIC_TARGET LFIC_INLINE I16 shift_right(I16 x, int bits) {
    return _mm256_sra_epi16(x, _mm_cvtsi32_si128(bits));
}
LFIC_TARGET LFIC_INLINE I16 multiply_round(I16 a, I16 b) {
    return _mm256_mulhrs_epi16(a, b);
}
LFIC_TARGET LFIC_INLINE I16 lookup(const std::int16_t* table, I16 index) {
    const I16 all = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table)));
    const I16 bytes = add16(_mm256_mullo_epi16(index, splat16(0x0202)), splat16(0x0100));
    return _mm256_shuffle_epi8(all, bytes);
}
LFIC_TARGET LFIC_INLINE __m256i load_words(const std::int32_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
LFIC_TARGET LFIC_INLINE void load_spread(const std::int32_t* p, Spread& sums) {
    sums = {load_words(p), load_words(p + 8)};
}
LFIC_TARGET LFIC_INLINE void dot_spread(Spread& sums, I16 a, I16 b, const std::int16_t* w) {
    sums.low = LFIC_DOT(sums.low, load16(w), _mm256_unpacklo_epi16(a, b));
    sums.high = LFIC_DOT(sums.high, load16(w + 16), _mm256_unpackhi_epi16(a, b));
}
LFIC_TARGET LFIC_INLINE I16 narrow_spread(const Spread& sums, const std::int32_t* shift) {
    return _mm256_packs_epi32(_mm256_srav_epi32(sums.low, load_words(shift)),
                              _mm256_srav_epi32(sums.high, load_words(shift + 8)));
}
