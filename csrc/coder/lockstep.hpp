// Four table streams side by side, a lane of a vector each: they give the symbols that each gives by itself.
//
// A stream is a chain of dependent steps; four chains fill the processor better. What costs is a symbol that is neither
// the mode nor beside it: its lane leaves the vectors and comes back. So this pays at low rates, where such symbols are
// few.
#pragma once
#include "coder/cdf.hpp"

namespace lfic {

inline constexpr std::size_t kLanes = 4;

// One stream: its bytes, the table of each symbol, where the symbols go. Index: uint8_t, int16_t or int32_t.
template <class Index>
struct Lane {
    const uint8_t* data;
    std::size_t size;
    const Index* indexes;
    std::size_t count;
    int32_t* symbols;
};

// Whether this machine has the instructions.
bool has_lockstep();

// Bits a symbol up to which four streams in lock-step were faster than one after the other (docs/coder.md).
inline constexpr double kLockstepBits = 1.0;

template <class Index>
bool lockstep_pays(const Lane<Index>* lanes) {
    std::size_t bytes = 0, symbols = 0, fewest = lanes[0].count;
    for (std::size_t k = 0; k < kLanes; ++k) {
        bytes += lanes[k].size;
        symbols += lanes[k].count;
        fewest = fewest < lanes[k].count ? fewest : lanes[k].count;
    }
    return 8.0 * static_cast<double>(bytes) <= kLockstepBits * static_cast<double>(symbols) &&
           2 * kLanes * fewest >= symbols && has_lockstep();
}

// Decode kLanes streams whose indexes have been checked. Throws CorruptStream if any of them does by itself,
// InvalidInput where has_lockstep() is false.
template <class Index>
void decode_lockstep(const Tables& tables, const Lane<Index>* lanes);

}  // namespace lfic
