// SHA-256 (FIPS 180-4), for the digest of a weights file.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace lfic {

class Sha256 {
  public:
    void add(const void* data, std::size_t size);
    void add(const std::string& text) { add(text.data(), text.size()); }
    // 64 hexadecimal digits. Nothing may be added afterwards.
    std::string hex();

  private:
    void blocks(const uint8_t* data, std::size_t count);

    std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<uint8_t, 64> rest_{};
    uint64_t size_ = 0;
};

}  // namespace lfic
