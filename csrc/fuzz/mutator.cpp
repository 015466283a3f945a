// How libFuzzer makes an input out of another.
#include <algorithm>

#include "fuzz/target.hpp"

extern "C" std::size_t LLVMFuzzerMutate(uint8_t* data, std::size_t size, std::size_t room);

extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* data, std::size_t size, std::size_t room, unsigned int seed) {
    using namespace lfic;
    Random random{seed};
    fuzz::Input input;
    switch (random.between(0, 7)) {
        case 0: input = fuzz::valid(random); break;
        case 1:
            input = fuzz::valid(random);
            fuzz::damage(random, input);
            fuzz::settle(random, input);
            break;
        case 2:
        case 3:
        case 4:  // libFuzzer's own, which knows what comparisons looked for
            input.assign(data, data + LLVMFuzzerMutate(data, size, room));
            fuzz::settle(random, input);
            break;
        default:
            input.assign(data, data + size);
            fuzz::damage(random, input);
            fuzz::settle(random, input);
    }
    input.resize(std::min(input.size(), room));
    std::copy(input.begin(), input.end(), data);
    return input.size();
}
