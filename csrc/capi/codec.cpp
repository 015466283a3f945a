#include "capi/codec.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string>

#include "coder/stream.hpp"

namespace lfic {
namespace {

const char* name_of(Simd simd) {
    return simd == Simd::scalar ? "scalar" : simd == Simd::avx2 ? "avx2" : simd == Simd::neon ? "neon" : "auto";
}

}  // namespace

Networks networks_of(const Weights& weights, Simd simd, Part part) {
    network::Tensors tensors;
    std::vector<std::vector<uint8_t>> u8;
    std::vector<std::vector<int16_t>> i16;
    std::vector<std::vector<int32_t>> i32;
    std::vector<std::vector<float>> f32;
    const std::string prefix = "integers.";
    for (const auto& entry : weights.tensors()) {
        const std::string& name = entry.first;
        const FileTensor& tensor = entry.second;
        if (name.compare(0, prefix.size(), prefix) != 0) continue;
        if (part == Part::decoding && name.compare(prefix.size(), 10, "synthesis.") != 0) continue;
        const auto add = [&](auto& held, network::Type type) {
            using T = typename std::decay_t<decltype(held)>::value_type::value_type;
            const T* where = in_place<T>(tensor);  // a copy of all of them would take longer than their use
            if (!where) {
                held.push_back(elements<T>(weights, name));
                where = held.back().data();
            }
            tensors[name] = {where, type, tensor.shape};
        };
        if (tensor.type == "U8") add(u8, network::Type::u8);
        if (tensor.type == "I16") add(i16, network::Type::i16);
        if (tensor.type == "I32") add(i32, network::Type::i32);
        if (tensor.type == "F32") add(f32, network::Type::f32);
    }
    if (tensors.empty())
        throw WeightsError(
            "the weights hold no integer networks: lfic export makes them of networks whose channels and widths are "
            "multiples of 16; others are decoded by lfic with torch alone");
    try {
        return std::make_shared<const network::Model>(tensors, name_of(simd));
    } catch (const InvalidInput& error) {
        throw WeightsError(std::string("the weights hold no networks that this lfic knows: ") + error.what());
    }
}

namespace {

// The last of low .. 100 for which `holds`, which is true up to a point and false after it, or low - 1. Strides that
// double lead away from `start`, then the gap is halved.
int last_true(const std::function<bool(int)>& holds, int start) {
    const int low = 1, high = 100;
    int best = low - 1, bad = high + 1, stride = 4, at = start;
    while (best + 1 < bad) {
        (holds(at) ? best : bad) = at;
        if (bad == high + 1) {
            at = std::min(best + stride, high), stride *= 2;
        } else if (best == low - 1) {
            at = std::max(bad - stride, low), stride *= 2;
        } else {
            at = (best + bad) / 2;
        }
    }
    return best;
}

// Bits with positions / without, of the same symbols: up to it a face stands on the template; linear between these
// qualities, and level beyond them. Of lfic/encoder/choose.py.
double clear_share(int quality) {
    const struct {
        int quality;
        double share;
    } knots[] = {{20, 0.72}, {60, 0.81}, {80, 0.87}, {100, 0.91}};
    if (quality <= knots[0].quality) return knots[0].share;
    for (int k = 1; k < 4; ++k)
        if (quality <= knots[k].quality) {
            const auto &a = knots[k - 1], &b = knots[k];
            return a.share + (b.share - a.share) / (b.quality - a.quality) * (quality - a.quality);
        }
    return knots[3].share;
}

// All three colours become the integer luma of BT.601 in 1/256.
void drop_colour(uint8_t* rgb, std::size_t pixels) {
    for (; pixels; --pixels, rgb += 3)
        rgb[0] = rgb[1] = rgb[2] = static_cast<uint8_t>((77 * rgb[0] + 150 * rgb[1] + 29 * rgb[2] + 128) >> 8);
}

bool is_grey(const uint8_t* rgb, std::size_t pixels) {
    for (; pixels; --pixels, rgb += 3)
        if (rgb[0] != rgb[1] || rgb[0] != rgb[2]) return false;
    return true;
}

std::string hex(const std::array<uint8_t, 4>& bytes) {
    std::string out;
    for (const uint8_t byte : bytes)
        for (const int shift : {4, 0}) out += "0123456789abcdef"[byte >> shift & 15];
    return out;
}

network::Picture told(const Stream& stream) {
    return {static_cast<int>(stream.height), static_cast<int>(stream.width), stream.quality, stream.aligned};
}

}  // namespace

// A picture between the networks and the coder: what the header would say, and what the payload would.
struct Codec::Draft {
    Stream stream;
    Symbols symbols;
};

Codec::Codec(const View& file, Simd simd, Part part) : Codec(Weights(file), simd, part) {}

Codec::Codec(const Weights& weights, Simd simd, Part part, std::shared_ptr<const Codec> former)
    : Codec(weights.model_number(), context_model(weights, simd), networks_of(weights, simd, part)) {
    if (number_ == kPrivate) mark_ = weights.mark();
    const int wanted = former_of(number_);
    if (wanted == number_) return;
    if (const auto held = weights.part("former"); held && !former)
        former = std::make_shared<const Codec>(*held, simd, part);
    const std::string needed =
        std::string(model_name(number_)) + " codes faces on the template by the networks of " + model_name(wanted);
    if (!former)
        throw WeightsError(needed + ", whose weights are missing: take a file of both, which csrc/wasm/weights.py " +
                           "writes, or lfic_model_open with " + model_name(wanted) + ".safetensors beside it");
    if (former->number_ != wanted)
        throw WeightsError(needed + "; the weights given for that are " + model_name(former->number_));
    template_ = on_template(weights, former->networks_, simd);
    former_ = std::move(former);
}

Codec::Codec(int number, std::shared_ptr<const ContextModel> context, Networks networks,
             std::shared_ptr<const Codec> on_template, std::shared_ptr<const Codec> former)
    : number_(number),
      context_(std::move(context)),
      networks_(std::move(networks)),
      template_(std::move(on_template)),
      former_(std::move(former)) {
    if (networks_->channels() != context_->channels())
        throw WeightsError("the networks have " + std::to_string(networks_->channels()) +
                           " channels, the context model has " + std::to_string(context_->channels()));
}

std::shared_ptr<const Codec> Codec::on_template(const Weights& weights, Networks networks, Simd simd) {
    const std::optional<Weights> held = weights.part("template");
    if (!held) throw WeightsError("the weights hold no entropy model for faces on the template");
    return std::make_shared<const Codec>(weights.model_number(), context_model(*held, simd), std::move(networks));
}

File Codec::read(const View& bytes, uint64_t max_pixels) const {
    File file = read_file(bytes, max_pixels);
    if (file.model != number_ && !(former_ && file.model == former_->number_))
        throw ContainerError(std::string("the file was written by model ") + model_name(file.model) +
                             "; this codec has " + model_name(number_) + ": load the codec that wrote it");
    const std::array<uint8_t, 4> unknown{};
    if (file.model == kPrivate && file.weights != mark_ && file.weights != unknown && mark_ != unknown)
        throw ContainerError("the file was written with the private weights " + hex(file.weights) + "; these are " +
                             hex(mark_) + ": load those that wrote it");
    return file;
}

std::vector<std::vector<uint8_t>> Codec::decode_streams(const std::vector<Stream>& streams, int number,
                                                        int threads) const {
    const auto part_of = [&](std::size_t i) { return &of(number, streams[i].aligned); };
    std::vector<Symbols> coded(streams.size());
    for_each_stream(streams.size(), threads,
                    [&](std::size_t i) { coded[i] = decode_payload(part_of(i)->context(), streams[i]); });
    std::vector<std::vector<uint8_t>> out(streams.size());
    for (const Codec* const part : {this, template_.get(), former_.get()}) {
        std::vector<network::Picture> pictures;
        std::vector<network::Coded> given;
        std::vector<uint8_t*> pixels;
        for (std::size_t i = 0; i < streams.size(); ++i) {
            if (part_of(i) != part) continue;
            out[i].resize(std::size_t{3} * streams[i].width * streams[i].height);
            pictures.push_back(told(streams[i]));
            given.push_back({coded[i].symbols.data(), coded[i].symbols.size(), coded[i].levels.data()});
            pixels.push_back(out[i].data());
        }
        if (!pictures.empty()) part->networks().synthesize(pictures, given, pixels, threads);
    }
    for (std::size_t i = 0; i < streams.size(); ++i)
        if (streams[i].grey) drop_colour(out[i].data(), out[i].size() / 3);
    return out;
}

void Codec::decode(const File& file, uint8_t* rgb, int threads) const {
    if (file.plain()) {
        const Codec& part = of(file.model, file.background->aligned);
        const Symbols coded = decode_payload(part.context(), *file.background);
        part.networks().synthesize(told(*file.background),
                                   {coded.symbols.data(), coded.symbols.size(), coded.levels.data()}, rgb, threads);
        if (file.grey) drop_colour(rgb, static_cast<std::size_t>(file.width) * file.height);
        return;
    }
    std::vector<Stream> streams;
    if (file.background) streams.push_back(*file.background);
    for (const Layer& layer : file.layers) streams.push_back(layer.stream);
    const auto pixels = decode_streams(streams, file.model, threads);
    const std::size_t first = file.background ? 1 : 0;
    std::vector<Painted> faces;
    for (std::size_t k = 0; k < file.layers.size(); ++k)
        faces.push_back({pixels[first + k].data(), file.layers[k].place, file.layers[k].size()});
    compose(first ? pixels[0].data() : nullptr, file.reduction, faces, file.width, file.height, rgb, threads);
}

Codec::Draft Codec::draft(const uint8_t* rgb, uint32_t width, uint32_t height, int quality, bool aligned, int threads,
                          bool coarsest) const {
    Draft out{{width, height, quality, 0, aligned, {}}, {}};
    const network::Picture picture = told(out.stream);
    const network::Model& networks = of(aligned).networks();
    const Grid grid = grid_of(out.stream);
    const std::size_t cells = static_cast<std::size_t>(grid.height) * static_cast<std::size_t>(grid.width);
    std::vector<int16_t> features(cells * static_cast<std::size_t>(networks.channels()));
    networks.analyze(picture, rgb, features.data(), threads);
    out.stream.grey = is_grey(rgb, std::size_t{width} * height);
    out.symbols.levels.assign(static_cast<std::size_t>(grid.rows()) * static_cast<std::size_t>(grid.columns()),
                              kLevels - 1);
    if (!coarsest) networks.choose_levels(picture, features.data(), out.symbols.levels.data());
    out.symbols.symbols = networks.pool(picture, features.data(), out.symbols.levels.data());
    return out;
}

double Codec::bits(const Draft& draft, bool aligned) const {
    const ContextModel& context = (former_ ? *former_ : *this).context();
    Grid grid = grid_of(draft.stream);
    grid.aligned = aligned;
    const std::vector<int16_t>& symbols = draft.symbols.symbols;
    const std::vector<uint8_t>& levels = draft.symbols.levels;
    std::vector<float> cells(symbols.size() / static_cast<std::size_t>(context.channels()));
    cost_face(context, {grid, levels.data(), symbols.data(), symbols.size(), false}, cells.data());
    double sum = 0;
    for (const float cell : cells) sum += cell;
    if (std::any_of(levels.begin(), levels.end(), [&](uint8_t l) { return l != levels.front(); }))
        sum += context.level_bits(grid, levels.data());
    return sum;
}

Codec::Draft Codec::best_draft(const uint8_t* rgb, uint32_t width, uint32_t height, int quality, int aligned,
                               int threads) const {
    if (aligned >= 0 || width != kSide || height != kSide)
        return draft(rgb, width, height, quality, aligned > 0, threads);
    const Draft placed = draft(rgb, width, height, quality, true, threads);
    if (bits(placed, true) <= clear_share(quality) * bits(placed, false)) return placed;
    return draft(rgb, width, height, quality, false, threads);
}

Codec::Draft Codec::reduced_draft(const uint8_t* rgb, uint32_t width, uint32_t height, const Resolution& at,
                                  int threads) const {
    const auto columns = static_cast<uint32_t>(shrunk_side(width, at.reduction));
    const auto rows = static_cast<uint32_t>(shrunk_side(height, at.reduction));
    std::vector<uint8_t> pixels(std::size_t{3} * columns * rows);
    shrink(rgb, at.reduction, width, height, pixels.data(), threads);
    Draft out = draft(pixels.data(), columns, rows, at.quality, false, threads);
    out.stream.grey = is_grey(rgb, std::size_t{width} * height);
    return out;
}

std::vector<uint8_t> Codec::bytes_of(const Draft& draft, bool checksum, uint32_t width, uint32_t height,
                                     int reduction) const {
    Stream stream = draft.stream;
    const Codec& part = of(stream.aligned);
    const std::vector<uint8_t> payload = encode_payload(part.context(), stream, draft.symbols, stream.level_mode);
    stream.payload = {payload.data(), payload.size()};
    File file;
    file.width = width;
    file.height = height;
    file.reduction = reduction;
    file.model = part.number_;
    file.checksum = checksum;
    file.grey = stream.grey;
    file.weights = part.mark_;
    file.background = stream;
    return write_file(file);
}

std::vector<uint8_t> Codec::largest(const uint8_t* rgb, uint32_t width, uint32_t height,
                                    const EncodeSettings& settings) const {
    constexpr int kStart = 40;
    std::vector<uint8_t> best;
    // The way (aligned or not) is settled once, in the middle of the scale.
    int way = settings.aligned;
    const auto fits = [&](int quality) {
        const Draft found = best_draft(rgb, width, height, quality, way, settings.threads);
        way = found.stream.aligned;
        auto file = bytes_of(found, settings.checksum, width, height);
        if (file.size() > settings.max_bytes) return false;
        best = std::move(file);
        return true;
    };
    const int found = last_true(fits, kStart);
    if (!settings.full) {
        // The size that a picture of the quality found, or of 1 where none fits, is coded at; then the best of that
        // size.
        Resolution smaller = resolution_for(rgb, width, height, std::max(found, 1), settings.threads);
        const auto smaller_fits = [&](int quality) {
            smaller.quality = quality;
            auto file = bytes_of(reduced_draft(rgb, width, height, smaller, settings.threads), settings.checksum, width,
                                 height, smaller.reduction);
            if (file.size() > settings.max_bytes) return false;
            best = std::move(file);
            return true;
        };
        if (smaller.reduction && last_true(smaller_fits, smaller.quality)) return best;
    }
    if (found) return best;
    // Even quality 1 is too large: pool everything as coarsely as it goes, and search again.
    std::size_t least = 0;
    const auto coarse_fits = [&](int quality) {
        auto file = bytes_of(draft(rgb, width, height, quality, way > 0, settings.threads, true), settings.checksum,
                             width, height);
        least = file.size();
        if (least > settings.max_bytes) return false;
        best = std::move(file);
        return true;
    };
    if (last_true(coarse_fits, 1)) return best;
    if (!settings.full && settings.aligned <= 0 && uint64_t{width} * height > uint64_t{kSide} * kSide) {
        // At no quality does it fit as it is: a background alone, at a part of its size.
        const auto part_fits = [&](int quality) {
            const Resolution at = background_step(quality);
            if (!at.reduction) return false;
            auto file = bytes_of(reduced_draft(rgb, width, height, at, settings.threads), settings.checksum, width,
                                 height, at.reduction);
            least = file.size();
            if (least > settings.max_bytes) return false;
            best = std::move(file);
            return true;
        };
        if (last_true(part_fits, kStart)) return best;
    }
    throw InvalidInput("max_bytes is " + std::to_string(settings.max_bytes) +
                       ", but the smallest file of this image has " + std::to_string(least) +
                       " bytes: allow more, or shrink the image");
}

std::vector<uint8_t> Codec::encode(const uint8_t* rgb, uint32_t width, uint32_t height,
                                   const EncodeSettings& settings) const {
    if (!encodes()) throw WeightsError("these weights hold what decodes alone: take the whole model");
    if (width < 1 || height < 1 || width > kMaxPictureSide || height > kMaxPictureSide ||
        uint64_t{width} * height > kMaxPixels)
        throw InvalidInput("the image is " + std::to_string(width) + " x " + std::to_string(height) + "; allowed are " +
                           std::to_string(kMaxPixels) + " pixels and " + std::to_string(kMaxPictureSide) +
                           " a side: shrink it or cut it");
    if (!settings.max_bytes && (settings.quality < 1 || settings.quality > kQualities))
        throw InvalidInput("quality is " + std::to_string(settings.quality) + "; allowed are the integers 1 to 100");
    if (settings.aligned > 0 && (width != kSide || height != kSide))
        throw InvalidInput("aligned=1 needs 112 x 112 pixels; found " + std::to_string(width) + " x " +
                           std::to_string(height));
    if (settings.max_bytes) return largest(rgb, width, height, settings);
    if (!settings.full) {
        const Resolution at = resolution_for(rgb, width, height, settings.quality, settings.threads);
        if (at.reduction)
            return bytes_of(reduced_draft(rgb, width, height, at, settings.threads), settings.checksum, width, height,
                            at.reduction);
    }
    return bytes_of(best_draft(rgb, width, height, settings.quality, settings.aligned, settings.threads),
                    settings.checksum, width, height);
}

}  // namespace lfic
