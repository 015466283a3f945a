// Whatever the bytes of a file are: the whole decoder, to pixels, answers with a picture or with a refusal.
//
// Files of private weights are decoded by a small random model with every layer of the real one, files of face-v1 and
// face-v2 by the shipped model, which is both. Inputs are drawn and mended so that a few cells are decoded on average,
// and the shipped model, template crops and photos come in a small share of them: an execution takes a fraction of a
// millisecond.
//
// LFIC_FUZZ_WEIGHTS names the shipped weights where they are not at csrc/tools/face-v2-decoder.safetensors.
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>

#include "capi/codec.hpp"
#include "fuzz/containers.hpp"
#include "tests/random_network.hpp"

using namespace lfic;

namespace {

constexpr uint64_t kPixels = 160 * 160;
constexpr int kUsualCells = 8;    // that an execution decodes on average, in cells of the small model
constexpr int kShippedCost = 50;  // what a cell of the shipped model takes, in such cells

struct World {
    std::unique_ptr<Codec> small, shipped;

    World() {
        const RandomNetwork network(16, 16, 16, 16, 3);
        small = std::make_unique<Codec>(kPrivate,
                                        std::make_shared<const ContextModel>(random_arrays(16, 2, 16, 8, 3, 24, 11),
                                                                             random_tables(24, 7), Simd::automatic),
                                        std::make_unique<network::Model>(network.tensors));
        const char* named = std::getenv("LFIC_FUZZ_WEIGHTS");
        std::ifstream file(named ? named : "csrc/tools/face-v2-decoder.safetensors", std::ios::binary);
        const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
        shipped = std::make_unique<Codec>(View{bytes.data(), bytes.size()}, Simd::automatic, Part::decoding);
    }
    const Codec& of(const File& file) const { return file.model == kPrivate ? *small : *shipped; }
};

const World& world() {
    static const World w;
    return w;
}

int cells(const Stream& stream) {
    return stream.rows() * stream.columns();
}

// What a file takes to decode, in cells of the small model.
int cost(const File& file) {
    int sum = file.background ? cells(*file.background) : 0;
    for (const Layer& layer : file.layers) sum += cells(layer.stream);
    return sum * (file.model == kPrivate ? 1 : kShippedCost);
}

}  // namespace

namespace lfic::fuzz {
namespace {

constexpr int kUsualSide = 24;  // pixels

// A stream of random symbols, most of them small and some as large as they can be.
Stream random_stream(Random& random, const File& file, Stream stream, Input& payload) {
    const ContextModel& model = world().of(file).of(file.model, stream.aligned).context();
    const Grid grid = grid_of(stream);
    Symbols symbols{{}, std::vector<uint8_t>(static_cast<std::size_t>(grid.rows() * grid.columns()))};
    const int uniform = random.between(0, 5);
    for (auto& level : symbols.levels) level = static_cast<uint8_t>(uniform < 3 ? uniform : random.between(0, 2));
    symbols.symbols.resize(model.kept_cells(grid, symbols.levels.data()) * static_cast<std::size_t>(model.channels()));
    const int reach = random.between(0, 3) ? 2 : 32767, rarity = random.between(1, 40);
    // What the model does not code is zero; it says so by a table of -1.
    std::vector<int16_t> tables(symbols.symbols.size());
    std::vector<int32_t> means(symbols.symbols.size());
    predict_face(model, {grid, symbols.levels.data(), symbols.symbols.data(), symbols.symbols.size(), false},
                 tables.data(), means.data());
    for (std::size_t k = 0; k < tables.size(); ++k)
        if (tables[k] >= 0 && one_in(random, rarity))
            symbols.symbols[k] = static_cast<int16_t>(random.between(-reach, reach));
    payload = encode_payload(model, stream, symbols, stream.level_mode);
    stream.payload = {payload.data(), payload.size()};
    return stream;
}

// The same picture with a side of a few cells, no layers, and private weights. Its payload stays.
void shrink(Random& random, File& file) {
    if (!file.background) file.background = file.layers.front().stream;
    file.layers.clear();
    file.reduction = 0;
    file.model = kPrivate;
    file.background->aligned = false;
    file.width = file.background->width = static_cast<uint32_t>(random.between(1, kUsualSide));
    file.height = file.background->height = static_cast<uint32_t>(random.between(1, kUsualSide));
}

}  // namespace

Input valid(Random& random) {
    File file;
    file.model = one_in(random, 400) ? random.between(kFaceV1, kFaceV2) : kPrivate;
    file.checksum = one_in(random, 2);
    file.grey = one_in(random, 4);
    std::vector<Input> payloads(4);
    const auto quality = [&] { return random.between(1, kQualities); };
    const bool photo = one_in(random, 60), standard = !photo && one_in(random, 60);
    const bool large = photo && one_in(random, 40);  // layers above 112 x 112 need a large picture
    const auto drawn = [&] {
        return standard ? kSide
               : large  ? static_cast<uint32_t>(random.between(120, 160))
                        : side(random, kUsualSide, 120);
    };
    file.width = drawn();
    file.height = drawn();
    file.reduction = photo || one_in(random, 4) ? random.between(0, kMaxReduction) : 0;
    const bool aligned = standard && !file.reduction && one_in(random, 2);
    if (!photo || one_in(random, 4))
        file.background = random_stream(random, file,
                                        {static_cast<uint32_t>(shrunk_side(file.width, file.reduction)),
                                         static_cast<uint32_t>(shrunk_side(file.height, file.reduction)),
                                         quality(),
                                         0,
                                         aligned,
                                         {}},
                                        payloads[0]);
    if (photo)
        for (std::size_t k = 1, count = static_cast<std::size_t>(random.between(1, 3)); k <= count; ++k) {
            Layer layer = random_layer(random, large ? random.between(0, kMaxSize) : 0, quality());
            layer.stream = random_stream(random, file, layer.stream, payloads[k]);
            file.layers.push_back(layer);
        }
    if (!file.background && file.reduction) file.reduction = 0;
    try {
        return write_file(file);
    } catch (const InvalidInput&) {  // boxes or layers too large for the picture
        if (!file.background) file.background = file.layers[0].stream;
        shrink(random, file);
        return write_file(file);
    }
}

void settle(Random& random, Input& input) {
    if (!one_in(random, 8)) mend_head(input);
    if (!one_in(random, 32)) seal(input);
    try {
        File file = read_file({input.data(), input.size()}, kPixels);
        const int times = cost(file) / kUsualCells;
        if (times < 2 || one_in(random, times)) return;
        shrink(random, file);
        input = write_file(file);
    } catch (const ContainerError&) {
    } catch (const CorruptStream&) {
    }
}

}  // namespace lfic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    try {
        const File seen = read_file({data, size}, kPixels);
        const Codec& codec = world().of(seen);
        const File file = codec.read({data, size}, kPixels);
        std::vector<uint8_t> pixels(std::size_t{3} * file.width * file.height);
        codec.decode(file, pixels.data(), 1);
    } catch (const ContainerError&) {
    } catch (const CorruptStream&) {
    } catch (const InvalidInput&) {
    }
    return 0;
}
