// Frequency tables: K tables, each over a run of integers [low, low + size) plus an escape.
//
// Every frequency is at least 1 and a table sums to exactly 65536 with its escape, which takes what the listed symbols
// leave (at least 1). All is checked on construction; afterwards a table can't make the coder misbehave.
#pragma once
#include <cstdint>
#include <vector>

#include "range_coder.hpp"

namespace lfic {

class Tables {
public:
    // Table k: frequencies[starts[k] .. starts[k + 1]) for the symbols lows[k], lows[k] + 1, ...
    Tables(std::vector<int32_t> lows, std::vector<int64_t> starts, std::vector<uint16_t> frequencies);

    std::size_t count() const { return rows_.size(); }
    const std::vector<int32_t>& lows() const { return lows_; }
    const std::vector<int64_t>& starts() const { return starts_; }
    const std::vector<uint16_t>& frequencies() const { return frequencies_; }

    void encode(RangeEncoder& coder, EscapeCoder& escape, uint32_t table, int32_t symbol) const {
        const Row& row = rows_[table];
        const uint32_t at = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(row.low);
        if (at < row.size) {
            const uint32_t* c = &cumulative_[row.cumulative + at];
            coder.encode(c[0], c[1] - c[0]);
        } else {
            encode_escape(coder, escape, row, symbol);
        }
    }

    int32_t decode(RangeDecoder& coder, EscapeCoder& escape, uint32_t table) const {
        const Row& row = rows_[table];
        // The mode first: at face rates it is what most symbols are, and it costs no division.
        if (coder.try_consume(row.mode_cumulative, row.mode_frequency)) return row.mode;
        const uint32_t target = coder.target();
        const uint32_t* c = &cumulative_[row.cumulative];
        uint32_t s = buckets_[row.bucket + (target >> 8)];
        while (c[s + 1] <= target) ++s;
        coder.consume(c[s], c[s + 1] - c[s]);
        if (s < row.size) return row.low + static_cast<int32_t>(s);
        return decode_escape(coder, escape, row);
    }

    // Ideal bits of a symbol, escape code included.
    float bits(uint32_t table, int32_t symbol) const;

private:
    struct Row {
        int32_t low, mode;
        uint32_t size, cumulative, bucket;
        uint32_t mode_cumulative, mode_frequency;
    };
    void encode_escape(RangeEncoder&, EscapeCoder&, const Row&, int32_t symbol) const;
    int32_t decode_escape(RangeDecoder&, EscapeCoder&, const Row&) const;

    std::vector<int32_t> lows_;
    std::vector<int64_t> starts_;
    std::vector<uint16_t> frequencies_;
    std::vector<Row> rows_;
    std::vector<uint32_t> cumulative_;  // size + 2 entries a table: the symbols, the escape, 65536
    std::vector<uint16_t> buckets_;     // 256 entries a table: first symbol whose interval reaches into the bucket
    std::vector<float> bits_;           // -log2(frequency / 65536)
};

}  // namespace lfic
