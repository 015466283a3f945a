// Painting in integers: backgrounds are enlarged, face layers are warped and blended; equal on every machine.
//
// All resampling is by Catmull and Rom's cubic (1974) at 64 phases; weights are in 1/1024. Two passes keep all bits:
// the product of both is rounded once. docs/FORMAT.md has the formulas; tests/support/compose_reference.py computes
// them with numpy. Pixels are RGB, three bytes each, rows one behind the other.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "compose/place.hpp"

namespace lfic {

// A face of kSide << size pixels a side, size 0 to kMaxSize, and where it is painted.
struct Painted {
    const uint8_t* pixels;
    Place place;
    int size = 0;
};

// How much smaller than its picture a background is: reduction r, 0 to 15, has eighths(r) / 2^shift(r) of its sides.
inline constexpr int kMaxReduction = 15;
constexpr int eighths(int reduction) {
    return 8 - (reduction & 3);
}
constexpr int shift(int reduction) {
    return 3 + (reduction >> 2);
}

// Steps of quality by which a picture that is coded smaller has a finer stream than its own quality's. An error weighs
// exp(0.0698 quality) in training, and one of the smaller picture's is several of the picture's:
// round(2 / 0.0698 ln(2^shift / eighths)).
constexpr int finer(int reduction) {
    constexpr int kSteps[kMaxReduction + 1] = {0, 4, 8, 13, 20, 24, 28, 33, 40, 44, 48, 53, 60, 63, 68, 73};
    return kSteps[reduction];
}

// Pixels along a side of a background, rounded up.
constexpr int64_t shrunk_side(int64_t side, int reduction) {
    return (side * eighths(reduction) + (int64_t{1} << shift(reduction)) - 1) >> shift(reduction);
}

// A background of shrunk_side(height, r) x shrunk_side(width, r) pixels -> [height, width, 3]. threads: 0 is one a
// core. Needs a few rows of memory, whatever the height.
void enlarge(const uint8_t* background, int reduction, int64_t width, int64_t height, uint8_t* out, int threads);

// A picture [height, width, 3] -> [shrunk_side(height, r), shrunk_side(width, r), 3], by the cubic of `enlarge`, as
// wide as the reduction asks for.
void shrink(const uint8_t* picture, int reduction, int64_t width, int64_t height, uint8_t* out, int threads);

// How a picture that no layer covers is coded best at a quality: as it is (reduction 0), or smaller and at a higher
// quality of its stream, which is the same balance of bits and errors.
struct Resolution {
    int reduction;
    int quality;
};
Resolution resolution_for(const uint8_t* picture, int64_t width, int64_t height, int quality, int threads);
// How much smaller than its picture a background is, and the quality of its stream, at each quality of the backgrounds'
// own scale, 1 to 100. Throws InvalidInput for another.
Resolution background_step(int quality);
// The largest reduction that one of these sides may have; 0: none, whatever it shows.
int most_reduction(int64_t width, int64_t height, int quality);

// Blend a face into a picture [height, width, 3]. Throws InvalidInput for a place out of range.
void paint(uint8_t* picture, int64_t width, int64_t height, const Painted& face, int threads);

// Take from `left` [height, width], 0 to 256, what a layer covers: how much of the background is seen at each pixel.
void cover(int32_t* left, int64_t width, int64_t height, const Place& place, int threads);

// A picture: the background (grey, 128, where it is null), and the faces over it in their order.
void compose(const uint8_t* background, int reduction, const std::vector<Painted>& faces, int64_t width, int64_t height,
             uint8_t* picture, int threads);

}  // namespace lfic
