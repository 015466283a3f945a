// Range coder: carry propagation, 64-bit low and range, 16-bit probabilities, 32-bit words out.
//
// Read me first. The encoder holds an interval [low, low + range) inside a window of 64 bits. A symbol that owns
// [cum, cum + freq) of 65536 narrows it, with unit = range >> 16, to
//
//     [low + unit * cum,  low + unit * (cum + freq))
//
// What `range` holds beyond 65536 units is given up: range is at least 2^32 before every step, so that costs less than
// 2^-16 of a symbol's interval, and far less on average. Once range < 2^32 the upper half of the window leaves as one
// big-endian word (carries run back through the words already written) and range grows by 32 bits. As a frequency is at
// least 1, range is then at least 2^16 * 2^32: one step suffices.
//
// At the end the encoder picks the number in [low, low + range) with the most trailing zero bits, writes its 8 bytes
// and drops those of them that are zeros at the end; the decoder reads up to 8 zeros past the end. So a stream of
// probable symbols may well be empty, and one that was cut short is noticed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "common/compiler.hpp"
#include "common/errors.hpp"

namespace lfic {

inline constexpr int kPrecision = 16;
inline constexpr uint32_t kTotal = 1u << kPrecision;
inline constexpr std::size_t kTail = 8;  // zero bytes that the decoder may read past the end
inline constexpr uint64_t kRangeMin = uint64_t{1} << 32;

using Bytes = std::vector<uint8_t>;

// Numbers from outside, which the coder itself does not check: p1 / 65536 is the probability of a 1, and so many bits
// are coded at once. Throw InvalidInput outside 1 to 65535, and 0 to 16.
uint32_t checked_probability(int p1);
int checked_bit_count(int count);

// Big-endian, in one store: of four single ones GCC makes a dozen shifts.
LFIC_INLINE void store_word(uint8_t* to, uint32_t word) {
#if (defined(__GNUC__) || defined(__clang__)) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    word = __builtin_bswap32(word);
    std::memcpy(to, &word, 4);
#else
    for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(word >> (24 - 8 * i));
#endif
}

class RangeEncoder {
  public:
    // Appends to `out`; what stands there before is left alone. `out` is complete only after finish().
    explicit RangeEncoder(Bytes& out) : out_(&out), begin_(out.size()), at_(out.size()) {}

    // Narrow to [cum, cum + freq) of 65536; freq >= 1.
    LFIC_INLINE void encode(uint32_t cum, uint32_t freq) {
        const uint64_t unit = range_ >> kPrecision;
        add(unit * cum);
        range_ = unit * freq;
        if (range_ < kRangeMin) shift();
    }

    // A bit whose probability of being 1 is p1 / 65536, 1 <= p1 <= 65535. Ones take the lower part.
    LFIC_INLINE void encode_bit(bool bit, uint32_t p1) {
        const uint64_t split = (range_ >> kPrecision) * p1;
        if (!bit) add(split);
        range_ = bit ? split : range_ - split;
        if (range_ < kRangeMin) shift();
    }

    // `count` bits (0..16) of `value`, each of probability one half.
    void encode_bypass(uint32_t value, int count) {
        if (count > 0) encode(value << (kPrecision - count), 1u << (kPrecision - count));
    }

    // Write the shortest end. The encoder must not be used afterwards.
    void finish();

    uint64_t range() const { return range_; }

  private:
    LFIC_INLINE void add(uint64_t start) {
        low_ += start;
        if (LFIC_UNLIKELY(low_ < start)) carry(*out_, begin_, at_);
    }
    LFIC_INLINE void shift() {
        if (LFIC_UNLIKELY(at_ + 4 > out_->size())) grow(*out_, begin_, at_);
        store_word(out_->data() + at_, static_cast<uint32_t>(low_ >> 32));
        at_ += 4;
        low_ <<= 32;
        range_ <<= 32;
    }
    // Static, and with values: a call that took `this` would keep low and range out of registers.
    static void carry(Bytes& out, std::size_t begin, std::size_t at);
    static void grow(Bytes& out, std::size_t begin, std::size_t at);

    Bytes* out_;
    std::size_t begin_, at_;  // first byte of this stream, next byte to write
    uint64_t low_ = 0;
    uint64_t range_ = ~uint64_t{0};
};

// The most probable symbol and its two neighbours, in units: the mode owns [0, mode), the one below it [split - below,
// split), the one above it [split, split + above). Widths of 0 stand for neighbours that a table lacks.
struct Near {
    uint32_t mode, split, below, above;
    int32_t symbol, under, over;  // the mode; the one below it; the one above it
};

class RangeDecoder {
  public:
    // Reads data[0, size); never past it.
    RangeDecoder(const uint8_t* data, std::size_t size) : data_(data), size_(size) {
        code_ = word();
        code_ = code_ << 32 | word();
    }

    // Where the code lies in 0..65535: the cumulative frequency to search. Throws where the code lies outside the
    // interval, which no encoder's stream does.
    LFIC_INLINE uint32_t target() const {
        const uint64_t quotient = code_ / (range_ >> kPrecision);
        if (LFIC_UNLIKELY(quotient >= kTotal)) outside(position());
        return static_cast<uint32_t>(quotient);
    }

    // If the code lies in one of the three intervals of `near`: consume it, set `symbol`, true. Else nothing is done.
    // No branch depends on which of the three it is.
    LFIC_INLINE bool try_near(const Near& near, int32_t& symbol) {
        const uint64_t unit = range_ >> kPrecision;
        const uint64_t split = unit * near.split, below = unit * near.below, mode = unit * near.mode,
                       above = unit * near.above;
        uint64_t next = code_, width = above, lower;  // next: the code within the interval
        int32_t found = near.over;
#if defined(__x86_64__) && defined(__GNUC__)
        // Compilers turn these choices into jumps, which nobody can predict: 104 instead of 150 million symbols a
        // second.
        asm("sub %[split], %[next]\n\tlea (%[next], %[below]), %[lower]\n\t"  // lea leaves the borrow of sub alone
            "cmovb %[lower], %[next]\n\tcmovb %[below], %[width]\n\tcmovb %[under], %[found]\n\t"
            "cmp %[mode], %[code]\n\tcmovb %[code], %[next]\n\tcmovb %[mode], %[width]\n\tcmovb %[symbol], %[found]"
            : [next] "+&r"(next), [width] "+&r"(width), [found] "+&r"(found), [lower] "=&r"(lower)
            : [code] "r"(code_), [mode] "r"(mode), [split] "r"(split), [below] "r"(below), [under] "m"(near.under),
              [symbol] "m"(near.symbol)
            : "cc");
#else
        const bool is_lower = code_ < split, is_mode = code_ < mode;
        lower = next - split + below;
        next = is_mode ? code_ : is_lower ? lower : next - split;
        width = is_mode ? mode : is_lower ? below : width;
        found = is_mode ? near.symbol : is_lower ? near.under : found;
#endif
        // Between the mode and `split - below` it has wrapped and is no less than any width.
        if (LFIC_UNLIKELY(next >= width)) return false;
        code_ = next;
        range_ = width;
        symbol = found;
        if (range_ < kRangeMin) shift();
        return true;
    }

    // The 256th of the range in which the code lies, or one less: 0..256. A short quotient: the quickest division.
    LFIC_INLINE uint32_t bucket() const { return static_cast<uint32_t>(code_ / (range_ >> 8)); }

    // Take the slot [cumulative[slot], cumulative[slot + 1]) that the code lies in, searching upwards from `slot`;
    // `last` is the one that ends at 65536. Throws where the code lies beyond it.
    LFIC_INLINE uint32_t consume_from(const uint32_t* cumulative, uint32_t slot, uint32_t last) {
        const uint64_t unit = range_ >> kPrecision;
        uint64_t low = unit * cumulative[slot], high = unit * cumulative[slot + 1];
        while (LFIC_UNLIKELY(code_ >= high)) {
            if (slot == last) outside(position());
            low = high;
            high = unit * cumulative[++slot + 1];
        }
        code_ -= low;
        range_ = high - low;
        if (range_ < kRangeMin) shift();
        return slot;
    }

    // Take the symbol [cum, cum + freq) that target() lies in.
    LFIC_INLINE void consume(uint32_t cum, uint32_t freq) {
        const uint64_t unit = range_ >> kPrecision;
        code_ -= unit * cum;
        range_ = unit * freq;
        if (range_ < kRangeMin) shift();
    }

    LFIC_INLINE bool decode_bit(uint32_t p1) {
        const uint64_t split = (range_ >> kPrecision) * p1;
        const bool bit = code_ < split;
        code_ -= bit ? 0 : split;
        range_ = bit ? split : range_ - split;
        if (range_ < kRangeMin) shift();
        return bit;
    }

    uint32_t decode_bypass(int count) {
        if (count == 0) return 0;
        const uint32_t value = target() >> (kPrecision - count);
        consume(value << (kPrecision - count), 1u << (kPrecision - count));
        return value;
    }

    // Bytes taken so far, zeros past the end not counted. The decoder looks 4 to 8 bytes ahead of its symbol.
    std::size_t position() const { return position_ < size_ ? position_ : size_; }

    // Throws unless the stream ends where an encoder would have ended it.
    void check_end() const;

    uint64_t range() const { return range_; }

    // For a caller that keeps the state in registers of its own (lockstep.cpp): the code within the range, the next
    // word of the stream, and going on from a state.
    uint64_t code() const { return code_; }
    void resume(uint64_t code, uint64_t range) {
        code_ = code;
        range_ = range;
    }
    LFIC_INLINE uint64_t word() {
        if (LFIC_UNLIKELY(position_ + 4 > size_)) {
            const uint64_t last = last_word(data_, size_, position_);
            position_ += 4;
            return last;
        }
        const uint8_t* p = data_ + position_;
        position_ += 4;
        return static_cast<uint64_t>(p[0]) << 24 | static_cast<uint64_t>(p[1]) << 16 |
               static_cast<uint64_t>(p[2]) << 8 | p[3];
    }

  private:
    static uint64_t last_word(const uint8_t* data, std::size_t size, std::size_t position);
    LFIC_INLINE void shift() {
        code_ = code_ << 32 | word();
        range_ <<= 32;
    }
    [[noreturn]] static void outside(std::size_t position);

    const uint8_t* data_;
    std::size_t size_;
    std::size_t position_ = 0;
    uint64_t code_ = 0;
    uint64_t range_ = ~uint64_t{0};
};

}  // namespace lfic
