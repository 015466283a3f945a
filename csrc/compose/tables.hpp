// What painting weights with: the cubic at 64 phases, and the soft edge of a layer.
#pragma once
#include <array>
#include <cstdint>

namespace lfic {

inline constexpr int kPhases = 64;
inline constexpr int kEdgeFrom = 32, kEdgeTo = 640;  // in 1/64 template pixels from its edge: nothing seen, all seen
inline constexpr int kEdge = kEdgeTo - kEdgeFrom;

namespace tables {

constexpr int floor_div(int a, int b) {
    return a >= 0 ? a / b : -((b - 1 - a) / b);
}

// Weights, in 1/1024, of the pixels -1, 0, 1, 2 at each phase; what rounding leaves goes to pixel 0.
constexpr std::array<std::array<int16_t, 4>, kPhases> cubic() {
    std::array<std::array<int16_t, 4>, kPhases> out{};
    for (int k = 0; k <= kPhases / 2; ++k) {
        const int first = floor_div(-4096 * k + 128 * k * k - k * k * k + 256, 512);
        const int third = floor_div(4096 * k + 256 * k * k - 3 * k * k * k + 256, 512);
        const int fourth = floor_div(-64 * k * k + k * k * k + 256, 512);
        out[k] = {static_cast<int16_t>(first), static_cast<int16_t>(1024 - first - third - fourth),
                  static_cast<int16_t>(third), static_cast<int16_t>(fourth)};
    }
    for (int k = kPhases / 2 + 1; k < kPhases; ++k) {  // so that a mirrored picture becomes the mirrored one
        const auto& m = out[kPhases - k];
        out[k] = {m[3], m[2], m[1], m[0]};
    }
    return out;
}

// Opacity in 1/256 from kEdgeFrom to kEdgeTo: 3 t^2 - 2 t^3, rounded half up.
constexpr std::array<int16_t, kEdge + 1> ramp() {
    std::array<int16_t, kEdge + 1> out{};
    constexpr int64_t span = kEdge, cube = span * span * span;
    for (int64_t t = 0; t <= span; ++t)
        out[static_cast<std::size_t>(t)] =
            static_cast<int16_t>((512 * (3 * t * t * span - 2 * t * t * t) + cube) / (2 * cube));
    return out;
}

}  // namespace tables

inline constexpr auto kCubic = tables::cubic();
inline constexpr auto kRamp = tables::ramp();

}  // namespace lfic
