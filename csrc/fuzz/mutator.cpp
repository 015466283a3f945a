// Mutations that know what an input is. A byte changed at random ends a range-coded stream at once: what lies behind
// its head would hardly be reached. So half of the inputs are streams that decode, whole or damaged late.
#include <cstring>

#include "fuzz/inputs.hpp"

extern "C" std::size_t LLVMFuzzerMutate(uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* data, std::size_t size, std::size_t most, unsigned int seed) {
    static const lfic::ContextModel model = lfic::fuzzed_model();
    lfic::Random random{seed};
    if (random.between(0, 1)) return LLVMFuzzerMutate(data, size, most);
    lfic::Bytes input = lfic::valid_input(random, model);
    if (random.between(0, 1)) lfic::damage(random, input);
    const std::size_t used = std::min(input.size(), most);
    std::memcpy(data, input.data(), used);
    return used;
}
