#include "format/bare.hpp"

#include "common/sizes.hpp"
#include "format/file.hpp"

namespace lfic {

static_assert(kFaceV1 == 0 && kFaceV2 == 1, "a bare stream's first byte tells these from each other");
static constexpr int kShortModels = 2;

std::vector<uint8_t> file_of_bare(const View& bare) {
    if (!bare.size) throw CorruptStream("the bare stream is empty; it has at least 1 byte", 0);
    const int first = bare.data[0];
    if (first == kMagic) return {bare.data, bare.data + bare.size};
    if (first >= kShortModels * kQualities)
        throw ContainerError("this is no bare stream: its first byte is " + std::to_string(first) +
                             "; allowed are 0 to " + std::to_string(kShortModels * kQualities - 1) + ", and " +
                             std::to_string(kMagic) + " of a file");
    File file;
    file.width = file.height = kSide;
    file.model = first / kQualities;
    file.checksum = false;
    file.background = Stream{kSide, kSide, first % kQualities + 1, kCodedMap, true, {bare.data + 1, bare.size - 1}};
    return write_file(file);
}

}  // namespace lfic
