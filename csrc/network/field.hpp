// Activations of several pictures of one size, a border of zeros around each, and the layers that run over them.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "network/layers.hpp"

namespace lfic::network {

inline constexpr int kBorder = 2;  // cells that the widest depthwise convolution sees beyond an edge
inline constexpr int kChunk = 64;  // places that pass a block together: what is between its layers stays in the cache

// int16 [count, border + rows + border, border + columns + border, channels]; the inside is not cleared.
class Field {
  public:
    Field(int count, int rows, int columns, int channels, int border = kBorder)
        : count(count), rows(rows), columns(columns), channels(channels), border(border) {
        memory_.resize(static_cast<std::size_t>(count) * static_cast<std::size_t>(picture()));
        for (int n = 0; border && n < count; ++n) clear_border(memory_.data() + n * picture());
    }
    const int count, rows, columns, channels, border;

    std::ptrdiff_t line() const { return static_cast<std::ptrdiff_t>(columns + 2 * border) * channels; }
    std::ptrdiff_t picture() const { return (rows + 2 * border) * line(); }
    std::int16_t* at(int n, int y, int x) {
        return memory_.data() + n * picture() + (y + border) * line() +
               static_cast<std::ptrdiff_t>(x + border) * channels;
    }
    // With one of the same size.
    void swap(Field& other) { memory_.swap(other.memory_); }
    const std::int16_t* at(int n, int y, int x) const { return const_cast<Field*>(this)->at(n, y, x); }

  private:
    void clear_border(std::int16_t* p) {
        const std::ptrdiff_t side = static_cast<std::ptrdiff_t>(border) * channels;
        std::fill_n(p, border * line() + side, std::int16_t{0});
        for (int y = 0; y < rows; ++y) {
            std::int16_t* end = p + (border + y + 1) * line() - side;  // of a row, and the next one's beginning
            std::fill_n(end, (y + 1 < rows ? 2 : 1) * side, std::int16_t{0});
        }
        std::fill_n(p + (border + rows) * line(), border * line(), std::int16_t{0});
    }
    AlignedVector<std::int16_t> memory_;
};

// Addresses of places, to be handed to a kernel.
struct Places {
    std::vector<const std::int16_t*> in, residual;
    std::vector<std::int16_t*> out;
    void clear() {
        in.clear();
        residual.clear();
        out.clear();
    }
};

// side x side places of `channels`, from the first one's address on.
inline Segments square(int side, int channels, std::ptrdiff_t line) {
    Segments out;
    out.count = side * side;
    out.length = channels;
    for (int i = 0; i < out.count; ++i)
        out.offset[i] = i / side * line + static_cast<std::ptrdiff_t>(i % side) * channels;
    return out;
}
inline Segments whole(int channels) {
    Segments out;
    out.length = channels;
    return out;
}

// A layer over places, `add` to what lies at their residual.
inline void run(const Kernels& kernels, const Linear& layer, int quality, const Places& places, const Segments& from,
                const Segments& to, bool add) {
    const int count = static_cast<int>(places.in.size());
    for (int first = 0; first < count; first += kChunk) {
        const LinearCall call = {&layer,
                                 layer.bias_of(quality),
                                 std::min(kChunk, count - first),
                                 places.in.data() + first,
                                 from,
                                 places.out.data() + first,
                                 to,
                                 add ? places.residual.data() + first : nullptr};
        kernels.linear(call);
    }
}

// All blocks of a stage; the result is in `field`.
void run_stage(const Kernels& kernels, const std::vector<Block>& blocks, Field& field);

}  // namespace lfic::network
