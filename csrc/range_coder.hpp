// Range coder: carry propagation, 32-bit range, 64-bit low, 16-bit probabilities, 16-bit words out.
//
// Read me first. The encoder holds an interval [low, low + range) inside a window of 32 bits; symbol s of a table with
// cumulative frequencies C (C[0] = 0, C[last] = 65536) narrows it to
//
//     [low + (range * C[s] >> 16),  low + (range * C[s + 1] >> 16))
//
// Both ends are floors of exact 64-bit products: nothing is lost to a truncated range / 65536. Once range < 65536 the
// upper half of the window leaves as one big-endian word (carries run back through the words already written) and
// range grows by 16 bits. As every frequency is at least 1, range is then at least 65536 again: one step suffices.
//
// At the end the encoder picks the number in [low, low + range) with the most trailing zero bytes and drops those; the
// decoder reads zeros past the end. So an all-probable stream may well be empty.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "errors.hpp"

namespace lfic {

inline constexpr int kPrecision = 16;
inline constexpr uint32_t kTotal = 1u << kPrecision;

class RangeEncoder {
public:
    // Appends to `out`; what stands there before is left alone.
    explicit RangeEncoder(std::vector<uint8_t>& out) : out_(out), begin_(out.size()) {}

    // Narrow to [cum, cum + freq) of 65536; freq >= 1.
    void encode(uint32_t cum, uint32_t freq) {
        const uint64_t range = range_;
        const uint32_t start = static_cast<uint32_t>(range * cum >> kPrecision);
        const uint32_t end = static_cast<uint32_t>(range * (cum + freq) >> kPrecision);
        low_ += start;
        range_ = end - start;
        if (range_ < kTotal) shift();
    }

    // A bit whose probability of being 1 is p1 / 65536, 1 <= p1 <= 65535. Ones take the lower part.
    void encode_bit(bool bit, uint32_t p1) {
        const uint32_t split = static_cast<uint32_t>(static_cast<uint64_t>(range_) * p1 >> kPrecision);
        if (bit) {
            range_ = split;
        } else {
            low_ += split;
            range_ -= split;
        }
        if (range_ < kTotal) shift();
    }

    // `count` bits (0..16) of `value`, each of probability one half.
    void encode_bypass(uint32_t value, int count) {
        if (count > 0) encode(value << (kPrecision - count), 1u << (kPrecision - count));
    }

    // Write the shortest end. The encoder must not be used afterwards.
    void finish();

    uint32_t range() const { return range_; }

private:
    void shift() {
        const uint32_t word = static_cast<uint32_t>(low_ >> 16);
        if (word > 0xFFFF) carry();
        out_.push_back(static_cast<uint8_t>(word >> 8));
        out_.push_back(static_cast<uint8_t>(word));
        low_ = (low_ & 0xFFFF) << 16;
        range_ <<= 16;
    }
    void carry();

    std::vector<uint8_t>& out_;
    std::size_t begin_;
    uint64_t low_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
};

class RangeDecoder {
public:
    // Reads data[0, size); never past it.
    RangeDecoder(const uint8_t* data, std::size_t size) : data_(data), size_(size) {
        code_ = static_cast<uint32_t>(word()) << 16;
        code_ |= word();
        if (code_ >= range_) throw CorruptStream("the stream starts with a word that no encoder writes", 0);
    }

    // Where the code lies in 0..65535: the cumulative frequency to search.
    uint32_t target() const {
        // The largest c with (range * c >> 16) <= code.
        return static_cast<uint32_t>((((static_cast<uint64_t>(code_) + 1) << kPrecision) - 1) / range_);
    }

    // True, and consumed, if the code lies in [cum, cum + freq).
    bool try_consume(uint32_t cum, uint32_t freq) {
        const uint64_t range = range_;
        const uint32_t start = static_cast<uint32_t>(range * cum >> kPrecision);
        const uint32_t width = static_cast<uint32_t>(range * (cum + freq) >> kPrecision) - start;
        if (code_ - start >= width) return false;  // unsigned: also where code < start
        code_ -= start;
        range_ = width;
        if (range_ < kTotal) shift();
        return true;
    }

    // Take the symbol [cum, cum + freq) that target() lies in.
    void consume(uint32_t cum, uint32_t freq) {
        const uint64_t range = range_;
        const uint32_t start = static_cast<uint32_t>(range * cum >> kPrecision);
        code_ -= start;
        range_ = static_cast<uint32_t>(range * (cum + freq) >> kPrecision) - start;
        if (range_ < kTotal) shift();
    }

    bool decode_bit(uint32_t p1) {
        const uint32_t split = static_cast<uint32_t>(static_cast<uint64_t>(range_) * p1 >> kPrecision);
        const bool bit = code_ < split;
        if (bit) {
            range_ = split;
        } else {
            code_ -= split;
            range_ -= split;
        }
        if (range_ < kTotal) shift();
        return bit;
    }

    uint32_t decode_bypass(int count) {
        if (count == 0) return 0;
        const uint32_t value = target() >> (kPrecision - count);
        consume(value << (kPrecision - count), 1u << (kPrecision - count));
        return value;
    }

    // Bytes taken so far, zeros past the end not counted.
    std::size_t position() const { return position_ < size_ ? position_ : size_; }

    // Throws unless the stream ends where an encoder would have ended it.
    void check_end() const;

    uint32_t range() const { return range_; }

private:
    uint32_t word() {
        uint32_t value = 0;
        if (position_ + 2 <= size_) {
            value = static_cast<uint32_t>(data_[position_]) << 8 | data_[position_ + 1];
        } else if (position_ < size_) {
            value = static_cast<uint32_t>(data_[position_]) << 8;
        }
        position_ += 2;
        return value;
    }
    void shift() {
        code_ = code_ << 16 | word();
        range_ <<= 16;
    }

    const uint8_t* data_;
    std::size_t size_;
    std::size_t position_ = 0;
    uint32_t code_ = 0;
    uint32_t range_ = 0xFFFFFFFFu;
};

// Adaptive probability of a bit: the mean of a fast and a slow estimate (two-speed mixing, as in CABAC successors).
struct AdaptiveBit {
    uint16_t fast = 1u << 15, slow = 1u << 15;  // P(1) in 1/65536

    static AdaptiveBit from(uint16_t p1) { return {p1, p1}; }
    uint32_t p1() const {
        const uint32_t p = (static_cast<uint32_t>(fast) + slow) >> 1;
        return p < 64 ? 64 : p > 65472 ? 65472 : p;
    }
    void update(bool bit) {
        const int target = bit ? 65535 : 0;
        fast = static_cast<uint16_t>(fast + (target - fast) / 16);
        slow = static_cast<uint16_t>(slow + (target - slow) / 128);
    }
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
