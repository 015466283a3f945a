#include "cdf.hpp"

#include <cmath>

namespace lfic {

Tables::Tables(std::vector<int32_t> lows, std::vector<int64_t> starts, std::vector<uint16_t> frequencies)
    : lows_(std::move(lows)), starts_(std::move(starts)), frequencies_(std::move(frequencies)) {
    const std::size_t count = lows_.size();
    if (count == 0 || count > 65536) throw InvalidInput("there are " + std::to_string(count) + " tables; allowed are 1 to 65536");
    if (starts_.size() != count + 1 || starts_[0] != 0 || starts_[count] != static_cast<int64_t>(frequencies_.size()))
        throw InvalidInput("the tables' starts do not run from 0 to the number of frequencies");
    rows_.resize(count);
    cumulative_.reserve(frequencies_.size() + 2 * count);
    buckets_.resize(256 * count);
    bits_.reserve(cumulative_.capacity());
    for (std::size_t k = 0; k < count; ++k) {
        const int64_t size = starts_[k + 1] - starts_[k];
        const std::string name = "table " + std::to_string(k);
        if (size < 1 || size > 65535) throw InvalidInput(name + " has " + std::to_string(size) + " symbols; allowed are 1 to 65535");
        if (lows_[k] < -(1 << 30) || lows_[k] > (1 << 30))
            throw InvalidInput(name + " starts at " + std::to_string(lows_[k]) + "; allowed is +-2^30");
        Row& row = rows_[k];
        row.low = lows_[k];
        row.size = static_cast<uint32_t>(size);
        row.cumulative = static_cast<uint32_t>(cumulative_.size());
        row.bucket = static_cast<uint32_t>(256 * k);
        row.mode_frequency = 0;
        uint32_t sum = 0;
        for (int64_t i = 0; i < size; ++i) {
            const uint32_t f = frequencies_[starts_[k] + i];
            if (f == 0) throw InvalidInput(name + ": symbol " + std::to_string(lows_[k] + i) + " has frequency 0; at least 1 is needed");
            if (f > row.mode_frequency) {
                row.mode_frequency = f;
                row.mode_cumulative = sum;
                row.mode = row.low + static_cast<int32_t>(i);
            }
            cumulative_.push_back(sum);
            bits_.push_back(static_cast<float>(kPrecision - std::log2(static_cast<double>(f))));
            sum += f;
        }
        if (sum >= kTotal)
            throw InvalidInput(name + " sums to " + std::to_string(sum) + "; at most 65535, as the escape takes the rest");
        cumulative_.push_back(sum);
        cumulative_.push_back(kTotal);
        bits_.push_back(static_cast<float>(kPrecision - std::log2(static_cast<double>(kTotal - sum))));
        bits_.push_back(0);
        const uint32_t* c = &cumulative_[row.cumulative];
        uint32_t s = 0;
        for (uint32_t bucket = 0; bucket < 256; ++bucket) {
            while (c[s + 1] <= bucket << 8) ++s;
            buckets_[row.bucket + bucket] = static_cast<uint16_t>(s);
        }
    }
}

// Outside the support: 2 * distance + side, so that both sides share one adaptive prefix.
static uint64_t escape_value(int32_t low, uint32_t size, int32_t symbol) {
    const int64_t distance = symbol < low ? static_cast<int64_t>(low) - 1 - symbol : static_cast<int64_t>(symbol) - low - size;
    return static_cast<uint64_t>(2 * distance + (symbol < low ? 1 : 0));
}

void Tables::encode_escape(RangeEncoder& coder, EscapeCoder& escape, const Row& row, int32_t symbol) const {
    const uint64_t value = escape_value(row.low, row.size, symbol);
    const uint32_t* c = &cumulative_[row.cumulative + row.size];
    coder.encode(c[0], c[1] - c[0]);
    escape.encode(coder, value);
}

int32_t Tables::decode_escape(RangeDecoder& coder, EscapeCoder& escape, const Row& row) const {
    const uint64_t value = escape.decode(coder);
    const int64_t distance = static_cast<int64_t>(value >> 1);
    const int64_t symbol = value & 1 ? static_cast<int64_t>(row.low) - 1 - distance : static_cast<int64_t>(row.low) + row.size + distance;
    if (symbol < INT32_MIN || symbol > INT32_MAX) throw CorruptStream("an escaped symbol exceeds 32 bits", coder.position());
    return static_cast<int32_t>(symbol);
}

float Tables::bits(uint32_t table, int32_t symbol) const {
    const Row& row = rows_[table];
    const uint32_t at = static_cast<uint32_t>(symbol) - static_cast<uint32_t>(row.low);
    if (at < row.size) return bits_[row.cumulative + at];
    const uint64_t shifted = escape_value(row.low, row.size, symbol) + 1;
    int length = 0;
    while (shifted >> (length + 1)) ++length;
    return bits_[row.cumulative + row.size] + static_cast<float>(2 * length + 1);
}

}  // namespace lfic
