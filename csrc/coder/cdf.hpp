// Frequency tables: K tables, each over a run of integers [low, low + size) plus an escape.
//
// Every frequency is at least 1 and a table sums to exactly 65536 with its escape, which takes what the listed symbols
// leave (at least 1). All is checked on construction; afterwards a table can't make the coder misbehave.
//
// Order of the intervals: the mode (the most probable symbol; the lower of equals) owns [0, its frequency), the others
// follow in ascending order, the escape comes last. With the mode at 0 and its neighbours side by side the decoder
// knows these three by four products and two comparisons; at the rates of faces that is what most symbols are. The
// others take a division, a table of 256 buckets and a search of a step or none.
#pragma once
#include <cstdint>
#include <vector>

#include "coder/adaptive.hpp"

namespace lfic {

class Tables {
  public:
    // Table k: frequencies[starts[k] .. starts[k + 1]) for the symbols lows[k], lows[k] + 1, ...
    Tables(std::vector<int32_t> lows, std::vector<int64_t> starts, std::vector<uint16_t> frequencies);

    std::size_t count() const { return rows_.size(); }
    const std::vector<int32_t>& lows() const { return lows_; }
    const std::vector<int64_t>& starts() const { return starts_; }
    const std::vector<uint16_t>& frequencies() const { return frequencies_; }

    LFIC_INLINE void encode(RangeEncoder& coder, EscapeCoder& escape, uint32_t table, int32_t symbol) const {
        encode(coder, escape, rows_.data(), intervals_.data(), table, symbol);
    }
    // Symbols with a table each.
    template <class Symbol, class Index>
    LFIC_INLINE void encode(RangeEncoder& coder, EscapeCoder& escape, const Symbol* symbols, const Index* indexes,
                            std::size_t count) const {
        // Pointers of its own: bytes that are written could otherwise change the vectors' for all that the compiler
        // knows.
        const Row* rows = rows_.data();
        const uint32_t* intervals = intervals_.data();
        for (std::size_t i = 0; i < count; ++i)
            encode(coder, escape, rows, intervals, static_cast<uint32_t>(indexes[i]), read_once(symbols[i]));
    }

    LFIC_INLINE int32_t decode(RangeDecoder& coder, EscapeCoder& escape, uint32_t table) const {
        int32_t symbol;
        return LFIC_LIKELY(coder.try_near(rows_[table].near, symbol)) ? symbol : decode_far(coder, escape, table);
    }
    // Symbols by their tables, which need not be found again after each store.
    template <class Index>
    LFIC_INLINE void decode(RangeDecoder& coder, EscapeCoder& escape, const Index* indexes, std::size_t count,
                            int32_t* symbols) const {
        const Row* rows = rows_.data();
        for (std::size_t i = 0; i < count; ++i) {
            const uint32_t table = static_cast<uint32_t>(indexes[i]);
            int32_t symbol;
            if (LFIC_UNLIKELY(!coder.try_near(rows[table].near, symbol))) symbol = decode_far(coder, escape, table);
            symbols[i] = symbol;
        }
    }

    // A symbol that is neither the mode nor beside it.
    LFIC_INLINE int32_t decode_far(RangeDecoder& coder, EscapeCoder& escape, uint32_t table) const {
        const Row& row = rows_[table];
        const uint8_t* buckets = &buckets_[kBuckets * table];
        const uint32_t* cumulative = &cumulative_[row.first + table];
#if defined(__GNUC__)
        asm("" : "+r"(buckets), "+r"(cumulative));  // found before the division ends, not after
#endif
        const uint32_t from = static_cast<uint32_t>(buckets[coder.bucket()]) << row.shift;
        const uint32_t slot = coder.consume_from(cumulative, from, row.size);
        if (LFIC_UNLIKELY(slot == row.size)) {
            RangeDecoder copy = coder;
            const int32_t symbol = decode_escape(copy, escape, row);
            coder = copy;
            return symbol;
        }
        return row.low + static_cast<int32_t>(slot - (slot <= row.mode));
    }

    // Ideal bits of a symbol; the prefix of an escape is counted as one bit a step.
    float bits(uint32_t table, int32_t symbol) const {
        const Row& row = rows_[table];
        const uint32_t at = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(row.low);
        return LFIC_LIKELY(at < row.size) ? bits_[row.first + at] : escape_bits(row, symbol);
    }

    // What lockstep.cpp reads by vectors: a table's `near` stands at the head of its row, which is so many bytes long.
    const Near* near() const { return &rows_.data()->near; }
    static constexpr std::size_t kRow = 64;

  private:
    struct alignas(kRow) Row {  // a cache line: found by a shift, read at once
        Near near;
        int32_t low;
        uint32_t size, first;  // listed symbols; where this table's entries begin (size + 1 of them, the escape last)
        uint32_t mode, shift;  // place of the mode; a bucket's entry << shift is the slot to search from
    };
    static constexpr uint32_t kBuckets = 257;
    LFIC_INLINE void encode(RangeEncoder& coder, EscapeCoder& escape, const Row* rows, const uint32_t* intervals,
                            uint32_t table, int32_t symbol) const {
        const Row& row = rows[table];
        const uint32_t at = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(row.low);
        if (LFIC_LIKELY(at < row.size)) {
            const uint32_t interval = intervals[row.first + at];
            coder.encode(interval >> 16, interval & 0xFFFF);
        } else {
            // A copy: `coder` itself can then live in registers.
            RangeEncoder copy = coder;
            encode_escape(copy, escape, row, symbol);
            coder = copy;
        }
    }
    void add_table(std::size_t k);
    void encode_escape(RangeEncoder&, EscapeCoder&, const Row&, int32_t symbol) const;
    int32_t decode_escape(RangeDecoder&, EscapeCoder&, const Row&) const;
    float escape_bits(const Row&, int32_t symbol) const;

    std::vector<int32_t> lows_;
    std::vector<int64_t> starts_;
    std::vector<uint16_t> frequencies_;
    std::vector<Row> rows_;
    std::vector<uint32_t> intervals_;   // cumulative << 16 | frequency, by symbol
    std::vector<float> bits_;           // -log2(frequency / 65536), by symbol
    std::vector<uint32_t> cumulative_;  // by slot (order of intervals), with 65536 behind each table
    std::vector<uint8_t> buckets_;      // 257 a table: the slot in which 256 * b units lie, or one before, >> shift
};

}  // namespace lfic
