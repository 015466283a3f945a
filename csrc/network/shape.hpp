// Sizes in cells of 8 x 8 pixels, tiles, and what a picture may be.
#pragma once
#include <algorithm>
#include <string>

#include "common/errors.hpp"
#include "common/sizes.hpp"
#include "network/network.hpp"

namespace lfic::network {

inline constexpr int kStride = 8;          // pixels of a feature cell's side
inline constexpr int kTile = 192;          // cells of a tile's side, what it sees around itself not counted
inline constexpr int kCellsAtOnce = 1568;  // of several pictures that run together: 8 faces

constexpr int cells_along(int pixels) {
    return (pixels + kStride - 1) / kStride;
}
constexpr int even(int cells) {
    return cells + cells % 2;
}
inline int regions(const Picture& picture) {
    return regions_along(cells_along(picture.height)) * regions_along(cells_along(picture.width));
}
inline bool needs_tiles(const Picture& picture) {
    return cells_along(picture.height) > kTile || cells_along(picture.width) > kTile;
}
// Pieces of a side: all but the last one are a multiple of 4 cells.
constexpr int pieces(int cells) {
    return (cells + kTile - 1) / kTile;
}
constexpr int piece_size(int cells) {
    return ((cells + pieces(cells) - 1) / pieces(cells) + 3) / 4 * 4;
}

// Cells [first, last) of a side.
struct Run {
    int first, last;
    int size() const { return last - first; }
    Run grown(int by, int limit) const { return {std::max(0, first - by), std::min(limit, last + by)}; }
};

inline void check_picture(const Picture& picture) {
    if (picture.height < 1 || picture.width < 1 || picture.height > kMaxSide || picture.width > kMaxSide)
        throw InvalidInput("the picture is " + std::to_string(picture.width) + " x " + std::to_string(picture.height) +
                           " pixels; allowed are 1 to " + std::to_string(kMaxSide) + " a side");
    if (picture.quality < 1 || picture.quality > kQualities)
        throw InvalidInput("quality is " + std::to_string(picture.quality) + "; allowed are 1 to " +
                           std::to_string(kQualities));
    if (picture.aligned && (cells_along(picture.height) != kAlignedGrid || cells_along(picture.width) != kAlignedGrid))
        throw InvalidInput("an aligned picture has a grid of 14 x 14 cells; found " + std::to_string(picture.width) +
                           " x " + std::to_string(picture.height) + " pixels");
}

}  // namespace lfic::network
