#include "png/rows.hpp"

#include <cstdlib>

namespace lfic {
namespace {

uint8_t paeth(int left, int up, int corner) {
    const int to_left = std::abs(up - corner), to_up = std::abs(left - corner);
    const int to_corner = std::abs(left + up - 2 * corner);
    if (to_left <= to_up && to_left <= to_corner) return static_cast<uint8_t>(left);
    return static_cast<uint8_t>(to_up <= to_corner ? up : corner);
}

// What filter `F` leaves of a row -> out; the sum of its differences.
template <int F>
uint64_t filtered(const std::vector<uint8_t>& row, const std::vector<uint8_t>& above, std::size_t step,
                  std::vector<uint8_t>& out) {
    uint64_t sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
        const int left = i < step ? 0 : row[i - step], corner = i < step ? 0 : above[i - step], up = above[i];
        const int guess = F == 0 ? 0 : F == 1 ? left : F == 2 ? up : F == 3 ? (left + up) / 2 : paeth(left, up, corner);
        out[i] = static_cast<uint8_t>(row[i] - guess);
        sum += static_cast<uint64_t>(std::abs(static_cast<int8_t>(out[i])));
    }
    return sum;
}

}  // namespace

std::vector<uint8_t> png_rows(const uint8_t* pixels, std::size_t stride, uint32_t width, uint32_t height,
                              int channels) {
    const std::size_t step = static_cast<std::size_t>(channels), row = step * width;
    std::vector<uint8_t> out, here(row), above(row, 0), tried(row), best(row);
    out.reserve((row + 1) * height);
    for (uint32_t y = 0; y < height; ++y) {
        for (uint32_t x = 0; x < width; ++x, pixels += stride)
            for (std::size_t c = 0; c < step; ++c) here[step * x + c] = pixels[c];
        uint64_t least = UINT64_MAX;
        uint8_t chosen = 0;
        const auto attempt = [&](uint8_t filter, uint64_t sum) {
            if (sum >= least) return;
            least = sum;
            chosen = filter;
            best.swap(tried);
        };
        attempt(0, filtered<0>(here, above, step, tried));
        attempt(1, filtered<1>(here, above, step, tried));
        attempt(2, filtered<2>(here, above, step, tried));
        attempt(3, filtered<3>(here, above, step, tried));
        attempt(4, filtered<4>(here, above, step, tried));
        out.push_back(chosen);
        out.insert(out.end(), best.begin(), best.end());
        here.swap(above);
    }
    return out;
}

}  // namespace lfic
