// Integer context model: what is already decoded -> each symbol's table and integer mean. No float anywhere.
//
// Cells of the feature grid come region by region (4 x 4 cells, raster order), in a region kept cells in raster order,
// in a cell channels 0 .. C-1 in G groups. V holds the context value of every decoded coefficient, written over the
// cells that it stands for. For the kept cell with top-left (y, x) and side s = 2^level:
//
//     W = (y, x-1)   N = (y-1, x)   NW = (y-1, x-1)   NE = (y-1, x+s), if its region is decoded; absent: zeros
//     h1 = clamp((W1 . [V_W, V_N, V_NW, V_NE] + biases) >> sh1, 0, 255)          biases: level, quality, absence, place
//     per group g:  h2 = clamp((W2[g] . [h1, this cell's earlier groups] + b2[g]) >> sh2, 0, 255)
//                   (mean, scale) = (W3[g] . h2 + b3[g]) >> sh3
//     per channel:  m8 = mean * mgain >> mshift (eighths of a symbol) = 8 * integer mean + fraction - 4
//                   table = table_map[clamp((scale + sbias) >> 4)][fraction];  symbol - mean is coded with it
//
// Every shift rounds to nearest (half up). Construction proves that no sum leaves int32.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "coder/cdf.hpp"
#include "coder/matvec.hpp"
#include "common/sizes.hpp"

namespace lfic {

// Biases by place: one for every cell of an aligned grid, and one for all cells of any other.
inline constexpr int kPlaces = 1 + kAlignedGrid * kAlignedGrid;
// Start probabilities of level maps: places (as above, of regions), runs of qualities, levels to the left and above.
inline constexpr int kPriorPlaces = 1 + regions_along(kAlignedGrid) * regions_along(kAlignedGrid);
inline constexpr int kPriorQualities = 8, kPriorContexts = (kLevels + 1) * (kLevels + 1);

// Flat arrays in C order; shapes as in the comment of each.
struct ContextArrays {
    int channels = 0, groups = 0, hidden1 = 0, hidden2 = 0, scales = 0;
    int sh1 = 0, sh2 = 0, sh3 = 0, mshift = 0;
    std::vector<int16_t> w1;                                  // [H1, 4C]
    std::vector<int32_t> b_level, b_quality, b_avail, b_pos;  // [3|100|16|197, H1]
    std::vector<std::vector<int16_t>> w2;                     // G x [H2, H1 + g C/G]
    std::vector<int32_t> b2;                                  // [G, H2]
    std::vector<int16_t> w3;                                  // [G, 2C/G, H2]
    std::vector<int32_t> b3;                                  // [G, 2C/G]
    std::vector<int16_t> vstep;                               // [100, 3, C]
    std::vector<int32_t> mgain, sbias;                        // [100, 3, C]
    std::vector<uint8_t> active;                              // [100, 3, C]
    std::vector<int32_t> table_map;                           // [S, 8]
    std::vector<uint16_t> level_prior;                        // [17, 8, 16, 2]
};

// One face: the grid and what the header says of it.
struct Grid {
    int height, width;  // cells
    int quality;        // 1..100
    bool aligned;       // 14 x 14 only
    int rows() const { return regions_along(height); }
    int columns() const { return regions_along(width); }
};

class ContextModel {
  public:
    ContextModel(ContextArrays arrays, std::shared_ptr<const Tables> tables, Simd simd);

    int channels() const { return a_.channels; }
    const Tables& tables() const { return *tables_; }
    const char* simd() const { return matvec_.name; }

    // Throws InvalidInput unless the grid is one that the model codes.
    void check(const Grid& grid) const;

    // Kept cells under a level map uint8 [rows, columns]; throws InvalidInput for a level above 2.
    std::size_t kept_cells(const Grid& grid, const uint8_t* levels) const;

    // Visit kept cells in coding order. For each coded symbol `visit(k, table, mean)` is called with k its place in
    // coding order and must return the symbol; inactive channels are 0 and not visited.
    template <class Visit>
    void walk(const Grid& grid, const uint8_t* levels, Visit&& visit) const;

    void encode_levels(RangeEncoder& coder, const Grid& grid, const uint8_t* levels) const;
    void decode_levels(RangeDecoder& coder, const Grid& grid, uint8_t* levels) const;
    // Ideal bits of a coded level map.
    double level_bits(const Grid& grid, const uint8_t* levels) const;

  private:
    template <class Bit>
    void walk_levels(const Grid& grid, uint8_t* levels, Bit&& bit) const;

    // What a channel's network outputs turn into; one row per (quality, level), so that coding walks it in order.
    struct Channel {
        int32_t mgain, sbias;
        int16_t vstep;
        uint8_t active;
    };

    ContextArrays a_;
    std::shared_ptr<const Tables> tables_;
    MatVec matvec_;
    int padded1_ = 0, padded_h2_ = 0;        // columns of w1 and w3, padded
    int rows1_ = 0, rows2_ = 0, rows3_ = 0;  // rows of w1, w2[g], w3[g], padded
    std::vector<int> padded2_;               // columns of w2[g], padded
    std::vector<int16_t> w1_;                // padded copies, biases with half a unit of the shift in them
    std::vector<std::vector<int16_t>> w2_, w3_;
    std::vector<std::vector<int32_t>> b2_, b3_;
    std::vector<Channel> channels_;  // [100, 3, C]
};

inline int clamp_int(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

template <class Visit>
void ContextModel::walk(const Grid& grid, const uint8_t* levels, Visit&& visit) const {
    const int C = a_.channels, per_group = C / a_.groups, H1 = a_.hidden1, sh3 = a_.sh3;
    const int h = grid.height, w = grid.width, columns = grid.columns(), q = grid.quality - 1;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(w) * C;
    // Context values of one row of regions, and above them the last row of the regions before: row y is at y % 4 + 1.
    std::vector<int16_t> band(static_cast<std::size_t>(1 + kRegion) * row, 0);
    std::vector<int16_t> x1(padded1_, 0), x2(padded2_.back(), 0), h2(padded_h2_ + kPadRows, 0);
    std::vector<int32_t> sums(rows3_), face(kLevels * H1), bias(rows1_, 0);
    for (int level = 0; level < kLevels; ++level)
        for (int i = 0; i < H1; ++i)
            face[level * H1 + i] = a_.b_level[level * H1 + i] + a_.b_quality[q * H1 + i] + (1 << (a_.sh1 - 1));
    std::size_t k = 0;
    for (int ry = 0; ry < grid.rows(); ++ry) {
        if (ry) std::copy(band.end() - row, band.end(), band.begin());
        for (int rx = 0; rx < columns; ++rx) {
            const int level = levels[static_cast<std::ptrdiff_t>(ry) * columns + rx], s = 1 << level;
            const int bottom = region_side(ry * kRegion, h), right = std::min((rx + 1) * kRegion, w);
            const Channel* channels = &channels_[(static_cast<std::size_t>(q) * kLevels + level) * C];
            for (int dy = 0; dy < bottom; dy += s)
                for (int x = rx * kRegion; x < right; x += s) {
                    const bool west = x > 0, north = ry > 0 || dy > 0;
                    const bool east = north && x + s < w && (dy == 0 || x % kRegion + s < kRegion);
                    const int mask = west | north << 1 | (west && north) << 2 | east << 3;
                    const std::ptrdiff_t at = (dy + 1) * row + static_cast<std::ptrdiff_t>(x) * C;
                    auto neighbour = [&](int slot, bool there, std::ptrdiff_t from) {
                        if (there)
                            std::copy(band.begin() + from, band.begin() + from + C, x1.begin() + slot * C);
                        else
                            std::fill(x1.begin() + slot * C, x1.begin() + (slot + 1) * C, int16_t{0});
                    };
                    neighbour(0, west, at - C);
                    neighbour(1, north, at - row);
                    neighbour(2, west && north, at - row - C);
                    neighbour(3, east, at - row + static_cast<std::ptrdiff_t>(s) * C);
                    const int place = grid.aligned ? 1 + (ry * kRegion + dy) * kAlignedGrid + x : 0;
                    const int32_t *b0 = &face[level * H1], *b1 = &a_.b_avail[mask * H1], *b2 = &a_.b_pos[place * H1];
                    for (int i = 0; i < H1; ++i) bias[i] = b0[i] + b1[i] + b2[i];
                    matvec_.hidden(w1_.data(), rows1_, padded1_, x1.data(), bias.data(), a_.sh1, x2.data());
                    std::fill(x2.begin() + H1, x2.end(), int16_t{0});
                    for (int g = 0; g < a_.groups; ++g) {
                        matvec_.hidden(w2_[g].data(), rows2_, padded2_[g], x2.data(), b2_[g].data(), a_.sh2, h2.data());
                        matvec_.linear(w3_[g].data(), rows3_, padded_h2_, h2.data(), b3_[g].data(), sums.data());
                        for (int i = 0; i < per_group; ++i, ++k) {
                            const int c = g * per_group + i;
                            const Channel& channel = channels[c];
                            if (!channel.active) continue;
                            const int mean = clamp_int(sums[i] >> sh3, -2047, 2047);
                            const int scale = clamp_int(sums[per_group + i] >> sh3, -32767, 32767);
                            const int m8 = (mean * channel.mgain + (1 << (a_.mshift - 1))) >> a_.mshift;
                            const int integer_mean = (m8 + 4) >> 3, fraction = (m8 + 4) & 7;
                            const int si = clamp_int((scale + channel.sbias + 8) >> 4, 0, a_.scales - 1);
                            const int symbol = visit(k, a_.table_map[si * 8 + fraction], integer_mean);
                            x2[H1 + c] =
                                static_cast<int16_t>(clamp_int((symbol * channel.vstep + 128) >> 8, -127, 127));
                        }
                    }
                    for (int yy = dy; yy < std::min(dy + s, bottom); ++yy)
                        for (int xx = x; xx < std::min(x + s, right); ++xx)
                            std::copy(x2.begin() + H1, x2.begin() + H1 + C,
                                      band.begin() + (yy + 1) * row + static_cast<std::ptrdiff_t>(xx) * C);
                }
        }
    }
}

}  // namespace lfic
