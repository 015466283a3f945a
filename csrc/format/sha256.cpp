#include "format/sha256.hpp"

#include <algorithm>

#include "common/cpu.hpp"

namespace lfic {
namespace {

alignas(16) constexpr uint32_t kRounds[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline constexpr uint32_t turned(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

void blocks_any(uint32_t* state, const uint8_t* data, std::size_t count) {
    for (; count; --count, data += 64) {
        uint32_t w[64];
        for (int i = 0; i < 16; ++i)
            w[i] = static_cast<uint32_t>(data[4 * i]) << 24 | static_cast<uint32_t>(data[4 * i + 1]) << 16 |
                   static_cast<uint32_t>(data[4 * i + 2]) << 8 | data[4 * i + 3];
        for (int i = 16; i < 64; ++i) {
            const uint32_t a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) +
                   (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        uint32_t s[8];
        std::copy(state, state + 8, s);
        for (int i = 0; i < 64; ++i) {
            const uint32_t e = s[4], a = s[0];
            const uint32_t one =
                s[7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + kRounds[i] + w[i];
            const uint32_t two =
                (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
            std::copy_backward(s, s + 7, s + 8);
            s[0] = one + two;
            s[4] += one;
        }
        for (int i = 0; i < 8; ++i) state[i] += s[i];
    }
}

#ifdef LFIC_SHA
// State and rounds in the order that the instructions want: a, b, e, f and c, d, g, h (Intel's "SHA extensions", 2013).
LFIC_SHA void blocks_sha(uint32_t* state, const uint8_t* data, std::size_t count) {
    const __m128i swap = _mm_set_epi64x(0x0C0D0E0F08090A0B, 0x0405060700010203);
    __m128i* const where = reinterpret_cast<__m128i*>(state);
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(where), 0xB1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(where + 1), 0x1B);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xF0);
    for (; count; --count, data += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
        for (int i = 0; i < 16; ++i) {
            __m128i& now = w[i & 3];
            if (i < 4) {
                now = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i), swap);
            } else {
                const __m128i last = w[(i + 3) & 3], sevenths = _mm_alignr_epi8(last, w[(i + 2) & 3], 4);
                now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, w[(i + 1) & 3]), sevenths), last);
            }
            const __m128i four = _mm_add_epi32(now, _mm_load_si128(reinterpret_cast<const __m128i*>(kRounds) + i));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, four);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(four, 0x0E));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(where, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(where + 1, _mm_alignr_epi8(dchg, feba, 8));
}
#endif

}  // namespace

void Sha256::blocks(const uint8_t* data, std::size_t count) {
#ifdef LFIC_SHA
    if (has_sha()) return blocks_sha(state_.data(), data, count);
#endif
    blocks_any(state_.data(), data, count);
}

void Sha256::add(const void* data, std::size_t size) {
    const uint8_t* from = static_cast<const uint8_t*>(data);
    std::size_t held = static_cast<std::size_t>(size_ % 64);
    size_ += size;
    while (size) {
        if (held == 0 && size >= 64) {
            const std::size_t whole = size / 64;
            blocks(from, whole);
            from += 64 * whole, size -= 64 * whole;
            continue;
        }
        const std::size_t part = std::min(size, 64 - held);
        std::copy(from, from + part, rest_.begin() + static_cast<std::ptrdiff_t>(held));
        from += part, size -= part, held += part;
        if (held == 64) {
            blocks(rest_.data(), 1);
            held = 0;
        }
    }
}

std::string Sha256::hex() {
    const uint64_t bits = size_ * 8;
    const uint8_t one = 0x80, zero = 0;
    add(&one, 1);
    while (size_ % 64 != 56) add(&zero, 1);
    uint8_t length[8];
    for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
    add(length, 8);
    std::string out;
    for (const uint32_t word : state_)
        for (int shift = 28; shift >= 0; shift -= 4) out += "0123456789abcdef"[word >> shift & 15];
    return out;
}

}  // namespace lfic
