// Work over threads that live as long as the call: nothing of them is left when it returns, so that a process may fork.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "common/errors.hpp"

namespace lfic {

inline constexpr int kMaxThreads = 256;

// How many threads a call that asks for so many gets (0: one a core); throws InvalidInput outside 0 to kMaxThreads.
inline std::size_t thread_count(int threads) {
    if (threads < 0 || threads > kMaxThreads)
        throw InvalidInput("threads is " + std::to_string(threads) + "; allowed are 0 (one a core) to " +
                           std::to_string(kMaxThreads));
    return threads ? threads : std::max(1u, std::thread::hardware_concurrency());
}

// work(first, last) for pieces of 0 .. count - 1 that are `piece` long, or shorter at the end, on at most `threads`
// threads, this one among them. Once a piece throws, no further ones begin; the first exception is thrown again here.
template <class Work>
void parallel(std::size_t count, std::size_t piece, std::size_t threads, const Work& work) {
    std::atomic<std::size_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    const auto take_pieces = [&] {
        try {
            for (std::size_t first; (first = next.fetch_add(piece)) < count;)
                work(first, std::min(first + piece, count));
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next = count;
        }
    };
    const std::size_t workers = std::min(threads, (count + piece - 1) / piece);
    std::vector<std::thread> others;
    others.reserve(workers);
    try {
        for (std::size_t t = 1; t < workers; ++t) others.emplace_back(take_pieces);
    } catch (const std::system_error&) {
        // No more threads to be had: those that run do the work.
    }
    take_pieces();
    for (std::thread& other : others) other.join();
    if (failure) std::rethrow_exception(failure);
}

}  // namespace lfic
