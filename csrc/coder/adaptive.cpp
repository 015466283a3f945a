#include "coder/adaptive.hpp"

namespace lfic {

AdaptiveBits::AdaptiveBits(const uint16_t* p1, std::size_t count) {
    if (count == 0) throw InvalidInput("p1 is empty; at least one context is needed");
    states_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) states_.push_back(AdaptiveBit::from(checked_probability(p1[i])));
}

template <class Index>
static void check_contexts(const Index* contexts, std::size_t count, std::size_t limit) {
    for (std::size_t i = 0; i < count; ++i)
        if (static_cast<uint32_t>(contexts[i]) >= limit)
            throw InvalidInput("contexts[" + std::to_string(i) + "] is " + std::to_string(contexts[i]) +
                               "; allowed are 0 to " + std::to_string(limit - 1));
}

template <class Index>
void AdaptiveBits::encode(RangeEncoder& coder, const uint8_t* bits, const Index* contexts, std::size_t count) {
    check_contexts(contexts, count, states_.size());
    for (std::size_t i = 0; i < count; ++i) states_[contexts[i]].encode(coder, bits[i] != 0);
}

template <class Index>
void AdaptiveBits::decode(RangeDecoder& coder, const Index* contexts, std::size_t count, uint8_t* bits) {
    check_contexts(contexts, count, states_.size());
    for (std::size_t i = 0; i < count; ++i) bits[i] = states_[contexts[i]].decode(coder);
}

#define LFIC_INSTANTIATE(Index)                                                                   \
    template void AdaptiveBits::encode(RangeEncoder&, const uint8_t*, const Index*, std::size_t); \
    template void AdaptiveBits::decode(RangeDecoder&, const Index*, std::size_t, uint8_t*);
LFIC_INSTANTIATE(uint8_t)
LFIC_INSTANTIATE(int16_t)
LFIC_INSTANTIATE(int32_t)
#undef LFIC_INSTANTIATE

void EscapeCoder::encode(RangeEncoder& coder, uint64_t value) {
    const uint64_t shifted = value + 1;
    int bits = 0;
    while (shifted >> (bits + 1)) ++bits;
    for (int i = 0; i < bits; ++i) prefix_[i].encode(coder, true);
    prefix_[bits].encode(coder, false);
    for (int left = bits; left > 0;) {
        const int chunk = left > 16 ? 16 : left;
        left -= chunk;
        coder.encode_bypass(static_cast<uint32_t>(shifted >> left & ((1u << chunk) - 1)), chunk);
    }
}

uint64_t EscapeCoder::decode(RangeDecoder& coder) {
    int bits = 0;
    while (prefix_[bits].decode(coder))
        if (++bits > kMaxBits)
            throw CorruptStream("an escape prefix is longer than " + std::to_string(kMaxBits) + " bits",
                                coder.position());
    uint64_t shifted = 1;
    for (int left = bits; left > 0;) {
        const int chunk = left > 16 ? 16 : left;
        left -= chunk;
        shifted = shifted << chunk | coder.decode_bypass(chunk);
    }
    return shifted - 1;
}

}  // namespace lfic
