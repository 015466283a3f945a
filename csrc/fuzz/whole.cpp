// Whatever the bytes of a file are: the whole decoder, to pixels, answers with a picture or with a refusal. The custom
// mutator puts the checksum right and mends what would be refused at once, so that payloads, networks and painting are
// reached; every fourth input is a valid file of random symbols. Pixels are bounded, so that a run takes milliseconds.
//
//   fuzz_whole WEIGHTS --mutate N SEED FILE...           N mutants of the files, without libFuzzer
//   LFIC_FUZZ_WEIGHTS=... fuzz_whole_libfuzzer CORPUS    with libFuzzer (clang)
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>

#include "capi/codec.hpp"
#include "tests/random_model.hpp"

using namespace lfic;

namespace {

constexpr uint64_t kPixels = 160 * 160;

struct World {
    std::vector<uint8_t> weights;
    std::unique_ptr<Codec> codec;
};
World world;
struct {
    long read, refused, damaged;
} counts;

std::vector<uint8_t> bytes_of(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void load(const char* path) {
    world.weights = bytes_of(path);
    world.codec = std::make_unique<Codec>(View{world.weights.data(), world.weights.size()});
}

// A checksum that is right, if the header says that there is one.
void seal(std::vector<uint8_t>& file) {
    if (file.size() < 6) return;
    const bool checksum = file[1] >> 5 == 1 ? file[1] & 2 : file[1] & 4;
    if (!checksum) return;
    const uint16_t crc = crc16(file.data(), file.size() - 2);
    file[file.size() - 2] = static_cast<uint8_t>(crc >> 8);
    file[file.size() - 1] = static_cast<uint8_t>(crc);
}

void damage(Random& random, std::vector<uint8_t>& file) {
    for (int times = random.between(1, 5); times > 0 && file.size() > 3; --times) {
        const int last = static_cast<int>(file.size()) - 1;
        const int at = random.between(0, 3) ? random.between(1, last) : random.between(1, std::min(last, 24));
        const auto where = file.begin() + at;
        switch (random.between(0, 6)) {
            case 0:
            case 1: file[at] ^= static_cast<uint8_t>(1 << random.between(0, 7)); break;
            case 2: file[at] = static_cast<uint8_t>(random.next()); break;
            case 3: file.insert(where, static_cast<uint8_t>(random.next())); break;
            case 4: file.erase(where); break;
            case 5: file.insert(where, where, file.begin() + random.between(at, last)); break;
            default: file.resize(static_cast<std::size_t>(at));
        }
        if (file.size() > 1200) file.resize(1200);
    }
    if (file.size() < 3) return;
    file[0] = kMagic;
    if (random.between(0, 3)) {  // what is refused at once teaches little
        if (file[1] >> 5 != 1 && file[1] >> 5 != 2) file[1] = static_cast<uint8_t>((file[1] & 31) | 32);
        if (file[1] >> 5 == 2) file[1] &= 0xFC;
        if (file[1] >> 5 == 1) file[2] &= 0xFE;
    }
    seal(file);
}

// Photos out of files of single faces: those on the template as layers, the others as backgrounds. Payloads stay.
void add_photos(std::vector<std::vector<uint8_t>>& files) {
    std::vector<File> read;
    for (const auto& file : files) read.push_back(read_file({file.data(), file.size()}));
    Random random{7};
    std::vector<std::vector<uint8_t>> photos;
    for (int k = 0; k < 24; ++k) {
        File photo;
        photo.width = photo.height = kSide;
        photo.checksum = k % 2;
        for (const File& file : read) {
            if (!file.plain() || random.between(0, 1)) continue;
            if (!file.background->aligned) {
                if (file.width == kSide && file.height == kSide) photo.background = file.background;
                continue;
            }
            const Place place{random.between(0, kPositions - 1), random.between(0, kPositions - 1),
                              random.between(0, 220), random.between(0, kAngles - 1)};
            photo.layers.push_back({place, *file.background});
        }
        if (!photo.layers.empty()) photos.push_back(write_file(photo));
    }
    files.insert(files.end(), photos.begin(), photos.end());
}

// A stream of random symbols, most of them small and some as large as they can be: damage alone hardly ever leaves a
// payload that the coder takes, and the networks are to be reached.
Stream random_stream(Random& random, bool aligned, std::vector<uint8_t>& payload) {
    Stream stream{kSide, kSide, random.between(1, 100), 0, aligned, {}};
    if (!aligned && random.between(0, 3)) {
        stream.width = static_cast<uint32_t>(random.between(1, 120));
        stream.height = static_cast<uint32_t>(random.between(1, 120));
    }
    const ContextModel& model = world.codec->context();
    const Grid grid = grid_of(stream);
    Symbols symbols{{}, std::vector<uint8_t>(static_cast<std::size_t>(grid.rows() * grid.columns()))};
    const int uniform = random.between(0, 5);
    for (auto& level : symbols.levels) level = static_cast<uint8_t>(uniform < 3 ? uniform : random.between(0, 2));
    symbols.symbols.resize(model.kept_cells(grid, symbols.levels.data()) * static_cast<std::size_t>(model.channels()));
    const int reach = random.between(0, 3) ? 2 : 32767, rarity = random.between(0, 40);
    // What the model does not code is zero; it says so by a table of -1.
    std::vector<int16_t> tables(symbols.symbols.size());
    std::vector<int32_t> means(symbols.symbols.size());
    predict_face(model, {grid, symbols.levels.data(), symbols.symbols.data(), symbols.symbols.size(), false},
                 tables.data(), means.data());
    for (std::size_t k = 0; k < tables.size(); ++k)
        if (tables[k] >= 0 && !random.between(0, rarity))
            symbols.symbols[k] = static_cast<int16_t>(random.between(-reach, reach));
    payload = encode_payload(model, stream, symbols, stream.level_mode);
    stream.payload = {payload.data(), payload.size()};
    return stream;
}

// A valid file of such streams: a picture, or a photo of faces.
std::vector<uint8_t> random_file(Random& random) {
    std::vector<std::vector<uint8_t>> payloads(4);
    File file;
    file.checksum = random.between(0, 1);
    if (random.between(0, 2)) {
        file.background = random_stream(random, random.between(0, 1), payloads[0]);
        file.width = file.background->width;
        file.height = file.background->height;
        return write_file(file);
    }
    file.background = random_stream(random, false, payloads[0]);
    file.width = file.background->width;
    file.height = file.background->height;
    const int faces = random.between(1, 3);
    for (int k = 1; k <= faces; ++k) {
        const Place place{random.between(0, kPositions - 1), random.between(0, kPositions - 1), random.between(0, 200),
                          random.between(0, kAngles - 1)};
        file.layers.push_back({place, random_stream(random, true, payloads[static_cast<std::size_t>(k)])});
    }
    try {
        return write_file(file);
    } catch (const InvalidInput&) {  // boxes too large for the picture
        file.layers.clear();
        return write_file(file);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    if (!world.codec) {
        const char* path = std::getenv("LFIC_FUZZ_WEIGHTS");
        load(path ? path : "lfic/weights/face-v1.safetensors");
    }
    try {
        const File file = world.codec->read({data, size}, kPixels);
        std::vector<uint8_t> pixels(std::size_t{3} * file.width * file.height);
        world.codec->decode(file, pixels.data(), 1);
        // What is read can be written again, byte for byte.
        const std::vector<uint8_t> again = write_file(file);
        if (again != std::vector<uint8_t>(data, data + size)) std::abort();
        ++counts.read;
    } catch (const ContainerError&) {
        ++counts.refused;
    } catch (const CorruptStream&) {
        ++counts.damaged;
    } catch (const InvalidInput&) {
        ++counts.refused;
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(uint8_t* data, std::size_t size, std::size_t room, unsigned seed) {
    Random random{seed};
    std::vector<uint8_t> file(data, data + size);
    if (world.codec && seed % 4 == 0)
        file = random_file(random);
    else
        damage(random, file);
    file.resize(std::min(file.size(), room));
    std::copy(file.begin(), file.end(), data);
    return file.size();
}

#ifndef LFIC_LIBFUZZER
int main(int argc, char** argv) {
    if (argc < 6 || std::strcmp(argv[2], "--mutate")) {
        std::fprintf(stderr, "usage: fuzz_whole WEIGHTS --mutate N SEED FILE...\n");
        return 2;
    }
    load(argv[1]);
    const long count = std::atol(argv[3]);
    Random random{static_cast<uint64_t>(std::atoll(argv[4]))};
    std::vector<std::vector<uint8_t>> files;
    for (int k = 5; k < argc; ++k) files.push_back(bytes_of(argv[k]));
    add_photos(files);
    std::vector<uint8_t> file;
    for (long i = 0; i < count; ++i) {
        // Mutants of mutants, eight generations long.
        if (i % 8 == 0) file = files[static_cast<std::size_t>(random.between(0, static_cast<int>(files.size()) - 1))];
        if (i % 4 == 3)
            file = random_file(random);
        else
            damage(random, file);
        LLVMFuzzerTestOneInput(file.data(), file.size());
    }
    std::printf("%ld mutants, nothing to report: %ld pictures, %ld refused, %ld damaged\n", count, counts.read,
                counts.refused, counts.damaged);
    return 0;
}
#endif
