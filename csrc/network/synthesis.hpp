// Symbols -> pixels.
#pragma once
#include <cstdint>
#include <vector>

#include "network/layers.hpp"
#include "network/network.hpp"
#include "network/pack.hpp"

namespace lfic::network {

class Synthesis {
  public:
    Synthesis(const Reader& reader, const Kernels& kernels);

    int channels() const { return channels_; }
    // Throws InvalidInput unless the numbers are in range.
    void check(const Picture& picture, const Coded& coded) const;
    // Checked pictures of one size that one pass can hold (see fits).
    void run(const Picture* pictures, const Coded* coded, std::uint8_t* const* rgb, int count) const;
    // One checked picture by tiles, over threads.
    void run_tiles(const Picture& picture, const Coded& coded, std::uint8_t* rgb, std::size_t threads) const;

  private:
    struct Tile;
    // Dequantised and unpooled: int16 [rows, columns, channels] with a stride.
    void unpool(const Picture& picture, const Coded& coded, std::int16_t* features) const;
    // features int16 [count, rows, columns, channels] of whole pictures.
    void run_tile(const Picture* pictures, const Coded* coded, const std::int16_t* const* features,
                  std::uint8_t* const* rgb, int count, const Tile& tile) const;

    const Kernels& kernels_;
    int channels_, inner_width_, width_, fine_width_;
    std::vector<std::int32_t> step_;
    std::int16_t low_, high_;
    std::vector<std::int16_t> level_, position_, position_inner_;
    Linear enter_inner_, up_inner_, enter_, up_, lapped_;
    std::vector<Block> inner_, middle_, fine_;
};

}  // namespace lfic::network
