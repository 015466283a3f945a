// The small codes that all versions of the container are written in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/errors.hpp"

namespace lfic {

// Bytes that somebody else holds.
struct View {
    const uint8_t* data;
    std::size_t size;
};

// CRC-16/XMODEM: polynomial 0x1021, start 0, no reflection.
inline uint16_t crc16(const uint8_t* data, std::size_t size) {
    unsigned crc = 0;
    for (std::size_t i = 0; i < size; ++i) {
        crc ^= static_cast<unsigned>(data[i]) << 8;
        for (int k = 0; k < 8; ++k) crc = (crc << 1 ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xFFFF;
    }
    return static_cast<uint16_t>(crc);
}

// Seven bits a byte, lowest first.
inline void put_leb128(std::vector<uint8_t>& out, uint32_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>((value & 0x7F) | 0x80));
    out.push_back(static_cast<uint8_t>(value));
}

// The number at `at`, which moves behind it: at most three bytes, no needless zero byte at the end.
inline uint32_t take_leb128(const View& file, std::size_t& at, const char* name) {
    uint32_t value = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        if (at + i >= file.size) throw CorruptStream(std::string("the file ends within its ") + name, at + i);
        const uint32_t byte = file.data[at + i];
        value |= (byte & 0x7F) << 7 * i;
        if (byte < 0x80) {
            if (i && byte == 0)
                throw ContainerError(std::string("the ") + name + " is written with a needless byte at " +
                                     std::to_string(at + i));
            at += i + 1;
            return value;
        }
    }
    throw ContainerError(std::string("the ") + name + " takes more than 3 bytes at byte " + std::to_string(at));
}

}  // namespace lfic
