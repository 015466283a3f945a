// What a build makes of files: SHA-256 (16 digits) of the pixels that each shows, and of the file that is made of these
// pixels at quality 40. benchmarks/digests.py compares machines by it.
//
//   digests SIMD WEIGHTS FILE...        SIMD: auto, scalar, avx2, neon
#include <cstdio>
#include <fstream>
#include <iterator>

#include "capi/codec.hpp"
#include "format/sha256.hpp"

using namespace lfic;

static std::vector<uint8_t> bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw InvalidInput("can't read " + path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static std::string digest(const std::vector<uint8_t>& bytes) {
    Sha256 sha;
    sha.add(bytes.data(), bytes.size());
    return sha.hex().substr(0, 16);
}

int main(int argc, char** argv) try {
    if (argc < 3) return 2;
    const auto weights = bytes_of(argv[2]);
    const Codec codec({weights.data(), weights.size()}, simd_named(argv[1]));
    for (int k = 3; k < argc; ++k) {
        const auto data = bytes_of(argv[k]);
        const File file = codec.read({data.data(), data.size()}, kMaxPixels);
        std::vector<uint8_t> pixels(std::size_t{3} * file.width * file.height);
        codec.decode(file, pixels.data(), 1);
        const auto coded = codec.encode(pixels.data(), file.width, file.height, {});
        std::printf("%s %s %s\n", argv[k], digest(pixels).c_str(), digest(coded).c_str());
    }
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "digests: %s\n", error.what());
    return 1;
}
