// Small random tables and context models for tests and fuzzers: every shape and limit that the real ones have.
#pragma once
#include <algorithm>
#include <memory>
#include <vector>

#include "coder/context_model.hpp"

namespace lfic {

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers everywhere.
struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15u;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
        return z ^ (z >> 31);
    }
    int between(int low, int high) {
        return static_cast<int>(low + static_cast<int64_t>(next() % static_cast<uint64_t>(int64_t{high} - low + 1)));
    }
};

// Table 0 is one symbol of frequency 65535, table 1 one of frequency 1, table 2 sixty-five thousand symbols of
// frequency 1; the others fall off from a mode in 3 to 40 symbols.
inline std::shared_ptr<const Tables> random_tables(int count, uint64_t seed) {
    Random random{seed};
    std::vector<int32_t> lows;
    std::vector<int64_t> starts{0};
    std::vector<uint16_t> frequencies;
    for (int k = 0; k < count; ++k) {
        std::vector<int> f;
        if (k == 0) f = {65535};
        if (k == 1) f = {1};
        if (k == 2) f.assign(65000, 1);
        if (k > 2) {
            const int size = random.between(3, 40), mode = random.between(0, size - 1), slope = random.between(1, 12);
            int left = 65000;
            f.assign(size, 1);
            for (int i = 0; i < size; ++i)
                f[i] = std::max(1, (40000 >> std::min(20, std::abs(i - mode) * slope / 4)) * 3 / 10);
            int sum = 0;
            for (int v : f) sum += v;
            while (sum > left) {
                sum = 0;
                for (int& v : f) sum += v = std::max(1, v / 2);
            }
        }
        lows.push_back(k == 2 ? -32500 : random.between(-20, 2));
        for (int v : f) frequencies.push_back(static_cast<uint16_t>(v));
        starts.push_back(static_cast<int64_t>(frequencies.size()));
    }
    return std::make_shared<Tables>(lows, starts, frequencies);
}

inline ContextArrays random_arrays(int C, int G, int H1, int H2, int scales, int tables, uint64_t seed) {
    Random random{seed};
    auto fill = [&](auto& to, std::size_t size, int low, int high) {
        to.resize(size);
        for (auto& v : to) v = static_cast<std::decay_t<decltype(v)>>(random.between(low, high));
    };
    ContextArrays a;
    a.channels = C, a.groups = G, a.hidden1 = H1, a.hidden2 = H2, a.scales = scales;
    a.sh1 = 9, a.sh2 = 9, a.sh3 = 7, a.mshift = 12;
    const int per = C / G;
    const std::size_t qlc = std::size_t{kQualities} * kLevels * C;
    fill(a.w1, std::size_t(H1) * 4 * C, -300, 300);
    fill(a.b_level, std::size_t(kLevels) * H1, -9000, 9000);
    fill(a.b_quality, std::size_t(kQualities) * H1, -9000, 9000);
    fill(a.b_avail, std::size_t(16) * H1, -9000, 9000);
    fill(a.b_pos, std::size_t(kPlaces) * H1, -9000, 9000);
    a.w2.resize(G);
    for (int g = 0; g < G; ++g) fill(a.w2[g], std::size_t(H2) * (H1 + g * per), -300, 300);
    fill(a.b2, std::size_t(G) * H2, 0, 30000);
    fill(a.w3, std::size_t(G) * 2 * per * H2, -60, 60);
    fill(a.b3, std::size_t(G) * 2 * per, -3000, 3000);
    fill(a.vstep, qlc, 100, 20000);
    fill(a.mgain, qlc, 0, 2000);
    fill(a.sbias, qlc, -100, 600);
    fill(a.active, qlc, 0, 5);
    for (auto& v : a.active) v = v > 0;
    fill(a.table_map, std::size_t(scales) * 8, 0, tables - 1);
    fill(a.level_prior, std::size_t(kPriorPlaces) * kPriorQualities * kPriorContexts * 2, 512, 65024);
    return a;
}

}  // namespace lfic
