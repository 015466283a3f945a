#include <algorithm>
#include <vector>

#include "common/compiler.hpp"
#include "common/cpu.hpp"
#include "common/threads.hpp"
#include "compose/compose.hpp"

namespace lfic {
namespace {

constexpr std::size_t kBand = 32;  // rows of the result that a thread takes at once
constexpr int kWeightBits = 14;    // the weights of one pixel sum to 2^14
constexpr int kKept = 6;           // bits below the point between the passes: a sum stays within 16 bits

// What one row or column of the result is made of: the source's from `first` on, which may lie beyond its edges.
struct Taps {
    int64_t first;
    std::vector<int16_t> weights;
};

// The cubic of Catmull and Rom at |x| / unit, times 2 unit^3.
int64_t cubic(int64_t x, int64_t unit) {
    if (x >= 2 * unit) return 0;
    if (x > unit) return ((5 * unit - x) * x - 8 * unit * unit) * x + 4 * unit * unit * unit;
    return (3 * x - 5 * unit) * x * x + 2 * unit * unit * unit;
}

// Of the result's row or column `at`. Places are integers: source pixel i lies (2 i + 1) n - (2 at + 1) 2^k from its
// middle, in units of which 2^(k + 1) are a pixel of the result.
Taps taps_of(int64_t at, int reduction) {
    const int64_t n = eighths(reduction), unit = int64_t{2} << shift(reduction);
    const int64_t middle = (2 * at + 1) * (unit / 2);
    const auto place = [&](int64_t i) { return (2 * i + 1) * n - middle; };
    Taps out;
    out.first = (middle - 2 * unit) / (2 * n) - 1;
    while (place(out.first) <= -2 * unit) ++out.first;
    std::vector<int64_t> values;
    int64_t total = 0;
    for (int64_t i = out.first; place(i) < 2 * unit; ++i) {
        values.push_back(cubic(std::abs(place(i)), unit));
        total += values.back();
    }
    int left = 1 << kWeightBits;
    for (const int64_t value : values) {
        const int64_t doubled = (value << (kWeightBits + 1)) + total;  // rounds half up, below zero as well
        int64_t weight = doubled / (2 * total);
        if (doubled % (2 * total) < 0) --weight;
        out.weights.push_back(static_cast<int16_t>(weight));
        left -= static_cast<int>(weight);
    }
    *std::max_element(out.weights.begin(), out.weights.end()) += static_cast<int16_t>(left);
    return out;
}

std::vector<Taps> taps(int64_t count, int reduction) {
    std::vector<Taps> out;
    for (int64_t at = 0; at < count; ++at) out.push_back(taps_of(at, reduction));
    return out;
}

// sums += a row weighted.
LFIC_INLINE void add(const uint8_t* row, int weight, std::size_t count, int32_t* sums) {
    for (std::size_t i = 0; i < count; ++i) sums[i] += row[i] * weight;
}
void add_any(const uint8_t* row, int weight, std::size_t count, int32_t* sums) {
    add(row, weight, count, sums);
}
#ifdef LFIC_AVX2
LFIC_AVX2 void add_avx2(const uint8_t* row, int weight, std::size_t count, int32_t* sums) {
    add(row, weight, count, sums);
}
#endif

uint8_t clamped(int32_t v) {
    return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// One row of the result from a row of sums, [width, 3].
void across(const int32_t* sums, int64_t width, const std::vector<Taps>& columns, uint8_t* to) {
    constexpr int kDown = kWeightBits - kKept, kUp = kWeightBits + kKept;
    for (const Taps& column : columns) {
        int32_t r = 1 << (kUp - 1), g = r, b = r;
        for (std::size_t k = 0; k < column.weights.size(); ++k) {
            const int64_t x = std::clamp<int64_t>(column.first + static_cast<int64_t>(k), 0, width - 1);
            const int32_t w = column.weights[k];
            const int32_t* from = sums + 3 * x;
            r += w * (from[0] >> kDown), g += w * (from[1] >> kDown), b += w * (from[2] >> kDown);
        }
        to[0] = clamped(r >> kUp), to[1] = clamped(g >> kUp), to[2] = clamped(b >> kUp);
        to += 3;
    }
}

}  // namespace

void shrink(const uint8_t* picture, int reduction, int64_t width, int64_t height, uint8_t* out, int threads) {
    auto add_by = &add_any;
#ifdef LFIC_AVX2
    if (has_avx2()) add_by = &add_avx2;
#endif
    const std::vector<Taps> columns = taps(shrunk_side(width, reduction), reduction);
    const int64_t rows = shrunk_side(height, reduction);
    const std::size_t row = static_cast<std::size_t>(width) * 3;
    parallel(static_cast<std::size_t>(rows), kBand, thread_count(threads), [&](std::size_t first, std::size_t last) {
        std::vector<int32_t> sums(row);
        for (std::size_t y = first; y < last; ++y) {
            const Taps vertical = taps_of(static_cast<int64_t>(y), reduction);
            std::fill(sums.begin(), sums.end(), 1 << (kWeightBits - kKept - 1));
            for (std::size_t k = 0; k < vertical.weights.size(); ++k) {
                const int64_t from = std::clamp<int64_t>(vertical.first + static_cast<int64_t>(k), 0, height - 1);
                add_by(picture + static_cast<std::size_t>(from) * row, vertical.weights[k], row, sums.data());
            }
            across(sums.data(), width, columns, out + y * columns.size() * 3);
        }
    });
}

}  // namespace lfic
