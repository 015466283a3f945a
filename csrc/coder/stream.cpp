#include "coder/stream.hpp"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace lfic {

template <class Index>
void check_indexes(const Tables& tables, const Index* indexes, std::size_t count) {
    // The largest in the width they have, negative ones as what they are unsigned: bytes take a moment.
    using Unsigned = std::make_unsigned_t<Index>;
    Unsigned most = 0;
    for (std::size_t i = 0; i < count; ++i) most = std::max(most, static_cast<Unsigned>(indexes[i]));
    const uint32_t limit = static_cast<uint32_t>(tables.count());
    if (count == 0 || most < std::min<uint64_t>(limit, uint64_t{std::numeric_limits<Index>::max()} + 1)) return;
    for (std::size_t i = 0; i < count; ++i)
        if (static_cast<uint32_t>(indexes[i]) >= limit)
            throw InvalidInput("indexes[" + std::to_string(i) + "] is " + std::to_string(indexes[i]) +
                               "; allowed are 0 to " + std::to_string(limit - 1));
}

template <class Symbol, class Index>
void encode_stream(const Tables& tables, const Symbol* symbols, const Index* indexes, std::size_t count, Bytes& out) {
    check_indexes(tables, indexes, count);
    if (out.empty()) out.reserve(count / 2 + 64);  // 4 bits a symbol: more grows
    RangeEncoder coder(out);
    EscapeCoder escape;
    tables.encode(coder, escape, symbols, indexes, count);
    RangeEncoder(coder).finish();  // of a copy: `coder` itself can then live in registers
}

template <class Index>
void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const Index* indexes, std::size_t count,
                   int32_t* symbols) {
    check_indexes(tables, indexes, count);
    RangeDecoder coder(data, size);
    EscapeCoder escape;
    tables.decode(coder, escape, indexes, count, symbols);
    RangeDecoder(coder).check_end();
}

template <class Index>
static bool decode_side_by_side(const Tables& tables, const Lane<Index>* streams) {
    if (!lockstep_pays(streams)) return false;
    for (std::size_t k = 0; k < kLanes; ++k) check_indexes(tables, streams[k].indexes, streams[k].count);
    try {
        decode_lockstep(tables, streams);
    } catch (const CorruptStream&) {
        return false;  // one after the other, they tell which it is
    }
    return true;
}

template <class Index>
static void decode_one(const Tables& tables, const Lane<Index>* streams, std::size_t i) {
    const Lane<Index>& stream = streams[i];
    try {
        decode_stream(tables, stream.data, stream.size, stream.indexes, stream.count, stream.symbols);
    } catch (const CorruptStream& error) {
        throw CorruptStream(i, error);
    }
}

template <class Index>
void decode_streams(const Tables& tables, const Lane<Index>* streams, std::size_t count, int threads) {
    // Groups only where every thread gets several: a few streams are better shared out.
    const std::size_t workers = thread_count(threads), group = count >= 2 * kLanes * workers ? kLanes : 1;
    parallel(count, group, workers, [&](std::size_t first, std::size_t last) {
        if (last - first == kLanes && decode_side_by_side(tables, streams + first)) return;
        for (std::size_t i = first; i < last; ++i) decode_one(tables, streams, i);
    });
}

void check_offsets(const int64_t* offsets, std::size_t streams, std::size_t size) {
    for (std::size_t k = 0; k <= streams; ++k)
        if (offsets[k] < (k ? offsets[k - 1] : 0) || offsets[k] > static_cast<int64_t>(size))
            throw InvalidInput("offsets[" + std::to_string(k) + "] is " + std::to_string(offsets[k]) +
                               "; allowed are ascending places in 0 to " + std::to_string(size));
}

#define LFIC_INSTANTIATE(Index)                                                                                   \
    template void check_indexes(const Tables&, const Index*, std::size_t);                                        \
    template void encode_stream(const Tables&, const int16_t*, const Index*, std::size_t, Bytes&);                \
    template void encode_stream(const Tables&, const int32_t*, const Index*, std::size_t, Bytes&);                \
    template void decode_stream(const Tables&, const uint8_t*, std::size_t, const Index*, std::size_t, int32_t*); \
    template void decode_streams(const Tables&, const Lane<Index>*, std::size_t, int);
LFIC_INSTANTIATE(uint8_t)
LFIC_INSTANTIATE(int16_t)
LFIC_INSTANTIATE(int32_t)
#undef LFIC_INSTANTIATE

}  // namespace lfic
