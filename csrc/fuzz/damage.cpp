#include <algorithm>

#include "fuzz/target.hpp"

namespace lfic::fuzz {

void damage(Random& random, Input& input) {
    for (int times = random.between(1, 4); times > 0 && !input.empty(); --times) {
        const int last = static_cast<int>(input.size()) - 1;
        // Heads are short and decide much.
        const int at = random.between(0, one_in(random, 3) ? std::min(last, 24) : last);
        const auto where = input.begin() + at;
        switch (random.between(0, 7)) {
            case 0:
            case 1: input[static_cast<std::size_t>(at)] ^= static_cast<uint8_t>(1 << random.between(0, 7)); break;
            case 2: input[static_cast<std::size_t>(at)] = static_cast<uint8_t>(random.next()); break;
            case 3: input.insert(where, static_cast<uint8_t>(random.next())); break;
            case 4: input.erase(where); break;
            case 5: {
                const Input copy(where, input.begin() + random.between(at, std::min(last, at + 64)));
                input.insert(where, copy.begin(), copy.end());
                break;
            }
            case 6: std::fill(where, input.end(), static_cast<uint8_t>(one_in(random, 2) ? 255 : 0)); break;
            default: input.resize(static_cast<std::size_t>(at));
        }
    }
}

}  // namespace lfic::fuzz
