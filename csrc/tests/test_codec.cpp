// A codec of several parts: what stands on the template is coded by the networks of the model before, all else by its
// own, and each file says by its number which model wrote it.
#include "capi/codec.hpp"

#include <cstdio>
#include <string>

#include "tests/check.hpp"
#include "tests/random_network.hpp"

using namespace lfic;

namespace {

constexpr int kChannels = 16;
const EncodeSettings kOnTemplate{40, 1}, kBeside{40, 0}, kEither{40, -1};

Networks networks(uint64_t seed, const std::string& wanted = "integers.") {
    const RandomNetwork random(kChannels, 16, 16, 16, seed);
    network::Tensors kept;
    for (const auto& [name, tensor] : random.tensors)
        if (name.rfind(wanted, 0) == 0) kept[name] = tensor;
    return std::make_shared<const network::Model>(kept);
}

std::shared_ptr<const ContextModel> context(uint64_t seed) {
    return std::make_shared<const ContextModel>(random_arrays(kChannels, 2, 16, 8, 3, 24, seed), random_tables(24, 7),
                                                Simd::automatic);
}

// A model and the one before it; the first's parts as they were alone.
struct Codecs {
    std::shared_ptr<const Codec> first = std::make_shared<const Codec>(kFaceV1, context(1), networks(1));
    std::shared_ptr<const Codec> faces = std::make_shared<const Codec>(kFaceV2, context(3), networks(1));
    Codec both{kFaceV2, context(2), networks(2), faces, first};
    Codec second{kFaceV2, context(2), networks(2)};

    const Codec& part(bool aligned) const { return aligned ? *faces : second; }
};

std::vector<uint8_t> noise(uint32_t width, uint32_t height) {
    Random random{width};
    std::vector<uint8_t> out(std::size_t{3} * width * height);
    for (auto& v : out) v = static_cast<uint8_t>(random.between(0, 255));
    return out;
}

File read(const Codec& codec, const std::vector<uint8_t>& file) {
    return codec.read({file.data(), file.size()}, kDecodedPixels);
}

std::vector<uint8_t> decoded(const Codec& codec, const File& file) {
    std::vector<uint8_t> out(std::size_t{3} * file.width * file.height);
    codec.decode(file, out.data(), 1);
    return out;
}

// What `codec` makes of noise, as the stream of a file.
Stream coded(const Codec& codec, uint32_t width, uint32_t height, bool aligned, std::vector<uint8_t>& payload) {
    Stream out{width, height, 40, 0, aligned, {}};
    const auto rgb = noise(width, height);
    const auto found =
        codec.networks().encode({{static_cast<int>(height), static_cast<int>(width), 40, aligned}}, {rgb.data()});
    payload = encode_payload(codec.context(), out, {found[0].symbols, found[0].levels}, out.level_mode);
    out.payload = {payload.data(), payload.size()};
    return out;
}

void test_plain_files() {
    const Codecs codecs;
    const auto rgb = noise(kSide, kSide), wide = noise(40, 24);
    const auto on = codecs.both.encode(rgb.data(), kSide, kSide, kOnTemplate);
    CHECK(on == codecs.faces->encode(rgb.data(), kSide, kSide, kOnTemplate));
    CHECK(on != codecs.first->encode(rgb.data(), kSide, kSide, kOnTemplate));
    CHECK(read(codecs.both, on).model == kFaceV2);
    CHECK(decoded(codecs.both, read(codecs.both, on)) == decoded(*codecs.faces, read(*codecs.faces, on)));
    const auto former = codecs.first->encode(rgb.data(), kSide, kSide, kOnTemplate);
    CHECK(decoded(codecs.both, read(codecs.both, former)) == decoded(*codecs.first, read(*codecs.first, former)));

    for (const auto& beside :
         {codecs.both.encode(rgb.data(), kSide, kSide, kBeside), codecs.both.encode(wide.data(), 40, 24, kEither)}) {
        const File file = read(codecs.both, beside);
        CHECK(file.model == kFaceV2);
        CHECK(throws<ContainerError>([&] { read(*codecs.first, beside); }));
        CHECK(decoded(codecs.both, file) == decoded(codecs.second, file));
    }
    const auto other = codecs.first->encode(wide.data(), 40, 24, kEither);
    CHECK(decoded(codecs.both, read(codecs.both, other)) == decoded(*codecs.first, read(*codecs.first, other)));
    const auto either = codecs.both.encode(rgb.data(), kSide, kSide, kEither);
    CHECK(either == on || either == codecs.both.encode(rgb.data(), kSide, kSide, kBeside));
    CHECK((either == on) ==
          read(*codecs.first, codecs.first->encode(rgb.data(), kSide, kSide, kEither)).background->aligned);
}

void test_bounded_files() {
    const Codecs codecs;
    const auto rgb = noise(kSide, kSide);
    for (const int aligned : {1, 0}) {
        EncodeSettings settings{40, aligned};
        settings.full = true;
        const auto usual = codecs.part(aligned).encode(rgb.data(), kSide, kSide, settings);
        settings.max_bytes = usual.size();
        const auto found = codecs.both.encode(rgb.data(), kSide, kSide, settings);
        const File file = read(codecs.both, found);
        CHECK(found.size() <= usual.size() && file.background->quality >= 40);
        CHECK(file.model == kFaceV2 && file.background->aligned == aligned);
    }
}

// An aligned layer, one above the template's size, and a background, each of which `part` codes.
template <class Part>
std::vector<uint8_t> photo(int number, const Part& part) {
    std::vector<uint8_t> payloads[3];
    File file;
    file.width = file.height = 240;
    file.model = number;
    file.background = coded(part(false), 240, 240, false, payloads[0]);
    file.layers.push_back({{2000, 2000, 100, 0}, coded(part(true), kSide, kSide, true, payloads[1])});
    file.layers.push_back({{6000, 6000, 200, 0}, coded(part(false), 2 * kSide, 2 * kSide, false, payloads[2])});
    return write_file(file);
}

void test_layers() {
    const Codecs codecs;
    const auto bytes = photo(kFaceV2, [&](bool aligned) -> const Codec& { return codecs.part(aligned); });
    const File file = read(codecs.both, bytes);
    const std::vector<Stream> streams{file.layers[0].stream, *file.background, file.layers[1].stream};
    for (const int threads : {1, 2}) {
        const auto pixels = codecs.both.decode_streams(streams, kFaceV2, threads);
        for (std::size_t i = 0; i < streams.size(); ++i) {
            const Codec& part = codecs.part(streams[i].aligned);
            CHECK(pixels[i] == part.decode_streams({streams[i]}, part.model_number(), 1)[0]);
        }
        std::vector<uint8_t> whole(std::size_t{3} * 240 * 240);
        compose(pixels[1].data(), 0,
                {{pixels[0].data(), file.layers[0].place, 0}, {pixels[2].data(), file.layers[1].place, 1}}, 240, 240,
                whole.data(), 1);
        CHECK(decoded(codecs.both, file) == whole);
    }
    const auto old = photo(kFaceV1, [&](bool) -> const Codec& { return *codecs.first; });
    CHECK(decoded(codecs.both, read(codecs.both, old)) == decoded(*codecs.first, read(*codecs.first, old)));
}

void test_refusals() {
    const Codecs codecs;
    const Codec half(kFaceV2, context(2), networks(2),
                     std::make_shared<const Codec>(kFaceV2, context(1), networks(1, "integers.synthesis.")));
    const auto rgb = noise(kSide, kSide);
    CHECK(throws<WeightsError>([&] { half.encode(rgb.data(), kSide, kSide, kBeside); }));
    const Codec of_others(kPrivate, context(2), networks(2));
    const auto own = of_others.encode(rgb.data(), kSide, kSide, kBeside);
    CHECK(throws<ContainerError>([&] { read(codecs.both, own); }));
}

// A weights file of such tensors of one byte each.
std::vector<uint8_t> weights_file(const std::string& texts, const std::vector<std::string>& names) {
    std::string head = "{\"__metadata__\":{\"format\":\"lfic-weights-2\"" + texts + "}";
    for (std::size_t i = 0; i < names.size(); ++i)
        head += ",\"" + names[i] + "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[" + std::to_string(i) + "," +
                std::to_string(i + 1) + "]}";
    head += "}";
    std::vector<uint8_t> out(8);
    for (std::size_t k = 0; k < 8; ++k) out[k] = static_cast<uint8_t>(head.size() >> 8 * k);
    out.insert(out.end(), head.begin(), head.end());
    for (std::size_t i = 0; i < names.size(); ++i) out.push_back(static_cast<uint8_t>(i));
    return out;
}

void test_parts_of_weights() {
    const auto bytes = weights_file(R"(,"source":"0123456789","former":"abcdef0123")",
                                    {"context.b", "former.context.b", "former.tables.x", "formers", "template.x"});
    const Weights whole({bytes.data(), bytes.size()}, Origin::program);
    const std::optional<Weights> part = whole.part("former");
    CHECK(whole.part("template") && whole.part("template")->tensors().size() == 1);
    CHECK(part && part->tensors().size() == 2 && part->tensors().count("tables.x"));
    CHECK(part && *part->tensors().at("context.b").data == 1);
    CHECK(part && part->mark() == (std::array<uint8_t, 4>{0xab, 0xcd, 0xef, 0x01}));
    CHECK(whole.mark() == (std::array<uint8_t, 4>{0x01, 0x23, 0x45, 0x67}));
    const auto plain = weights_file("", {"context.b"});
    CHECK(!Weights({plain.data(), plain.size()}, Origin::program).part("former"));
}

}  // namespace

int main() {
    test_plain_files();
    test_bounded_files();
    test_layers();
    test_refusals();
    test_parts_of_weights();
    std::printf("%d failures\n", failures);
    return failures != 0;
}
