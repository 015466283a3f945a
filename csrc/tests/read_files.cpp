// What the C++ reader says of files: for each record of standard input (four bytes of length, little-endian, and a
// file) a line with what it holds, or with the error. tests/format/test_cpp_reader.py compares them with Python's.
//
//   read_files WEIGHTS < records
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>

#include "format/payload.hpp"
#include "format/sha256.hpp"
#include "format/weights.hpp"

using namespace lfic;

template <class T>
static void add_numbers(Sha256& sha, const std::vector<T>& values) {
    for (const T v : values) {
        const uint8_t two[2] = {static_cast<uint8_t>(v & 0xFF), static_cast<uint8_t>(v >> 8 & 0xFF)};
        sha.add(two, 2);
    }
}

// Of weights, of what they code what stands on the template by, and of the model before them.
struct Contexts {
    std::shared_ptr<const ContextModel> own, on_template, former;
};

static std::string described(const Contexts& contexts, const View& view) {
    const File file = read_file(view, 1 << 20);
    std::ostringstream out;
    out << "ok " << file.width << ' ' << file.height << " v" << file.version << " m" << file.model << " e"
        << file.reduction << " c" << file.checksum;
    const auto stream = [&](const Stream& s) {
        Sha256 sha;
        const auto& [own, on_template, former] = contexts;
        const ContextModel& model = *(file.model == kFaceV1 ? former : s.aligned ? on_template : own);
        const Symbols decoded = decode_payload(model, s);
        add_numbers(sha, decoded.symbols);
        add_numbers(sha, decoded.levels);
        if (decode_levels(model, s) != decoded.levels) throw std::logic_error("levels differ");
        out << " | " << s.width << ' ' << s.height << " q" << s.quality << " l" << s.level_mode << " a" << s.aligned
            << ' ' << s.payload.size << ' ' << sha.hex().substr(0, 16);
    };
    if (file.background) stream(*file.background);
    for (const auto& [place, face] : file.layers) {
        out << " @ " << place.x << ' ' << place.y << ' ' << place.scale << ' ' << place.angle;
        stream(face);
    }
    const std::vector<uint8_t> again = write_file(file);
    out << (again == std::vector<uint8_t>(view.data, view.data + view.size) ? " | same" : " | other");
    return out.str();
}

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    std::ifstream file(argv[1], std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Contexts contexts;
    try {
        const Weights weights({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
        contexts.own = contexts.on_template = contexts.former = context_model(weights);
        if (const auto part = weights.part("template")) contexts.on_template = context_model(*part);
        if (const auto part = weights.part("former")) contexts.former = context_model(*part);
    } catch (const WeightsError& error) {
        std::printf("WeightsError %s\n", error.what());
        return 1;
    }
    uint8_t four[4];
    while (std::fread(four, 1, 4, stdin) == 4) {
        std::vector<uint8_t> data(four[0] | four[1] << 8 | four[2] << 16);
        if (std::fread(data.data(), 1, data.size(), stdin) != data.size()) return 2;
        try {
            std::puts(described(contexts, {data.data(), data.size()}).c_str());
        } catch (const ContainerError& error) {
            std::printf("ContainerError %s\n", error.what());
        } catch (const CorruptStream& error) {
            std::printf("CorruptStreamError %s\n", error.what());
        } catch (const InvalidInput& error) {
            std::printf("InvalidInputError %s\n", error.what());
        }
    }
    return 0;
}
