// What the loops of region.hpp work on: the arguments of an operation, one region of a grid, the memory of a thread.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>

#include "rap/cpu.hpp"

namespace lfic::rap {

static_assert(kRegion == 4 && kLevels == 3, "region.hpp writes out 4 x 4 cells, their four quarters and three levels");

inline constexpr int kFloats = 16;               // of a cache line: rows of scratch memory are padded to whole ones
inline constexpr float kSymbolLimit = 32767.0f;  // symbols are int16, and as many below zero as above

struct Half {
    std::uint16_t bits;
};
struct Bfloat {
    std::uint16_t bits;
};

// All arguments of an operation; what one does not take is null.
struct Job {
    explicit Job(const Grid& g) : grid(g) {}
    const Grid& grid;
    const float *gain = nullptr, *step = nullptr;
    View y, grad_features, grad_symbols;
    Noise noise;
    Float out = Float::f32;                        // type of what is stored
    void *features = nullptr, *symbols = nullptr;  // dense results; features: the gradient of y as well
    float *to_gain = nullptr, *to_step = nullptr;  // [Q, 3, C], or per region [N * hr * wr, C]
    bool by_region = false;
    const std::int64_t* starts = nullptr;  // kept cells before each row of regions of an image
    const std::int16_t *indexes = nullptr, *coded = nullptr;
    std::int16_t *ragged = nullptr, *tables = nullptr;
    std::int64_t room = 0;  // cells that a row of `coded` holds
};

// The first of the four cells of a quarter of a region; the others are 1, 4 and 5 further on.
constexpr int first_cell(int quarter) {
    return quarter / 2 * 8 + quarter % 2 * 2;
}

// One region: which, how much of it exists, its rows of the tables.
struct Place {
    std::int64_t image, top, left, region, table;
    int tall, wide, level;
    const float *gain, *step;

    static float over(int cells) { return static_cast<float>(1.0 / std::max(cells, 1)); }
    float reciprocal() const { return over(tall * wide); }
    float quarter_reciprocal(int quarter) const {
        const int y = quarter / 2 ? tall - 2 : std::min(tall, 2), x = quarter % 2 ? wide - 2 : std::min(wide, 2);
        return over(y < 0 || x < 0 ? 1 : y * x);
    }
};

inline Place place(const Job& job, std::int64_t image, std::int64_t row, std::int64_t column) {
    const Grid& grid = job.grid;
    Place at;
    at.image = image;
    at.top = row * kRegion;
    at.left = column * kRegion;
    at.region = (image * grid.rows() + row) * grid.columns() + column;
    at.level = grid.levels[at.region];
    at.tall = region_side(at.top, grid.height);
    at.wide = region_side(at.left, grid.width);
    at.table = grid.quality[image] * kLevels + at.level;
    at.gain = job.gain ? job.gain + at.table * grid.channels : nullptr;
    at.step = job.step ? job.step + at.table * grid.channels : nullptr;
    return at;
}

// Memory of one thread: rows of C floats, each of which begins a cache line. Rows 0 and 1 hold what is converted before
// it is stored, those from kMeans on a mean for each quarter, those from kSums on two sums for each.
inline constexpr int kMeans = 2, kSums = kMeans + 4, kScratchRows = kSums + 8;
class Scratch {
  public:
    const std::int64_t pitch;

    explicit Scratch(std::int64_t channels) : pitch((channels + kFloats - 1) / kFloats * kFloats) {
        memory_.reset(new float[static_cast<std::size_t>((1 + kScratchRows + 16 * kBlocks) * pitch + kFloats)]);
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
        first_ = memory_.get() + (64 - address % 64) % 64 / sizeof(float);
        std::fill(first_, first_ + pitch, 0.0f);
        no_symbols_.reset(new std::int16_t[static_cast<std::size_t>(channels)]());
    }
    const float* zeros() const { return first_; }
    const std::int16_t* no_symbols() const { return no_symbols_.get(); }
    float* row(std::int64_t k) const { return first_ + (1 + k) * pitch; }
    // 16 rows: the cells of a region.
    float* block(std::int64_t k) const { return row(kScratchRows + 16 * k); }

  private:
    static constexpr std::int64_t kBlocks = 4;
    std::unique_ptr<float[]> memory_;
    std::unique_ptr<std::int16_t[]> no_symbols_;
    float* first_;
};

// One row of regions of one image.
using RegionRow = void (*)(const Job&, std::int64_t image, std::int64_t row, const Scratch&);

// What region.hpp defines for an instruction set.
struct Variant {
    RegionRow dense, backward, quantize, unpool, unpool_backward;
    void (*add_rows)(const float*, float*, std::int64_t);
};

}  // namespace lfic::rap
