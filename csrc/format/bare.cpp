#include "format/bare.hpp"

#include "common/sizes.hpp"
#include "format/file.hpp"

namespace lfic {

std::vector<uint8_t> file_of_bare(const View& bare) {
    constexpr int kModels = 2;
    if (!bare.size) throw CorruptStream("the bare stream is empty; it has at least 1 byte", 0);
    const int first = bare.data[0];
    if (first == kMagic) return {bare.data, bare.data + bare.size};
    const int model = first / kQualities;
    if (model >= kModels)
        throw ContainerError("this is no bare stream: its first byte is " + std::to_string(first) +
                             "; allowed are 0 to " + std::to_string(kModels * kQualities - 1) + ", and " +
                             std::to_string(kMagic) + " of a file");
    if (!model_name(model))
        throw ContainerError("the bare stream needs model " + std::to_string(model) + ", which this lfic lacks");
    File file;
    file.width = file.height = kSide;
    file.model = model;
    file.checksum = false;
    file.background = Stream{kSide, kSide, first % kQualities + 1, kCodedMap, true, {bare.data + 1, bare.size - 1}};
    return write_file(file);
}

}  // namespace lfic
