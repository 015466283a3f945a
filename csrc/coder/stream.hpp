// Table streams: symbols with a table index each <-> bytes, one by one and in batches over threads.
#pragma once
#include <cstdint>

#include "coder/cdf.hpp"
#include "coder/lockstep.hpp"
#include "common/threads.hpp"

namespace lfic {

// Throws InvalidInput unless every index is that of a table. Index: uint8_t, int16_t or int32_t.
template <class Index>
void check_indexes(const Tables& tables, const Index* indexes, std::size_t count);

// Appends a stream to `out`. Indexes are checked. Symbol: int16_t or int32_t; Index as above.
template <class Symbol, class Index>
void encode_stream(const Tables& tables, const Symbol* symbols, const Index* indexes, std::size_t count, Bytes& out);
template <class Index>
void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const Index* indexes, std::size_t count,
                   int32_t* symbols);

// Many streams over threads (0: one a core), four of them side by side where that is quicker: the same symbols either
// way. A damaged one is named.
template <class Index>
void decode_streams(const Tables& tables, const Lane<Index>* streams, std::size_t count, int threads);

// Throws InvalidInput unless offsets[0 .. streams] ascend within 0 to `size`: where streams begin and end that lie
// behind each other.
void check_offsets(const int64_t* offsets, std::size_t streams, std::size_t size);

// task(i) for the streams 0 .. count - 1 over threads (0: one a core). CorruptStream is thrown again with its number.
template <class Task>
void for_each_stream(std::size_t count, int threads, const Task& task) {
    parallel(count, 1, thread_count(threads), [&](std::size_t i, std::size_t) {
        try {
            task(i);
        } catch (const CorruptStream& error) {
            throw CorruptStream(i, error);
        }
    });
}

}  // namespace lfic
