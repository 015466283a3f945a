// Inputs of the target in decode.cpp: valid ones, and what damages them.
#pragma once
#include <algorithm>

#include "coder/face.hpp"
#include "coder/stream.hpp"
#include "tests/random_model.hpp"

namespace lfic {

// The model of decode.cpp.
inline ContextModel fuzzed_model() {
    return {random_arrays(8, 2, 16, 8, 3, 24, 11), random_tables(24, 7), Simd::automatic};
}

// Valid inputs of the fuzz target: its 4 bytes, then a stream that decodes. The model is the one of decode.cpp.
inline Bytes valid_input(Random& random, const ContextModel& model) {
    Bytes out;
    for (int i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(random.next()));
    if (out[0] % 3 == 0) {
        const std::size_t count = out[1] + std::size_t{256} * (out[2] & 3);
        std::vector<int32_t> symbols(count);
        std::vector<uint8_t> indexes(count);
        for (std::size_t i = 0; i < count; ++i) {
            indexes[i] = static_cast<uint8_t>(i * 7 % model.tables().count());
            symbols[i] = random.between(0, 99) ? random.between(-9, 9) : random.between(INT32_MIN, INT32_MAX);
        }
        encode_stream(model.tables(), symbols.data(), indexes.data(), count, out);
        return out;
    }
    const bool aligned = out[0] % 3 == 2;
    const Grid grid{aligned ? 14 : 1 + out[1] % 18, aligned ? 14 : 1 + out[2] % 18, 1 + out[3] % 100, aligned};
    std::vector<uint8_t> levels(static_cast<std::size_t>(grid.rows()) * grid.columns());
    for (auto& level : levels) level = static_cast<uint8_t>(random.between(0, 2));
    std::vector<int16_t> symbols(model.kept_cells(grid, levels.data()) * model.channels());
    for (auto& s : symbols)
        s = static_cast<int16_t>(random.between(0, 99) ? random.between(-4, 4) : random.between(-32768, 32767));
    encode_face(model, {grid, levels.data(), symbols.data(), symbols.size(), true}, out);
    return out;
}

inline void damage(Random& random, Bytes& bytes) {
    for (int times = random.between(1, 4); times > 0 && bytes.size() > 4; --times) {
        const int at = random.between(4, static_cast<int>(bytes.size()) - 1);
        switch (random.between(0, 5)) {
            case 0: bytes[at] ^= static_cast<uint8_t>(1 << random.between(0, 7)); break;
            case 1: bytes[at] = static_cast<uint8_t>(random.next()); break;
            case 2: bytes.resize(at); break;
            case 3: bytes.insert(bytes.begin() + at, static_cast<uint8_t>(random.next())); break;
            case 4: bytes.erase(bytes.begin() + at); break;
            default: std::fill(bytes.begin() + at, bytes.end(), static_cast<uint8_t>(random.between(0, 1) ? 255 : 0));
        }
    }
}

}  // namespace lfic
