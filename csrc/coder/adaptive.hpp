// Bits whose probabilities adapt to what was coded, and the escape code that is made of them.
#pragma once
#include "coder/range_coder.hpp"

namespace lfic {

// Adaptive probability of a bit: the mean of a fast and a slow estimate (two-speed mixing, as in VVC's CABAC).
struct AdaptiveBit {
    static constexpr int kFraction = 8, kFast = 5, kSlow = 8;
    uint32_t fast = 1u << (15 + kFraction), slow = 1u << (15 + kFraction);  // P(1) in 2^-24

    static AdaptiveBit from(uint32_t p1) {
        const uint32_t p = p1 << kFraction;
        return {p, p};
    }
    // P(1) in 1/65536, 32..65504.
    uint32_t p1() const {
        const uint32_t p = (fast + slow) >> (1 + kFraction);
        return p < 32 ? 32 : p > 65504 ? 65504 : p;
    }
    void update(bool bit) {
        const uint32_t target = bit ? 0xFFFFFFu : 0u;
        fast = bit ? fast + ((target - fast) >> kFast) : fast - (fast >> kFast);
        slow = bit ? slow + ((target - slow) >> kSlow) : slow - (slow >> kSlow);
    }

    void encode(RangeEncoder& coder, bool bit) {
        coder.encode_bit(bit, p1());
        update(bit);
    }
    bool decode(RangeDecoder& coder) {
        const bool bit = coder.decode_bit(p1());
        update(bit);
        return bit;
    }
};

// One adaptive bit for each context.
class AdaptiveBits {
  public:
    // Start probabilities of a 1, in 1/65536; throws InvalidInput where there are none or one is not 1 to 65535.
    AdaptiveBits(const uint16_t* p1, std::size_t count);

    std::size_t count() const { return states_.size(); }
    const AdaptiveBit& operator[](std::size_t context) const { return states_[context]; }

    // Many bits (0, or anything else for 1), each with the context whose state codes it. Throw InvalidInput where a
    // context has no state. Index: uint8_t, int16_t or int32_t.
    template <class Index>
    void encode(RangeEncoder& coder, const uint8_t* bits, const Index* contexts, std::size_t count);
    template <class Index>
    void decode(RangeDecoder& coder, const Index* contexts, std::size_t count, uint8_t* bits);

  private:
    std::vector<AdaptiveBit> states_;
};

// Exp-Golomb code of order 0 with an adaptive unary prefix: values outside a table's support.
class EscapeCoder {
  public:
    static constexpr int kMaxBits = 34;  // any distance between two int32, doubled
    void encode(RangeEncoder& coder, uint64_t value);
    // Throws CorruptStream where the prefix is longer than kMaxBits.
    uint64_t decode(RangeDecoder& coder);

  private:
    AdaptiveBit prefix_[kMaxBits + 1];
};

}  // namespace lfic
