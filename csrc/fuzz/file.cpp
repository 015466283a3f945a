// Whatever the bytes of a file are: the reader of files and bare streams answers with what a file holds, or refuses;
// what is read can be written again, byte for byte. No payload is decoded.
#include "format/bare.hpp"
#include "fuzz/containers.hpp"

using namespace lfic;

namespace lfic::fuzz {
namespace {

Input noise(Random& random, int most) {
    Input out(static_cast<std::size_t>(random.between(0, most)));
    for (auto& byte : out) byte = static_cast<uint8_t>(random.next());
    return out;
}

int quality(Random& random) {
    return random.between(1, kQualities);
}

}  // namespace

Input valid(Random& random) {
    std::vector<Input> payloads(8);
    for (auto& payload : payloads) payload = noise(random, one_in(random, 20) ? 300 : 20);
    const auto payload = [&](int k) {
        return View{payloads[static_cast<std::size_t>(k)].data(), payloads[static_cast<std::size_t>(k)].size()};
    };
    File file;
    file.checksum = one_in(random, 2);
    file.grey = one_in(random, 4);
    if (one_in(random, 4)) {
        file.model = kPrivate;
        for (auto& byte : file.weights) byte = static_cast<uint8_t>(random.next());
    } else {
        file.model = random.between(kFaceV1, kFaceV2);
    }
    const bool standard = one_in(random, 3);
    file.width = standard ? kSide : side(random, 300, 1 << 13);
    file.height = standard ? kSide : side(random, 300, 1 << 12);
    const bool layers = one_in(random, 3);
    if (!layers || one_in(random, 2)) {
        file.reduction = layers || one_in(random, 4) ? random.between(0, kMaxReduction) : 0;
        file.background = Stream{static_cast<uint32_t>(shrunk_side(file.width, file.reduction)),
                                 static_cast<uint32_t>(shrunk_side(file.height, file.reduction)),
                                 quality(random),
                                 random.between(0, kCodedMap),
                                 !layers && file.reduction == 0 && standard && one_in(random, 2),
                                 payload(0)};
    }
    if (layers)
        for (int k = 1, count = random.between(1, 6); k <= count; ++k) {
            file.layers.push_back(random_layer(random, std::max(0, random.between(-4, kMaxSize)), quality(random)));
            file.layers.back().stream.payload = payload(k);
        }
    try {
        return write_file(file);
    } catch (const InvalidInput&) {  // boxes too large for the picture
        file.layers.resize(1);
        file.layers[0].place.scale = 0;
        file.layers[0].stream.width = file.layers[0].stream.height = kSide;
        file.layers[0].stream.aligned = true;
        return write_file(file);
    }
}

void settle(Random& random, Input& file) {
    if (!one_in(random, 4)) mend_head(file);
    if (!one_in(random, 16)) seal(file);
}

}  // namespace lfic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    const View bytes{data, size};
    try {
        const File file = read_file(bytes);
        fuzz::demand(write_file(file) == std::vector<uint8_t>(data, data + size));
        for (const Layer& layer : file.layers) {
            const Box box = layer.place.box(file.width, file.height);
            fuzz::demand(box.pixels() >= 0 && box.left >= 0 && box.top >= 0 && box.right <= file.width &&
                         box.bottom <= file.height);
        }
    } catch (const ContainerError&) {
    } catch (const CorruptStream&) {
    }
    try {
        const std::vector<uint8_t> whole = file_of_bare(bytes);
        read_file({whole.data(), whole.size()});
    } catch (const ContainerError&) {
    } catch (const CorruptStream&) {
    }
    return 0;
}
