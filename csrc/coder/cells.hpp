// The order of the kept cells, and the context values around each.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/sizes.hpp"

namespace lfic {

// One face: the grid and what the header says of it.
struct Grid {
    int height, width;  // cells
    int quality;        // 1..100
    bool aligned;       // 14 x 14 only
    int rows() const { return regions_along(height); }
    int columns() const { return regions_along(width); }
};

// A kept cell: its place, and the part of its region that it stands for.
struct Cell {
    int y, x, side, level;
    int bottom, right;       // of what it stands for, cut at the edge; exclusive
    bool west, north, east;  // whether W, N and NE are decoded; NW is where W and N are

    int mask() const { return west | north << 1 | (west && north) << 2 | east << 3; }
};

// take(cell) for every kept cell in coding order, as long as it gives true.
template <class Take>
void for_each_cell(const Grid& grid, const uint8_t* levels, const Take& take) {
    const int h = grid.height, w = grid.width, columns = grid.columns();
    for (int ry = 0; ry < grid.rows(); ++ry)
        for (int rx = 0; rx < columns; ++rx) {
            const int level = levels[static_cast<std::ptrdiff_t>(ry) * columns + rx], s = 1 << level;
            const int bottom = std::min((ry + 1) * kRegion, h), right = std::min((rx + 1) * kRegion, w);
            for (int y = ry * kRegion; y < bottom; y += s)
                for (int x = rx * kRegion; x < right; x += s) {
                    // To the north-east lies the region above or this one: the one to the right comes later.
                    const bool north = y > 0;
                    const bool east = north && x + s < w && (y % kRegion == 0 || x % kRegion + s < kRegion);
                    const Cell cell{y,     x,     s,   level, std::min(y + s, bottom), std::min(x + s, right),
                                    x > 0, north, east};
                    if (!take(cell)) return;
                }
        }
}

// Context values of one row of regions and of the last row of cells above it: the neighbours of all cells to come.
class Band {
  public:
    Band(int width, int channels)
        : channels_(channels),
          row_(static_cast<std::ptrdiff_t>(width) * channels),
          values_(static_cast<std::size_t>(1 + kRegion) * row_, 0) {}

    // V_W, V_N, V_NW, V_NE of a cell, zeros where they are absent. Cells come in coding order.
    void read(const Cell& cell, int16_t* to) {
        if (cell.y / kRegion != region_) {
            region_ = cell.y / kRegion;
            std::copy(values_.end() - row_, values_.end(), values_.begin());
        }
        const int16_t* here = at(cell.y, cell.x);
        copy(cell.west, here - channels_, to);
        copy(cell.north, here - row_, to + channels_);
        copy(cell.west && cell.north, here - row_ - channels_, to + 2 * channels_);
        copy(cell.east, here - row_ + static_cast<std::ptrdiff_t>(cell.side) * channels_, to + 3 * channels_);
    }
    // The values of a cell, for all that it stands for.
    void write(const Cell& cell, const int16_t* values) {
        for (int y = cell.y; y < cell.bottom; ++y)
            for (int x = cell.x; x < cell.right; ++x) std::copy_n(values, channels_, at(y, x));
    }

  private:
    int16_t* at(int y, int x) {
        return values_.data() + (y % kRegion + 1) * row_ + static_cast<std::ptrdiff_t>(x) * channels_;
    }
    void copy(bool there, const int16_t* from, int16_t* to) const {
        if (there)
            std::copy_n(from, channels_, to);
        else
            std::fill_n(to, channels_, int16_t{0});
    }

    int channels_, region_ = 0;
    std::ptrdiff_t row_;
    std::vector<int16_t> values_;
};

}  // namespace lfic
