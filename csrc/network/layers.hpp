// The layers of the integer networks as a variant's kernels read them, and what a kernel is asked for.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "network/memory.hpp"

namespace lfic::network {

inline constexpr int kPanel = 16;       // outputs that are computed together
inline constexpr int kMaxTaps = 25;     // of a depthwise convolution
inline constexpr int kNoSilu = -1;      // a layer without SiLU
inline constexpr int kMaxSegments = 9;  // runs of channels that a sum reads
inline constexpr std::int64_t kWord = std::int64_t{1} << 31;

// y[n] = clamp(clamp16((sum_k W[n, k] x[k] + B[n]) >> shift[n]) + residual[n], low, high), then SiLU where `unit` >= 0.
// Outputs stand in panels of 16; within one, in the variant's order of lanes.
struct Linear {
    int outputs = 0, inputs = 0;          // multiples of 16 (what is missing is zeros), and of 2
    AlignedVector<std::int16_t> weights;  // [outputs / 16][inputs / 2][16][2]
    AlignedVector<std::int32_t> bias;     // [rows][outputs]
    AlignedVector<std::int32_t> shift;    // [outputs]
    int rows = 1;                         // of bias: 1, or one for each quality
    std::int16_t low = 0, high = 0;
    int unit = kNoSilu;  // fraction bits of SiLU's argument

    const std::int32_t* bias_of(int quality) const {
        return bias.data() +
               (rows == 1 ? 0 : static_cast<std::size_t>(quality - 1) * static_cast<std::size_t>(outputs));
    }
};

// Each channel by itself: y[c] = clamp((sum_t W[t, c] x[t, c] + B[c]) >> shift[c], low, high).
struct Depthwise {
    int channels = 0, kernel = 0;
    AlignedVector<std::int16_t> weights;  // [blocks of channels][pairs of taps][lanes][2]
    AlignedVector<std::int32_t> bias, shift;
    std::int16_t low = 0, high = 0;
};

struct Block {
    Depthwise depthwise;
    Linear expand, project;
};

// Runs of `length` channels, a number of elements away from a pixel's address each.
struct Segments {
    int count = 1, length = 0;
    std::ptrdiff_t offset[kMaxSegments] = {};
};

// A linear layer at `pixels` places. in, out, residual: the places' addresses; residual may be out, or null.
struct LinearCall {
    const Linear* layer;
    const std::int32_t* bias;
    int pixels;
    const std::int16_t* const* in;
    Segments from;
    std::int16_t* const* out;
    Segments to;
    const std::int16_t* const* residual;
};

// A depthwise layer; tap t of a pixel lies taps[t] elements away, with one more entry for an odd count.
struct DepthwiseCall {
    const Depthwise* layer;
    int pixels;
    const std::int16_t* const* in;
    const std::ptrdiff_t* taps;
    std::int16_t* out;  // [pixels, channels]
};

// A variant for an instruction set. order: which of a panel's outputs a lane holds; depthwise_order the same for a
// block of `depthwise_block` channels.
struct Kernels {
    const char* name;
    void (*linear)(const LinearCall&);
    void (*depthwise)(const DepthwiseCall&);
    const int* order;
    const int* depthwise_order;
    int depthwise_block;
};

// "auto" takes the best that the machine has; throws InvalidInput where it lacks what is named.
const Kernels& kernels_named(const char* name);

}  // namespace lfic::network
