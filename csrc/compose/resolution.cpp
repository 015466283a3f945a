#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "common/errors.hpp"
#include "compose/compose.hpp"

namespace lfic {
namespace {

// Up to which quality a picture may become how much smaller, and how sharp it may be for that: the mean squared error,
// of 8 bits, for each of the details left out. A sharper one (a page, a crowd) loses more than it saves, but at the
// lowest qualities, which keep none of them anyway. By quality and sharpness alone, so that a decoded picture is coded
// as its original was: docs/log/resolution.md.
constexpr struct {
    int quality, reduction;
    double sharpest;
} kChoices[] = {{15, 3, 1e9}, {20, 3, 100}, {31, 2, 50}, {62, 1, 30}};

// The backgrounds' scale: up to which of its qualities they are how much smaller, and the quality of their streams at
// the stretch's start and end. Of all reductions and qualities these have the least squared error outside the faces of
// 24 LFW originals at their bytes, with face-v2, and each stretch begins with more bytes than the one before ends with
// (docs/log/resolution.md).
constexpr struct {
    int quality, reduction, first, last;
} kStretches[] = {{8, 12, 1, 18},  {25, 10, 2, 36}, {33, 8, 26, 40}, {42, 6, 26, 40},  {47, 4, 31, 40},
                  {51, 3, 33, 39}, {55, 2, 34, 41}, {62, 1, 37, 44}, {100, 0, 41, 100}};

constexpr int64_t kLeastSide = 112;  // of what is coded: smaller, likeness and pixels cost more; no face on the
                                     // template ever becomes smaller
constexpr int64_t kWhole = 1 << 20;  // pixels up to which a picture is measured whole
constexpr int64_t kWindow = 256, kWindows = 4;  // beyond them: so many windows of that side along each axis

struct Window {
    std::vector<uint8_t> pixels;
    int64_t width, height;
};

std::vector<Window> windows_of(const uint8_t* picture, int64_t width, int64_t height) {
    const bool whole = width * height <= kWhole;
    const int64_t w = whole ? width : std::min(width, kWindow), h = whole ? height : std::min(height, kWindow);
    const int64_t across = std::min(kWindows, (width + w - 1) / w), down = std::min(kWindows, (height + h - 1) / h);
    std::vector<Window> out;
    for (int64_t j = 0; j < down; ++j)
        for (int64_t i = 0; i < across; ++i) {
            const int64_t left = across > 1 ? (width - w) * i / (across - 1) : 0;
            const int64_t top = down > 1 ? (height - h) * j / (down - 1) : 0;
            Window window{std::vector<uint8_t>(static_cast<std::size_t>(3 * w * h)), w, h};
            for (int64_t y = 0; y < h; ++y) {
                const uint8_t* from = picture + 3 * ((top + y) * width + left);
                std::copy(from, from + 3 * w, window.pixels.begin() + static_cast<std::ptrdiff_t>(3 * y * w));
            }
            out.push_back(std::move(window));
        }
    return out;
}

// Mean squared error of what a reduction leaves out, for each of the details left out.
double lost(const std::vector<Window>& windows, int reduction, int threads) {
    int64_t errors = 0, values = 0;
    std::vector<uint8_t> small, again;
    for (const Window& window : windows) {
        const int64_t w = window.width, h = window.height;
        small.resize(static_cast<std::size_t>(3 * shrunk_side(w, reduction) * shrunk_side(h, reduction)));
        again.resize(window.pixels.size());
        shrink(window.pixels.data(), reduction, w, h, small.data(), threads);
        enlarge(small.data(), reduction, w, h, again.data(), threads);
        for (std::size_t i = 0; i < again.size(); ++i) {
            const int error = again[i] - window.pixels[i];
            errors += error * error;
        }
        values += static_cast<int64_t>(again.size());
    }
    const double side = static_cast<double>(eighths(reduction)) / (1 << shift(reduction));
    return static_cast<double>(errors) / (static_cast<double>(values) * (1 - side * side));
}

}  // namespace

int most_reduction(int64_t width, int64_t height, int quality) {
    for (const auto& choice : kChoices) {
        if (quality > choice.quality) continue;
        int reduction = choice.reduction;
        while (reduction && shrunk_side(std::min(width, height), reduction) < kLeastSide) --reduction;
        return reduction;
    }
    return 0;
}

Resolution background_step(int quality) {
    int first = 1;
    for (const auto& stretch : kStretches) {
        if (quality < 1) break;
        if (quality > stretch.quality) {
            first = stretch.quality + 1;
            continue;
        }
        // Rounded to the nearest, to the even one of two.
        const int steps = stretch.quality - first;
        const int sum = stretch.first * steps + (stretch.last - stretch.first) * (quality - first);
        const int down = sum / steps, twice = 2 * (sum % steps);
        return {stretch.reduction, down + (twice > steps || (twice == steps && down % 2 == 1))};
    }
    throw InvalidInput("background_quality is " + std::to_string(quality) + "; allowed are the integers 1 to 100");
}

Resolution resolution_for(const uint8_t* picture, int64_t width, int64_t height, int quality, int threads) {
    int reduction = most_reduction(width, height, quality);
    if (!reduction) return {0, quality};
    double sharpest = 0;
    for (const auto& choice : kChoices)
        if (quality <= choice.quality) {
            sharpest = choice.sharpest;
            break;
        }
    const std::vector<Window> windows = windows_of(picture, width, height);
    while (reduction && lost(windows, reduction, threads) > sharpest) --reduction;
    return {reduction, quality + finer(reduction)};
}

}  // namespace lfic
