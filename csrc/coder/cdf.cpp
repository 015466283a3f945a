#include "coder/cdf.hpp"

#include <cmath>

namespace lfic {

Tables::Tables(std::vector<int32_t> lows, std::vector<int64_t> starts, std::vector<uint16_t> frequencies)
    : lows_(std::move(lows)), starts_(std::move(starts)), frequencies_(std::move(frequencies)) {
    const std::size_t count = lows_.size();
    if (count == 0 || count > 65536)
        throw InvalidInput("there are " + std::to_string(count) + " tables; allowed are 1 to 65536");
    if (starts_.size() != count + 1 || starts_[0] != 0 || starts_[count] != static_cast<int64_t>(frequencies_.size()))
        throw InvalidInput("the tables' starts do not run from 0 to the number of frequencies");
    rows_.resize(count);
    intervals_.reserve(frequencies_.size() + count);
    bits_.reserve(frequencies_.size() + count);
    cumulative_.reserve(frequencies_.size() + 2 * count);
    buckets_.resize(kBuckets * count);
    for (std::size_t k = 0; k < count; ++k) add_table(k);
}

void Tables::add_table(std::size_t k) {
    const std::string name = "table " + std::to_string(k);
    const int64_t size = starts_[k + 1] - starts_[k];
    if (size < 1 || size > 65535)
        throw InvalidInput(name + " has " + std::to_string(size) + " symbols; allowed are 1 to 65535");
    if (starts_[k] < 0 || starts_[k + 1] > static_cast<int64_t>(frequencies_.size()))
        throw InvalidInput(name + " lies outside the frequencies");
    if (lows_[k] < -(1 << 30) || lows_[k] > (1 << 30))
        throw InvalidInput(name + " starts at " + std::to_string(lows_[k]) + "; allowed is +-2^30");
    Row& row = rows_[k];
    row.low = lows_[k];
    row.size = static_cast<uint32_t>(size);
    row.first = static_cast<uint32_t>(intervals_.size());
    row.mode = 0;
    uint32_t most = 0;
    const uint16_t* f = &frequencies_[starts_[k]];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < row.size; ++i) {
        if (f[i] == 0)
            throw InvalidInput(name + ": symbol " + std::to_string(lows_[k] + int64_t{i}) +
                               " has frequency 0; at least 1 is needed");
        sum += f[i];
        if (f[i] > most) {
            most = f[i];
            row.mode = i;
        }
    }
    if (sum >= kTotal)
        throw InvalidInput(name + " sums to " + std::to_string(sum) +
                           "; allowed are at most 65535, as the escape takes the rest");
    const uint32_t escape = kTotal - static_cast<uint32_t>(sum);

    cumulative_.push_back(0);
    uint32_t next = most;
    for (uint32_t i = 0; i < row.size; ++i) {
        const uint32_t from = i == row.mode ? 0 : next;
        intervals_.push_back(from << 16 | f[i]);
        bits_.push_back(static_cast<float>(kPrecision - std::log2(static_cast<double>(f[i]))));
        if (i == row.mode) continue;
        cumulative_.push_back(next);
        next += f[i];
    }
    intervals_.push_back(next << 16 | escape);
    bits_.push_back(static_cast<float>(kPrecision - std::log2(static_cast<double>(escape))));
    cumulative_.push_back(next);
    cumulative_.push_back(kTotal);

    const uint32_t* c = &cumulative_[row.first + k];
    // Slots of the neighbours, if there are any: mode - 1 stands at slot `mode`, mode + 1 behind it.
    const uint32_t below = row.mode > 0 ? f[row.mode - 1] : 0, above = row.mode + 1 < row.size ? f[row.mode + 1] : 0;
    const int32_t symbol = row.low + static_cast<int32_t>(row.mode);
    row.near = {most, (row.mode > 0 ? c[row.mode] : c[1]) + below, below, above, symbol, symbol - 1, symbol + 1};

    row.shift = 0;
    while (row.size >> row.shift > 255) ++row.shift;
    uint32_t slot = 0;
    for (uint32_t bucket = 0; bucket < kBuckets - 1; ++bucket) {
        while (c[slot + 1] <= bucket << 8) ++slot;
        buckets_[kBuckets * k + bucket] = static_cast<uint8_t>(slot >> row.shift);
    }
    buckets_[kBuckets * k + kBuckets - 1] = static_cast<uint8_t>(row.size >> row.shift);
}

// Outside the support: 2 * distance + side, so that both sides share one adaptive prefix.
static uint64_t escape_value(int32_t low, uint32_t size, int32_t symbol) {
    const int64_t distance =
        symbol < low ? static_cast<int64_t>(low) - 1 - symbol : static_cast<int64_t>(symbol) - low - size;
    return static_cast<uint64_t>(2 * distance + (symbol < low ? 1 : 0));
}

void Tables::encode_escape(RangeEncoder& coder, EscapeCoder& escape, const Row& row, int32_t symbol) const {
    const uint32_t interval = intervals_[row.first + row.size];
    coder.encode(interval >> 16, interval & 0xFFFF);
    escape.encode(coder, escape_value(row.low, row.size, symbol));
}

int32_t Tables::decode_escape(RangeDecoder& coder, EscapeCoder& escape, const Row& row) const {
    const uint64_t value = escape.decode(coder);
    const int64_t distance = static_cast<int64_t>(value >> 1);
    const int64_t symbol =
        value & 1 ? static_cast<int64_t>(row.low) - 1 - distance : static_cast<int64_t>(row.low) + row.size + distance;
    if (symbol < INT32_MIN || symbol > INT32_MAX)
        throw CorruptStream("an escaped symbol exceeds 32 bits", coder.position());
    return static_cast<int32_t>(symbol);
}

float Tables::escape_bits(const Row& row, int32_t symbol) const {
    const uint64_t shifted = escape_value(row.low, row.size, symbol) + 1;
    int length = 0;
    while (shifted >> (length + 1)) ++length;
    return bits_[row.first + row.size] + static_cast<float>(2 * length + 1);
}

}  // namespace lfic
