#include "coder/lockstep.hpp"

#include <algorithm>

#include "common/cpu.hpp"

namespace lfic {

#ifdef LFIC_AVX2
namespace {

#define LFIC_VECTOR LFIC_AVX2 LFIC_INLINE

LFIC_VECTOR __m256i load(const void* from) {
    return _mm256_load_si256(static_cast<const __m256i*>(from));
}
LFIC_VECTOR void store(void* to, __m256i v) {
    _mm256_store_si256(static_cast<__m256i*>(to), v);
}
LFIC_VECTOR __m256i same(uint64_t v) {
    return _mm256_set1_epi64x(static_cast<int64_t>(v));
}

// unit * f for units below 2^48 and f below 2^16 in the lower halves of their lanes; `upper` is unit >> 32.
LFIC_VECTOR __m256i product(__m256i unit, __m256i upper, __m256i f) {
    return _mm256_add_epi64(_mm256_mul_epu32(unit, f), _mm256_slli_epi64(_mm256_mul_epu32(upper, f), 32));
}
// a > b, unsigned
LFIC_VECTOR __m256i above_of(__m256i a, __m256i b) {
    const __m256i sign = same(uint64_t{1} << 63);
    return _mm256_cmpgt_epi64(_mm256_xor_si256(a, sign), _mm256_xor_si256(b, sign));
}
LFIC_VECTOR unsigned lanes_of(__m256i mask) {
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(mask)));
}

// RangeDecoder::try_near in four lanes; see there.
template <class Index>
LFIC_AVX2 void decode(const Tables& tables, const Lane<Index>* lanes) {
    const char* rows = reinterpret_cast<const char*>(tables.near());
    RangeDecoder coders[kLanes] = {{lanes[0].data, lanes[0].size},
                                   {lanes[1].data, lanes[1].size},
                                   {lanes[2].data, lanes[2].size},
                                   {lanes[3].data, lanes[3].size}};
    EscapeCoder escapes[kLanes];
    const Index *x0 = lanes[0].indexes, *x1 = lanes[1].indexes, *x2 = lanes[2].indexes, *x3 = lanes[3].indexes;
    int32_t *s0 = lanes[0].symbols, *s1 = lanes[1].symbols, *s2 = lanes[2].symbols, *s3 = lanes[3].symbols;
    const std::size_t together =
        std::min(std::min(lanes[0].count, lanes[1].count), std::min(lanes[2].count, lanes[3].count));
    const __m256i lane = _mm256_set_epi64x(3, 2, 1, 0), zero = _mm256_setzero_si256(), one = same(1);
    alignas(32) uint64_t codes[kLanes], ranges[kLanes];
    alignas(32) int64_t symbols[kLanes];
    for (std::size_t k = 0; k < kLanes; ++k) {
        codes[k] = coders[k].code();
        ranges[k] = coders[k].range();
    }
    __m256i code = load(codes), range = load(ranges);
    for (std::size_t i = 0; i < together; ++i) {
        // Rows are (mode, split), (below, above), (symbol, under), ...: pairs of 32 bits, turned so that a lane is a
        // stream.
        const __m256i r0 = load(rows + Tables::kRow * static_cast<std::size_t>(x0[i])),
                      r1 = load(rows + Tables::kRow * static_cast<std::size_t>(x1[i]));
        const __m256i r2 = load(rows + Tables::kRow * static_cast<std::size_t>(x2[i])),
                      r3 = load(rows + Tables::kRow * static_cast<std::size_t>(x3[i]));
        const __m256i even01 = _mm256_unpacklo_epi64(r0, r1), even23 = _mm256_unpacklo_epi64(r2, r3);
        const __m256i first = _mm256_permute2x128_si256(even01, even23, 0x20),
                      third = _mm256_permute2x128_si256(even01, even23, 0x31);
        const __m256i second =
            _mm256_permute2x128_si256(_mm256_unpackhi_epi64(r0, r1), _mm256_unpackhi_epi64(r2, r3), 0x20);

        const __m256i unit = _mm256_srli_epi64(range, kPrecision), upper = _mm256_srli_epi64(range, kPrecision + 32);
        const __m256i mode = product(unit, upper, first), split = product(unit, upper, _mm256_srli_epi64(first, 32));
        const __m256i below = product(unit, upper, second), above = product(unit, upper, _mm256_srli_epi64(second, 32));
        const __m256i is_mode = above_of(mode, code), is_lower = above_of(split, code);  // the mode is lower, too
        const __m256i width = _mm256_blendv_epi8(above, _mm256_blendv_epi8(below, mode, is_mode), is_lower);
        const __m256i low =
            _mm256_blendv_epi8(split, _mm256_andnot_si256(is_mode, _mm256_sub_epi64(split, below)), is_lower);
        // 1, less 2 if it is lower, and 1 more if it is the mode; masks are -1.
        const __m256i step = _mm256_sub_epi32(_mm256_add_epi32(one, _mm256_add_epi32(is_lower, is_lower)), is_mode);
        store(symbols, _mm256_add_epi32(third, step));

        const __m256i next = _mm256_sub_epi64(code, low);
        unsigned far = lanes_of(above_of(width, next)) ^ 15;
        if (LFIC_UNLIKELY(far)) {
            store(codes, code);
            store(ranges, range);
        }
        code = next;
        range = width;
        for (; LFIC_UNLIKELY(far); far &= far - 1) {
            const int k = __builtin_ctz(far);
            coders[k].resume(codes[k], ranges[k]);
            symbols[k] = tables.decode_far(coders[k], escapes[k], static_cast<uint32_t>(lanes[k].indexes[i]));
            const __m256i here = _mm256_cmpeq_epi64(lane, same(static_cast<uint64_t>(k)));
            code = _mm256_blendv_epi8(code, same(coders[k].code()), here);
            range = _mm256_blendv_epi8(range, same(coders[k].range()), here);
        }
        s0[i] = static_cast<int32_t>(symbols[0]);
        s1[i] = static_cast<int32_t>(symbols[1]);
        s2[i] = static_cast<int32_t>(symbols[2]);
        s3[i] = static_cast<int32_t>(symbols[3]);

        const __m256i small = _mm256_cmpeq_epi64(_mm256_srli_epi64(range, 32), zero);
        unsigned renewed = lanes_of(small);
        if (LFIC_UNLIKELY(renewed)) {
            const __m256i shift = _mm256_and_si256(small, same(32));
            code = _mm256_sllv_epi64(code, shift);
            range = _mm256_sllv_epi64(range, shift);
            for (; renewed; renewed &= renewed - 1) {
                const int k = __builtin_ctz(renewed);
                const __m256i here = _mm256_cmpeq_epi64(lane, same(static_cast<uint64_t>(k)));
                code = _mm256_or_si256(code, _mm256_and_si256(here, same(coders[k].word())));
            }
        }
    }
    store(codes, code);
    store(ranges, range);
    for (std::size_t k = 0; k < kLanes; ++k) {
        RangeDecoder& coder = coders[k];
        coder.resume(codes[k], ranges[k]);
        for (std::size_t i = together; i < lanes[k].count; ++i)
            lanes[k].symbols[i] = tables.decode(coder, escapes[k], static_cast<uint32_t>(lanes[k].indexes[i]));
        coder.check_end();
    }
}

}  // namespace
#endif

bool has_lockstep() {
    return has_avx2();
}

template <class Index>
void decode_lockstep(const Tables& tables, const Lane<Index>* lanes) {
    if (!has_lockstep()) throw InvalidInput("this machine decodes no streams in lock-step");
#ifdef LFIC_AVX2
    decode(tables, lanes);
#else
    (void)tables, (void)lanes;
#endif
}

template void decode_lockstep(const Tables&, const Lane<uint8_t>*);
template void decode_lockstep(const Tables&, const Lane<int16_t>*);
template void decode_lockstep(const Tables&, const Lane<int32_t>*);

}  // namespace lfic
