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

// ceil(side / 2^exponent), exponent 0 to 3.
constexpr int64_t shrunk_side(int64_t side, int exponent) {
    return (side + (int64_t{1} << exponent) - 1) >> exponent;
}

// A background of shrunk_side(height, exponent) x shrunk_side(width, exponent) pixels -> [height, width, 3].
// threads: 0 is one a core. Needs a few rows of memory, whatever the height.
void enlarge(const uint8_t* background, int exponent, int64_t width, int64_t height, uint8_t* out, int threads);

// Blend a face into a picture [height, width, 3]. Throws InvalidInput for a place out of range.
void paint(uint8_t* picture, int64_t width, int64_t height, const Painted& face, int threads);

// Take from `left` [height, width], 0 to 256, what a layer covers: how much of the background is seen at each pixel.
void cover(int32_t* left, int64_t width, int64_t height, const Place& place, int threads);

// A picture: the background (grey, 128, where it is null), and the faces over it in their order.
void compose(const uint8_t* background, int exponent, const std::vector<Painted>& faces, int64_t width, int64_t height,
             uint8_t* picture, int threads);

}  // namespace lfic
