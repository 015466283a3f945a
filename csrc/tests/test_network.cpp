// Every variant that this machine has gives the scalar one's bytes, on memory of exact size for the sanitizers; tensors
// that do not fit are refused; what runs in tiles or on threads is what runs at once.
#include "network/network.hpp"

#include <cstdio>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "common/errors.hpp"
#include "tests/check.hpp"
#include "tests/random_network.hpp"

using namespace lfic;
using network::Coded;
using network::Model;
using network::Picture;
using network::Tensors;
using network::Type;

namespace {

struct Faces {
    std::vector<Picture> pictures;
    std::deque<std::vector<std::uint8_t>> images, levels;
    std::deque<std::vector<std::int16_t>> symbols;
    std::vector<Coded> coded;
    std::vector<const std::uint8_t*> rgb;
};

Faces random_faces(int channels) {
    Random random{7};
    Faces out;
    const int sizes[][2] = {{112, 112}, {1, 1}, {37, 71}, {112, 112}, {8, 9}, {16, 1600}, {112, 112}, {1560, 9}};
    for (const auto& size : sizes) {
        const Picture picture = {size[0], size[1], random.between(1, 100), size[0] == 112 && size[1] == 112};
        const int rows = (picture.height + 7) / 8, columns = (picture.width + 7) / 8;
        auto& image = out.images.emplace_back(static_cast<std::size_t>(3 * picture.height * picture.width));
        for (auto& v : image) v = static_cast<std::uint8_t>(random.between(0, 255));
        auto& levels = out.levels.emplace_back();
        std::size_t kept = 0;
        for (int y = 0; y < rows; y += kRegion)
            for (int x = 0; x < columns; x += kRegion) {
                levels.push_back(static_cast<std::uint8_t>(random.between(0, 2)));
                kept += static_cast<std::size_t>(
                    kept_in_region(region_side(y, rows), region_side(x, columns), levels.back()));
            }
        auto& symbols = out.symbols.emplace_back(kept * static_cast<std::size_t>(channels));
        for (auto& v : symbols) v = static_cast<std::int16_t>(random.between(-32768, 32767) >> random.between(3, 14));
        out.pictures.push_back(picture);
        out.coded.push_back({symbols.data(), symbols.size(), levels.data()});
        out.rgb.push_back(image.data());
    }
    return out;
}

using Results = std::vector<std::vector<unsigned char>>;

template <class T>
std::vector<unsigned char> bytes_of(const std::vector<T>& v) {
    std::vector<unsigned char> out(v.size() * sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), v.data(), out.size());
    return out;
}

Results everything(const Model& model, const Faces& faces, int threads) {
    Results out;
    std::deque<std::vector<std::uint8_t>> shown;
    std::vector<std::uint8_t*> rgb;
    for (const Picture& picture : faces.pictures)
        rgb.push_back(shown.emplace_back(static_cast<std::size_t>(3 * picture.height * picture.width)).data());
    model.synthesize(faces.pictures, faces.coded, rgb, threads);
    out.insert(out.end(), shown.begin(), shown.end());
    for (const network::Symbols& found : model.encode(faces.pictures, faces.rgb, threads)) {
        out.push_back(bytes_of(found.symbols));
        out.push_back(found.levels);
    }
    for (std::size_t i = 0; i < faces.pictures.size(); ++i) {  // one by one
        std::vector<std::uint8_t> alone(shown[i].size());
        model.synthesize(faces.pictures[i], faces.coded[i], alone.data(), threads);
        CHECK(alone == shown[i]);
    }
    return out;
}

void test_variants() {
    const int shapes[][4] = {{16, 16, 16, 16}, {32, 16, 32, 48}, {48, 48, 16, 80}};
    std::uint64_t seed = 1;
    for (const auto& s : shapes) {
        const RandomNetwork random(s[0], s[1], s[2], s[3], seed++);
        const Faces faces = random_faces(s[0]);
        const Model reference(random.tensors, "scalar");
        const Results expected = everything(reference, faces, 1);
        int differing = 0;
        for (std::size_t i = 1; i < expected[0].size(); ++i) differing += expected[0][i] != expected[0][i - 1];
        CHECK(differing > 1000);  // a picture, not one colour
        CHECK(everything(reference, faces, 3) == expected);
        for (const char* simd : {"auto", "avx2", "avxvnni", "avx512", "neon", "wasm"}) {
            try {
                const Model model(random.tensors, simd);
                CHECK(everything(model, faces, 1) == expected);
                std::printf("%s as scalar: %s\n", simd, model.simd());
            } catch (const InvalidInput&) {
                std::printf("this machine has no %s\n", simd);
            }
        }
    }
}

// What is no template crop is analysed, and given its levels, by layers of its own where the weights have them.
void test_pictures() {
    const RandomNetwork random(16, 16, 16, 32, 3), other(16, 16, 16, 32, 4);
    Tensors both = random.tensors, second = random.tensors;  // second: those of pictures alone
    const std::pair<std::string, std::string> parts[] = {{"integers.analysis.", "integers.pictures."},
                                                         {"integers.level_head.", "integers.pictures_head."}};
    for (const auto& [name, tensor] : other.tensors)
        for (const auto& [from, to] : parts) {
            const std::string layer = name.rfind(from, 0) == 0 ? name.substr(from.size()) : "";
            if (layer.empty() || layer == "gain" || layer.rfind("position", 0) == 0) continue;
            both[to + layer] = second[name] = tensor;
        }
    Faces faces = random_faces(16);
    faces.pictures[3].aligned = false;  // of one size, and not alike
    const Results found = everything(Model(both), faces, 1), first = everything(Model(random.tensors), faces, 1),
                  last = everything(Model(second), faces, 1);
    CHECK(everything(Model(both), faces, 3) == found);
    for (std::size_t i = 0; i < faces.pictures.size(); ++i) {
        CHECK(found[i] == first[i]);  // decoding has nothing to do with it
        const std::size_t symbols = faces.pictures.size() + 2 * i;
        CHECK(found[symbols] == (faces.pictures[i].aligned ? first : last)[symbols]);
        CHECK(found[symbols + 1] == (faces.pictures[i].aligned ? first : last)[symbols + 1]);
        CHECK(first[symbols] != last[symbols]);
    }
    for (const char* name : {"integers.pictures.detail.weight", "integers.pictures_head.mix.weight"}) {
        Tensors less = both;
        less.erase(name);
        CHECK(throws<InvalidInput>([&] { Model model(less); }));
    }
}

void test_refusals() {
    RandomNetwork random(16, 16, 16, 16, 5);
    const auto refused = [&](const std::string& name, const network::Tensor& tensor) {
        Tensors changed = random.tensors;
        changed["integers." + name] = tensor;
        return throws<InvalidInput>([&] { Model model(changed); });
    };
    for (const auto& [name, tensor] : random.tensors) {
        Tensors less = random.tensors;
        less.erase(name);
        const bool optional = name == "integers.analysis.gain" || name.find(".0.expand.weight") != std::string::npos ||
                              name.find(".1.expand.weight") != std::string::npos;
        CHECK(optional || throws<InvalidInput>([&] { Model model(less); }));
    }
    std::vector<std::int16_t> large(16 * 64, 32767);
    CHECK(refused("synthesis.enter_inner.weight", {large.data(), Type::i16, {16, 64, 1, 1}}));  // leaves 32 bits
    std::vector<std::int32_t> bias(16, 2147483647);
    CHECK(refused("synthesis.up.bias", {bias.data(), Type::i32, {16}}));
    const std::vector<std::uint8_t> shift(16, 32);
    CHECK(refused("synthesis.inner.0.project.shift", {shift.data(), Type::u8, {16}}));
    CHECK(refused("synthesis.inner.0.project.shift", {large.data(), Type::i16, {16}}));
    CHECK(throws<InvalidInput>([&] { Model model(random.tensors, "mmx"); }));

    const Model model(random.tensors);
    const Faces faces = random_faces(16);
    std::vector<std::uint8_t> out(3 * 112 * 112);
    const auto synthesis_refuses = [&](Picture picture, const Coded& coded) {
        return throws<InvalidInput>([&] { model.synthesize(picture, coded, out.data()); });
    };
    const Picture& face = faces.pictures[0];
    const Coded& coded = faces.coded[0];
    CHECK(!synthesis_refuses(face, coded));
    CHECK(synthesis_refuses({112, 112, 0, true}, coded));
    CHECK(synthesis_refuses({112, 112, 101, true}, coded));
    CHECK(synthesis_refuses({112, 120, 40, true}, coded));
    CHECK(synthesis_refuses({0, 112, 40, false}, coded));
    CHECK(synthesis_refuses(face, {coded.symbols, coded.count - 1, coded.levels}));
    const std::vector<std::uint8_t> levels(16, 3);
    CHECK(synthesis_refuses(face, {coded.symbols, coded.count, levels.data()}));
    Tensors decoding;
    for (const auto& [name, tensor] : random.tensors)
        if (name.rfind("integers.synthesis.", 0) == 0) decoding[name] = tensor;
    const Model decoder(decoding);
    CHECK(!decoder.has_analysis());
    CHECK(throws<InvalidInput>([&] { decoder.encode({face}, {faces.rgb[0]}); }));
}

}  // namespace

int main() {
    test_variants();
    test_pictures();
    test_refusals();
    std::printf("%d failures\n", failures);
    return failures != 0;
}
