#include "tools/png.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

#include "png/rows.hpp"
#ifdef LFIC_ZLIB
#include <zlib.h>
#endif

namespace lfic {
namespace {

using Bytes = std::vector<uint8_t>;

void put32(Bytes& out, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t crc32_of(const uint8_t* data, std::size_t size) {
    static const auto table = [] {
        std::array<uint32_t, 256> out{};
        for (uint32_t n = 0; n < 256; ++n) {
            uint32_t c = n;
            for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
            out[n] = c;
        }
        return out;
    }();
    uint32_t crc = ~0u;
    for (; size; --size, ++data) crc = table[(crc ^ *data) & 255] ^ crc >> 8;
    return ~crc;
}

void put_chunk(Bytes& out, const char* type, const Bytes& data) {
    put32(out, static_cast<uint32_t>(data.size()));
    const std::size_t from = out.size();
    out.insert(out.end(), type, type + 4);
    out.insert(out.end(), data.begin(), data.end());
    put32(out, crc32_of(out.data() + from, out.size() - from));
}

// A zlib stream, RFC 1950.
Bytes deflated(const Bytes& rows) {
#ifdef LFIC_ZLIB
    // Filtered rows of photos hardly repeat: run lengths find what there is, in a third of the time.
    z_stream z{};
    if (deflateInit2(&z, 6, Z_DEFLATED, 15, 8, Z_RLE) != Z_OK) throw std::bad_alloc();
    Bytes out(deflateBound(&z, static_cast<uLong>(rows.size())));
    z.next_in = const_cast<Bytef*>(rows.data());
    z.avail_in = static_cast<uInt>(rows.size());
    z.next_out = out.data();
    z.avail_out = static_cast<uInt>(out.size());
    const int done = deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    if (done != Z_STREAM_END) throw std::runtime_error("zlib does not deflate the picture");
    return out;
#else
    constexpr std::size_t kBlock = 65535;
    Bytes out = {0x78, 0x01};
    uint32_t a = 1, b = 0;
    for (std::size_t at = 0; at < rows.size(); at += kBlock) {
        const std::size_t size = std::min(kBlock, rows.size() - at);
        out.push_back(at + size == rows.size());
        for (const std::size_t n : {size, ~size})
            for (int shift = 0; shift < 16; shift += 8) out.push_back(static_cast<uint8_t>(n >> shift));
        for (std::size_t i = at; i < at + size; ++i) a = (a + rows[i]) % 65521, b = (b + a) % 65521;
        out.insert(out.end(), rows.data() + at, rows.data() + at + size);
    }
    put32(out, b << 16 | a);
    return out;
#endif
}

}  // namespace

Bytes png(const uint8_t* rgb, uint32_t width, uint32_t height, bool grey) {
    Bytes out = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    Bytes head;
    put32(head, width);
    put32(head, height);
    for (const int value : {8, grey ? 0 : 2, 0, 0, 0}) head.push_back(static_cast<uint8_t>(value));
    put_chunk(out, "IHDR", head);
    put_chunk(out, "IDAT", deflated(png_rows(rgb, 3, width, height, grey ? 1 : 3)));
    put_chunk(out, "IEND", {});
    return out;
}

}  // namespace lfic
