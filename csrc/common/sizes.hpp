// The sizes that the file format fixes, and how many cells a region keeps. kernels/reference.py states the same.
#pragma once
#include <algorithm>

namespace lfic {

inline constexpr int kRegion = 4;         // cells of a region in each direction
inline constexpr int kLevels = 3;         // level l pools 2^l x 2^l cells into one
inline constexpr int kQualities = 100;    // 1 to 100
inline constexpr int kAlignedGrid = 14;   // cells in each direction of an aligned 112 x 112 crop
inline constexpr int kMaxSide = 1 << 16;  // cells in each direction of any grid

static_assert(kRegion == 1 << (kLevels - 1), "the coarsest level pools a whole region");

// Regions along a side of so many cells, the last of which may be partial.
template <class Int>
constexpr Int regions_along(Int cells) {
    return (cells + kRegion - 1) / kRegion;
}

// Cells of the region that begins at cell `first` along a side: kRegion, or what the edge leaves.
template <class Int>
constexpr int region_side(Int first, Int cells) {
    return static_cast<int>(std::min<Int>(kRegion, cells - first));
}

// Kept cells along a side of a region on which `cells` exist.
constexpr int kept_along(int cells, int level) {
    return (cells + (1 << level) - 1) >> level;
}

// Kept cells of a region of which tall x wide cells exist.
constexpr int kept_in_region(int tall, int wide, int level) {
    return kept_along(tall, level) * kept_along(wide, level);
}

}  // namespace lfic
