// Regionally adaptive pooling with fused quantisation on the CPU, and its inverse; kernels/reference.py is the
// specification.
//
// One pass over the features, region after region (4 x 4 cells of all channels). Every variant (portable, AVX2) and
// every number of threads gives the same bits: sums run over a fixed tree, nothing is contracted, and the sums for the
// tables add regions in their order. Nothing here depends on PyTorch.
#pragma once
#include <cstdint>

#include "common/sizes.hpp"

namespace lfic::rap {

enum class Float { f32, f16, bf16 };

// Floating-point features [N, C, h, w] of any layout, strides in elements; without data: not given.
struct View {
    const void* data = nullptr;
    Float type = Float::f32;
    std::int64_t n = 0, c = 0, h = 0, w = 0;
};

// What every operation needs. levels [N, ceil(h/4), ceil(w/4)], each 0 to 2; quality [N], rows of tables [Q, 3, C].
// Both must have been checked, see check().
struct Grid {
    std::int64_t count, channels, height, width;
    const std::uint8_t* levels;
    const std::int64_t* quality;

    std::int64_t rows() const { return regions_along(height); }
    std::int64_t columns() const { return regions_along(width); }
};

// How to run. threads: at most so many, fewer where there is little to do; nothing of them is left when a call returns,
// so that a process may fork. portable: leave AVX2 alone.
struct Run {
    int threads = 1;
    bool portable = false;
};

// How symbols are made: rounded; with noise that is given; with noise drawn from a seed (Philox 4x32-10). mixed: the
// features are those of rounded symbols all the same.
struct Noise {
    View given;
    const std::int64_t* seed = nullptr;
    bool mixed = false;
};

// Throws InvalidInput where a level or a quality is out of range; rows: of the tables, < 0 where there are
// none.
void check(const Grid& grid, std::int64_t rows);

// starts int32 [N, hr * wr], counts int64 [N]: kept cells before each region and in all. quality is not read.
void offsets(const Grid& grid, std::int32_t* starts, std::int64_t* counts);

// symbols and tables (or null) int16 [N, h * w * C], counts int64 [N] in symbols; indexes int16 [Q, 3, C] or null.
void quantize(const Grid& grid, const View& y, const float* gain, const std::int16_t* indexes, std::int16_t* symbols,
              std::int16_t* tables, std::int64_t* counts, const Run& run);

// features and symbols [N, h, w, C] of type `out`.
void dense(const Grid& grid, const View& y, const Noise& noise, const float* gain, const float* step, Float out,
           void* features, void* symbols, const Run& run);

// grad_y [N, h, w, C] of y's type; to_gain and to_step float [Q, 3, C], full of zeros; each null where it is not
// wanted. Either gradient that comes in may be absent, not both.
void dense_backward(const Grid& grid, const View& grad_features, const View& grad_symbols, const View& y,
                    const Noise& noise, const float* gain, const float* step, void* grad_y, float* to_gain,
                    float* to_step, const Run& run);

// symbols int16 [N, room * C] -> features [N, h, w, C] of type `out`; what a row has no room for counts as 0.
void unpool(const Grid& grid, const std::int16_t* symbols, std::int64_t room, const float* step, Float out,
            void* features, const Run& run);

// to_step float [Q, 3, C], full of zeros.
void unpool_backward(const Grid& grid, const View& grad, const std::int16_t* symbols, std::int64_t room, float* to_step,
                     const Run& run);

}  // namespace lfic::rap
