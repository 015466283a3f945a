// What a fuzz target is made of: LLVMFuzzerTestOneInput of libFuzzer, and two functions that know what its input means.
//
// A byte changed at random ends a range-coded stream at once, and a checksum refuses the rest: what lies behind would
// hardly be reached. So a target makes valid inputs, and mends of a damaged one what would be refused at its head.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "tests/random_model.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

namespace lfic::fuzz {

using Input = std::vector<uint8_t>;

// An input that is read to its end.
Input valid(Random& random);
// Checksums, digests and sizes put right, most of the time.
void settle(Random& random, Input& input);

// A few bytes changed, inserted, removed, repeated, or all of the end.
void damage(Random& random, Input& input);

inline void demand(bool condition) {
    if (!condition) std::abort();
}
inline bool one_in(Random& random, int count) {
    return random.between(1, count) == 1;
}

}  // namespace lfic::fuzz
