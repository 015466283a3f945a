// Pixels -> features, and their levels.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "network/layers.hpp"
#include "network/network.hpp"
#include "network/pack.hpp"

namespace lfic::network {

class Analysis {
  public:
    // Of the layers whose names begin with `at`, and a level head's with `head`; gains and places are the same for all.
    Analysis(const Reader& reader, const Kernels& kernels, const std::string& at = "analysis.",
             const std::string& head = "level_head.");

    int channels() const { return channels_; }
    const float* gain() const { return gain_.data(); }
    // Checked pictures of one size that one pass can hold.
    void run(const Picture* pictures, const std::uint8_t* const* rgb, std::int16_t* const* features, int count) const;
    // One checked picture by tiles, over threads.
    void run_tiles(const Picture& picture, const std::uint8_t* rgb, std::int16_t* features, std::size_t threads) const;
    void choose_levels(const Picture& picture, const std::int16_t* features, std::uint8_t* levels) const;

  private:
    struct Tile;
    void run_tile(const Picture* pictures, const std::uint8_t* const* rgb, std::int16_t* const* features, int count,
                  const Tile& tile) const;

    const Kernels& kernels_;
    int channels_, inner_width_, width_, fine_width_;
    std::vector<float> gain_;
    std::vector<std::int16_t> position_, position_inner_, level_position_;
    Linear lapped_, down_, down_inner_, out_, detail_, head_enter_, head_mix_, head_out_;
    std::vector<Block> inner_, middle_, fine_;
};

}  // namespace lfic::network
