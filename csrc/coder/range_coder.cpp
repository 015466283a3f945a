#include "coder/range_coder.hpp"

namespace lfic {

uint32_t checked_probability(int p1) {
    if (p1 < 1 || p1 > 65535) throw InvalidInput("p1 is " + std::to_string(p1) + "; allowed are 1 to 65535");
    return static_cast<uint32_t>(p1);
}

int checked_bit_count(int count) {
    if (count < 0 || count > kPrecision)
        throw InvalidInput("count is " + std::to_string(count) + "; allowed are 0 to 16");
    return count;
}

void RangeEncoder::carry(Bytes& out, std::size_t begin, std::size_t at) {
    std::size_t i = at;
    while (i > begin && ++out[--i] == 0) {
    }
}

void RangeEncoder::grow(Bytes& out, std::size_t begin, std::size_t at) {
    out.resize(at + 4 + (at - begin) + 252);
}

// How far from `low` the multiple of 2^k inside [low, low + range) lies, for the largest k: the number that ends a
// stream, as its lower k bits need not be written.
static uint64_t distance_to_end(uint64_t low, uint64_t range) {
    for (int k = 64; k > 0; --k) {
        const uint64_t mask = k == 64 ? ~uint64_t{0} : (uint64_t{1} << k) - 1;
        const uint64_t ahead = (0 - low) & mask;
        if (ahead < range) return ahead;
    }
    return 0;
}

void RangeEncoder::finish() {
    const uint64_t value = low_ + distance_to_end(low_, range_);
    Bytes& out = *out_;
    if (value < low_) carry(out, begin_, at_);
    out.resize(at_);
    for (int bits = 56; bits >= 0; bits -= 8) out.push_back(static_cast<uint8_t>(value >> bits));
    // Only zeros of these 8 bytes are dropped: the decoder can then tell a stream that was cut short.
    while (out.size() > at_ && out.back() == 0) out.pop_back();
}

uint64_t RangeDecoder::last_word(const uint8_t* data, std::size_t size, std::size_t position) {
    uint64_t value = 0;
    for (const std::size_t end = position + 4; position < end; ++position)
        value = value << 8 | (position < size ? data[position] : 0);
    if (position > size + kTail)
        throw CorruptStream("the stream is cut short: it has " + std::to_string(size) + " bytes and more are needed",
                            size);
    return value;
}

void RangeDecoder::outside(std::size_t position) {
    throw CorruptStream("the code lies outside its interval, as no encoder writes it", position);
}

void RangeDecoder::check_end() const {
    if (position_ < size_)
        throw CorruptStream(std::to_string(size_ - position_) + " bytes follow the end of the stream", position_);
    if (size_ + kTail > position_ && size_ > 0 && data_[size_ - 1] == 0)
        throw CorruptStream("the stream ends in a zero byte that no encoder writes", size_ - 1);
    if (code_ >= range_) throw CorruptStream("the code lies outside the final interval", size_);
    // The last 8 bytes are low + code, zeros past the end counted: what the encoder had is the difference.
    uint64_t last = 0;
    for (std::size_t i = position_ - kTail; i < position_; ++i) last = last << 8 | (i < size_ ? data_[i] : 0);
    if (code_ != distance_to_end(last - code_, range_))
        throw CorruptStream("the stream has another end than an encoder writes: bytes were changed or added", size_);
}

}  // namespace lfic
