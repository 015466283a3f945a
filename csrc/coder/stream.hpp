// One face's symbols <-> payload bytes, plain table streams, and batches of either over threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "coder/context_model.hpp"
#include "coder/lockstep.hpp"

namespace lfic {

using Bytes = std::vector<uint8_t>;

inline constexpr int kMaxThreads = 256;

// Throws InvalidInput unless every index is that of a table.
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

// Symbols with a table index each, appended to `out`. Indexes are checked. Symbol: int16_t or int32_t; Index: uint8_t,
// int16_t or int32_t.
template <class Symbol, class Index>
void encode_stream(const Tables& tables, const Symbol* symbols, const Index* indexes, std::size_t count, Bytes& out);
template <class Index>
void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const Index* indexes, std::size_t count,
                   int32_t* symbols);

// Many table streams over threads, four of them side by side where that is quicker: the same symbols either way.
template <class Index>
void decode_streams(const Tables& tables, const Lane<Index>* streams, std::size_t count, int threads);

// A face. `coded_levels`: the level map is written first (otherwise the header says it).
void encode_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, bool coded_levels,
                 const int16_t* symbols, std::size_t count, Bytes& out);
// Reads `levels` from the stream if coded_levels, else takes them as given; returns the symbols.
// Throws InvalidInput if there are more than max_symbols.
std::vector<int16_t> decode_face(const ContextModel& model, const Grid& grid, uint8_t* levels, bool coded_levels,
                                 const uint8_t* data, std::size_t size, std::size_t max_symbols);
// Table index (-1 where inactive) and integer mean of every symbol.
void predict_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols,
                  std::size_t count, int16_t* tables, int32_t* means);
// Ideal bits of every kept cell, from the tables.
void cost_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols,
               std::size_t count, float* bits);

// How many threads a call that asks for so many gets (0: one a core); throws InvalidInput for more than kMaxThreads.
inline std::size_t thread_count(int threads) {
    if (threads < 0 || threads > kMaxThreads)
        throw InvalidInput("threads is " + std::to_string(threads) + "; allowed are 0 (one a core) to " +
                           std::to_string(kMaxThreads));
    return threads ? threads : std::max(1u, std::thread::hardware_concurrency());
}

// task(i) for i in 0..count-1 over `threads` threads (0: one a core); the first exception is thrown again here.
template <class Task>
void parallel(std::size_t count, int threads, Task&& task) {
    const std::size_t workers = std::min(thread_count(threads), count);
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    auto work = [&] {
        std::size_t i = 0;
        auto fail = [&](std::exception_ptr error) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = error;
            next = count;
        };
        try {
            while ((i = next.fetch_add(1)) < count) task(i);
        } catch (const CorruptStream& error) {
            fail(error.of_batch ? std::current_exception() : std::make_exception_ptr(CorruptStream(i, error)));
        } catch (...) {
            fail(std::current_exception());
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(workers);
    try {
        for (std::size_t t = 1; t < workers; ++t) pool.emplace_back(work);
    } catch (const std::system_error&) {
        // No more threads to be had: those that run do the work.
    }
    work();
    for (auto& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace lfic
