// One face's symbols <-> payload bytes, plain table streams, and batches of either over threads.
#pragma once
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "context_model.hpp"

namespace lfic {

using Bytes = std::vector<uint8_t>;

// Symbols with a table index each, appended to `out`. Indexes are checked.
void encode_stream(const Tables& tables, const int32_t* symbols, const int32_t* indexes, std::size_t count, Bytes& out);
void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const int32_t* indexes, std::size_t count, int32_t* symbols);

// A face. `coded_levels`: the level map is written first (otherwise the header says it).
void encode_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, bool coded_levels, const int16_t* symbols,
                 std::size_t count, Bytes& out);
// Reads `levels` from the stream if coded_levels, else takes them as given; returns the symbols.
// Throws InvalidInput if there are more than max_symbols.
std::vector<int16_t> decode_face(const ContextModel& model, const Grid& grid, uint8_t* levels, bool coded_levels, const uint8_t* data,
                                 std::size_t size, std::size_t max_symbols);
// Table index (-1 where inactive) and integer mean of every symbol.
void predict_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols, std::size_t count,
                  int16_t* tables, int32_t* means);
// Ideal bits of every kept cell, from the tables.
void cost_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols, std::size_t count, float* bits);

// task(i) for i in 0..count-1 over `threads` threads; the first exception is thrown again here.
template <class Task>
void parallel(std::size_t count, int threads, Task&& task) {
    const std::size_t workers = std::min<std::size_t>(threads < 1 ? 1 : threads, count);
    if (workers <= 1) {
        for (std::size_t i = 0; i < count; ++i) task(i);
        return;
    }
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    auto work = [&] {
        try {
            for (std::size_t i; (i = next.fetch_add(1)) < count;) task(i);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next = count;
        }
    };
    std::vector<std::thread> pool;
    for (std::size_t t = 1; t < workers; ++t) pool.emplace_back(work);
    work();
    for (auto& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace lfic
