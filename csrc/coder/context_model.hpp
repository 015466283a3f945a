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
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "coder/cdf.hpp"
#include "coder/cells.hpp"
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

// What the model says of symbols first .. first + count - 1 of a face, in coding order: a table each (-1 where the
// channel is inactive: the symbol is 0 and not coded) and an integer mean.
struct Predictions {
    std::size_t first;
    int count;
    const int32_t *tables, *means;
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

    // A face whose symbols are known: visit(predictions, symbols) for up to kVectors cells at once, in coding order,
    // with the symbols that later predictions follow from. Each is read once from `symbols`.
    using Visit = std::function<void(const Predictions&, const int16_t* symbols)>;
    void walk(const Grid& grid, const uint8_t* levels, const int16_t* symbols, const Visit& visit) const;

    // 1 to kVectors faces whose symbols are to be decoded, of one grid and level map, side by side: group by group
    // decode(face, predictions, symbols) writes the symbols that are coded; the others are 0. A face of which it gives
    // false ends there.
    using Decode = std::function<bool(int face, const Predictions&, int16_t* symbols)>;
    void walk(const Grid* grids, int faces, const uint8_t* levels, const Decode& decode) const;

    void encode_levels(RangeEncoder& coder, const Grid& grid, const uint8_t* levels) const;
    void decode_levels(RangeDecoder& coder, const Grid& grid, uint8_t* levels) const;
    // Ideal bits of a coded level map.
    double level_bits(const Grid& grid, const uint8_t* levels) const;

  private:
    template <class Bit>
    void walk_levels(const Grid& grid, uint8_t* levels, Bit&& bit) const;

    // walk.cpp: the parts of a cell's way from neighbours to predictions.
    struct Columns;
    std::vector<int32_t> first_biases(int quality) const;
    void first_layer(Columns& columns, int count) const;
    void group(Columns& columns, int count, int g) const;
    void predict(const int32_t* sums, std::size_t channel, int32_t* tables, int32_t* means) const;
    void context_values(const int16_t* symbols, std::size_t channel, int count, int16_t* values) const;
    void add_biases(const Grid& grid, const Cell& cell, const int32_t* biases, int32_t* to) const;
    // Where the channels of a quality and level begin in vstep, mgain, sbias, active.
    std::size_t channels_at(int quality, int level) const {
        return (static_cast<std::size_t>(quality - 1) * kLevels + level) * a_.channels;
    }

    ContextArrays a_;
    std::shared_ptr<const Tables> tables_;
    MatVec matvec_;
    Matrix w1_;
    std::vector<Matrix> w2_, w3_;
    std::vector<Aligned<int32_t>> b2_, b3_;  // with half a unit of the shift in them
};

}  // namespace lfic
