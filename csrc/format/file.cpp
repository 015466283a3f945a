#include "format/file.hpp"

#include <algorithm>
#include <cstdio>

#include "common/sizes.hpp"

namespace lfic {
namespace {

constexpr std::size_t kLayerBytes = 7;
constexpr int kPhoto = 2, kGrey = 3;  // versions: of a photo's header, and of version 1's of a grey picture
constexpr int kForm = 3;   // bits of the version that say which header it is; the one above is the model: 0 or 1
constexpr int kNamed = 2;  // models from this number on are named by a byte, in versions below 4

std::string text(uint64_t value) {
    return std::to_string(value);
}

std::string hex(unsigned value, int digits) {
    char out[8];
    std::snprintf(out, sizeof out, "0x%0*X", digits, value);
    return out;
}

const char kKnownModels[] = "0 (face-v1), 1 (face-v2), 255 (private)";

int checked_quality(int quality) {
    if (quality < 1 || quality > kQualities)
        throw ContainerError("the file has quality " + text(quality) + "; allowed are 1 to 100");
    return quality;
}

// Throws where decoding would cost more than the caller allows.
void check_pixels(uint64_t width, uint64_t height, uint64_t max_pixels) {
    if (std::max(width, height) > kMaxPictureSide)
        throw ContainerError("the picture is " + text(width) + " x " + text(height) + "; allowed are " +
                             text(kMaxPictureSide) + " pixels a side");
    const uint64_t work = std::max<uint64_t>(width, kLeastSide) * std::max<uint64_t>(height, kLeastSide);
    if (width * height <= max_pixels && work <= std::max<uint64_t>(max_pixels, kSide * kSide)) return;
    const std::string thin = work == width * height ? ""
                                                    : ", and costs as much as " + text(work) + " (a side counts as " +
                                                          text(kLeastSide) + " at least)";
    throw ContainerError("the image is " + text(width) + " x " + text(height) + " = " + text(width * height) +
                         " pixels" + thin + "; allowed are " + text(max_pixels) + ": raise max_pixels if you trust it");
}

// The version and the model that wrote the file. flag: in versions 1 to 3, whether a byte says which, at `at`; private
// weights say behind it which they are.
void take_model(const View& file, std::size_t& at, bool flag, File& out) {
    out.version = file.data[1] >> 5;
    out.model = out.version >> 2;
    if (out.version > kForm || !flag) return;
    if (file.size <= at) throw CorruptStream("the file ends before its model byte", at);
    if (file.data[at] < kNamed)
        throw ContainerError("the file has a model byte of " + text(file.data[at]) +
                             ", which no encoder writes: such a byte names models from " + text(kNamed) +
                             " on, and the version tells those below");
    out.model = file.data[at++];
    if (!model_name(out.model))
        throw ContainerError("the file needs model " + text(out.model) + ", which this lfic lacks; known are " +
                             kKnownModels);
    if (out.model != kPrivate) return;
    if (file.size < at + out.weights.size())
        throw CorruptStream("the file ends within the digest of its weights", file.size);
    std::copy_n(file.data + at, out.weights.size(), out.weights.begin());
    at += out.weights.size();
}

// A picture's width and height. flag: by model 1, whether one side stands for both.
std::array<uint32_t, 2> take_size(const View& file, std::size_t& at, bool flag, int version) {
    const uint32_t width = take_leb128(file, at, "width") + 1;
    if (version > kForm && flag) return {width, width};
    const uint32_t height = take_leb128(file, at, "height") + 1;
    if (version > kForm && width == height)
        throw ContainerError("the file spells out both sides of " + text(width) + " x " + text(height) +
                             " pixels; one is written of a square");
    return {width, height};
}

// Whether one side stands for both: in files of model 1.
bool written_once(const File& file, uint32_t width, uint32_t height) {
    return file.model && file.model < kNamed && width == height;
}

void put_size(std::vector<uint8_t>& out, const File& file, uint32_t width, uint32_t height) {
    put_leb128(out, width - 1);
    if (!written_once(file, width, height)) put_leb128(out, height - 1);
}

// What byte 1 says of a header's form and of the model.
int version_bits(const File& file, int form) {
    return ((file.model < kNamed ? file.model << 2 : 0) | form) << 5;
}

void put_model(std::vector<uint8_t>& out, const File& file) {
    if (file.model < kNamed) return;
    out.push_back(static_cast<uint8_t>(file.model));
    if (file.model == kPrivate) out.insert(out.end(), file.weights.begin(), file.weights.end());
}

// Where the payloads end: before the checksum, if there is one, which is then right.
std::size_t checked_end(const View& file, std::size_t at, bool checksum) {
    if (!checksum) return file.size;
    if (file.size - at < 2) throw CorruptStream("the file ends before its checksum", file.size);
    const std::size_t end = file.size - 2;
    const unsigned stored = file.data[end] << 8 | file.data[end + 1], found = crc16(file.data, end);
    if (stored != found)
        throw CorruptStream("the checksum is " + hex(found, 4) + ", the file says " + hex(stored, 4), end);
    return end;
}

// Whether a stream of so many pixels has the template's grid.
bool on_template_grid(const Stream& stream) {
    return stream.rows() == kAlignedGrid && stream.columns() == kAlignedGrid;
}

File read_version_1(const View& file, uint64_t max_pixels) {
    if (file.size < 3)
        throw CorruptStream("the file has " + text(file.size) + " bytes; an lfic file has at least 3", file.size);
    const uint8_t* data = file.data;
    if (data[0] != kMagic)
        throw ContainerError("this is no lfic file: it starts with byte " + hex(data[0], 2) + ", not " +
                             hex(kMagic, 2));
    const int form = data[1] >> 5 & kForm;
    if (form != 1 && form != kGrey)
        throw ContainerError("the file has format version " + text(data[1] >> 5) +
                             "; this lfic reads versions 1 to 3 and 5 to 7: a newer lfic may read it");
    File out;
    Stream stream{kSide, kSide, checked_quality(data[2] >> 1), data[1] >> 3 & 3, (data[1] & 4) != 0, {}};
    out.grey = stream.grey = form == kGrey;
    out.checksum = (data[1] & 2) != 0;
    const bool with_size = data[1] & 1, flag = data[2] & 1;
    std::size_t at = 3;
    take_model(file, at, flag, out);
    if (with_size) {
        const auto [width, height] = take_size(file, at, flag, out.version);
        stream.width = width;
        stream.height = height;
        if (stream.width == kSide && stream.height == kSide)
            throw ContainerError("the file spells out the standard size 112 x 112, which no encoder does");
    } else if (out.version > kForm && flag) {
        throw ContainerError("the file says that a picture of the standard size 112 x 112 is square");
    }
    check_pixels(stream.width, stream.height, max_pixels);
    if (stream.aligned && !on_template_grid(stream))
        throw ContainerError("the file says that a " + text(stream.width) + " x " + text(stream.height) +
                             " image is aligned; only grids of 14 x 14 cells are");
    const std::size_t end = checked_end(file, at, out.checksum);
    stream.payload = {data + at, end - at};
    out.width = stream.width;
    out.height = stream.height;
    out.background = stream;
    return out;
}

// Throws Error unless a file of version 2 or 6 may be so.
template <class Error>
void check(const File& file) {
    if (file.width < 1 || file.width > kMaxPictureSide || file.height < 1 || file.height > kMaxPictureSide)
        throw Error("the picture is " + text(file.width) + " x " + text(file.height) + "; allowed are 1 to " +
                    text(kMaxPictureSide) + " pixels a side");
    if (file.plain() || (!file.background && file.layers.empty()))
        throw Error("a file of version 2 or 6 has face layers, or a background smaller than the picture");
    if (file.reduction < 0 || file.reduction > kMaxReduction)
        throw Error("the background's reduction is " + std::to_string(file.reduction) + "; allowed are 0 to 15");
    if (file.layers.size() > kMaxLayers)
        throw Error("the picture has " + text(file.layers.size()) + " layers; allowed are " + text(kMaxLayers));
    int64_t covered = 0;
    for (const Layer& layer : file.layers) covered += layer.place.box(file.width, file.height).pixels();
    const int64_t pixels = static_cast<int64_t>(file.width) * file.height;
    if (covered > kMaxCover * pixels) {
        char times[32];
        std::snprintf(times, sizeof times, "%.1f", static_cast<double>(covered) / static_cast<double>(pixels));
        throw Error("the layers' boxes have " + std::to_string(covered) + " pixels, " + times +
                    " times the picture's; allowed are 8 times");
    }
    int64_t own = 0;
    for (std::size_t k = 0; k < file.layers.size(); ++k) {
        const Layer& layer = file.layers[k];
        const int size = layer.size();
        if (layer.stream.width != kSide << size || layer.stream.height != layer.stream.width ||
            layer.stream.aligned != (size == 0))
            throw Error("layer " + text(k + 1) + " has " + text(layer.stream.width) + " x " +
                        text(layer.stream.height) +
                        " pixels; allowed are 112 x 112 on the template, and 224 x 224 and 448 x 448");
        if (size == 0) continue;
        own += static_cast<int64_t>(layer.stream.width) * layer.stream.height;
        if (layer.place.scale < kOctave * (size - 1 - kLeastOctave))
            throw Error("layer " + text(k + 1) + " has " + text(layer.stream.width) +
                        " pixels a side and is painted at less than half of them, which no encoder does");
    }
    if (own > kMaxCover * pixels)
        throw Error("the layers above 112 x 112 have " + std::to_string(own) + " pixels of their own, the picture " +
                    std::to_string(pixels) + "; allowed are 8 times as many");
}

// Reads the parts of a photo's file one after the other.
class Parts {
  public:
    Parts(const View& file, std::size_t at, std::size_t end) : file_{file.data, end}, at_(at) {}

    const uint8_t* take(std::size_t count, const char* what) {
        if (file_.size - at_ < count) throw CorruptStream(std::string("the file ends within its ") + what, file_.size);
        at_ += count;
        return file_.data + at_ - count;
    }
    View payload(bool last) {
        const std::size_t size = last ? file_.size - at_ : take_leb128(file_, at_, "payload's length");
        return {take(size, "payload"), size};
    }
    void background(File& out, bool last) {
        const uint8_t* two = take(2, "background's description");
        if (two[0] & 1 || two[1] >> 6)
            throw ContainerError("a bit of the background's description at byte " + text(at_ - 2) + " is unknown");
        const int quality = checked_quality(two[0] >> 1);
        out.reduction = (two[1] >> 2 & 3) << 2 | two[1] >> 4;
        out.background = Stream{static_cast<uint32_t>(shrunk_side(out.width, out.reduction)),
                                static_cast<uint32_t>(shrunk_side(out.height, out.reduction)),
                                quality,
                                two[1] & 3,
                                false,
                                payload(last)};
    }
    void layers(File& out) {
        for (bool more = true; more;) {
            if (out.layers.size() >= kMaxLayers)
                throw ContainerError("the file has more than " + text(kMaxLayers) + " layers");
            const uint8_t* description = take(kLayerBytes, "layer's description");
            uint64_t bits = 0;
            for (std::size_t k = 1; k < kLayerBytes; ++k) bits = bits << 8 | description[k];
            const unsigned size = bits & 3, side = kSide << size;
            if (size > kMaxSize)
                throw ContainerError("layer " + text(out.layers.size() + 1) +
                                     " is of a kind that this lfic does not know: a newer lfic may read it");
            more = description[0] & 1;
            const Place place{static_cast<int>(bits >> 35), static_cast<int>(bits >> 22 & 0x1FFF),
                              static_cast<int>(bits >> 13 & 0x1FF), static_cast<int>(bits >> 4 & 0x1FF)};
            const int quality = checked_quality(description[0] >> 1);
            out.layers.push_back(
                {place, {side, side, quality, static_cast<int>(bits >> 2 & 3), size == 0, payload(!more)}});
        }
    }

  private:
    View file_;
    std::size_t at_;
};

File read_version_2(const View& file, uint64_t max_pixels) {
    const int flags = file.data[1];
    File out;
    out.checksum = flags & 4;
    out.grey = flags & 1;
    std::size_t at = 2;
    take_model(file, at, flags & 2, out);
    const auto [width, height] = take_size(file, at, flags & 2, out.version);
    out.width = width;
    out.height = height;
    check_pixels(out.width, out.height, max_pixels);
    Parts parts(file, at, checked_end(file, at, out.checksum));
    if (flags & 16) parts.background(out, !(flags & 8));
    if (flags & 8) parts.layers(out);
    if (out.background) out.background->grey = out.grey;
    for (Layer& layer : out.layers) layer.stream.grey = out.grey;
    check<ContainerError>(out);
    return out;
}

void check_stream(const Stream& stream) {
    if (stream.quality < 1 || stream.quality > kQualities)
        throw InvalidInput("quality is " + std::to_string(stream.quality) + "; allowed are 1 to 100");
    if (stream.level_mode < 0 || stream.level_mode > kCodedMap)
        throw InvalidInput("the level-map mode is " + std::to_string(stream.level_mode) + "; allowed are 0 to 3");
}

void put(std::vector<uint8_t>& out, const View& bytes) {
    out.insert(out.end(), bytes.data, bytes.data + bytes.size);
}

// A payload, after its length where it is not the file's last.
void put_payload(std::vector<uint8_t>& out, const View& payload, bool last) {
    if (!last) {
        if (payload.size >= std::size_t{1} << 21)
            throw InvalidInput("a payload has " + text(payload.size) + " bytes; allowed are 2097151 before another");
        put_leb128(out, static_cast<uint32_t>(payload.size));
    }
    put(out, payload);
}

void put_version_1(std::vector<uint8_t>& out, const File& file) {
    const Stream& stream = *file.background;
    check_stream(stream);
    if (stream.aligned && !on_template_grid(stream))
        throw InvalidInput("only grids of 14 x 14 cells can be aligned; " + text(stream.width) + " x " +
                           text(stream.height) + " pixels have " + std::to_string(stream.rows()) + " x " +
                           std::to_string(stream.columns()));
    if (stream.width < 1 || stream.width > kMaxPictureSide || stream.height < 1 || stream.height > kMaxPictureSide)
        throw InvalidInput("the image is " + text(stream.width) + " x " + text(stream.height) + "; allowed are 1 to " +
                           text(kMaxPictureSide) + " pixels a side");
    const bool with_size = stream.width != kSide || stream.height != kSide;
    const bool flag = file.model >= kNamed || (with_size && written_once(file, stream.width, stream.height));
    out = {kMagic,
           static_cast<uint8_t>(version_bits(file, file.grey ? kGrey : 1) | stream.level_mode << 3 |
                                stream.aligned << 2 | file.checksum << 1 | with_size),
           static_cast<uint8_t>(stream.quality << 1 | flag)};
    put_model(out, file);
    if (with_size) put_size(out, file, stream.width, stream.height);
    put(out, stream.payload);
}

void put_version_2(std::vector<uint8_t>& out, const File& file) {
    check<InvalidInput>(file);
    const bool flag = file.model >= kNamed || written_once(file, file.width, file.height);
    out = {kMagic, static_cast<uint8_t>(version_bits(file, kPhoto) | file.background.has_value() << 4 |
                                        !file.layers.empty() << 3 | file.checksum << 2 | flag << 1 | file.grey)};
    put_model(out, file);
    put_size(out, file, file.width, file.height);
    if (file.background) {
        const Stream& stream = *file.background;
        check_stream(stream);
        out.push_back(static_cast<uint8_t>(stream.quality << 1));
        out.push_back(static_cast<uint8_t>((file.reduction & 3) << 4 | file.reduction >> 2 << 2 | stream.level_mode));
        put_payload(out, stream.payload, file.layers.empty());
    }
    for (std::size_t k = 0; k < file.layers.size(); ++k) {
        const Layer& layer = file.layers[k];
        const bool last = k + 1 == file.layers.size();
        check_stream(layer.stream);
        if (!layer.place.valid()) throw InvalidInput("the place of layer " + text(k + 1) + " is out of range");
        uint64_t bits = (static_cast<uint64_t>(layer.place.x) << 13 | static_cast<uint64_t>(layer.place.y)) << 9 |
                        static_cast<uint64_t>(layer.place.scale);
        bits = ((bits << 9 | static_cast<uint64_t>(layer.place.angle)) << 2 |
                static_cast<uint64_t>(layer.stream.level_mode))
                   << 2 |
               static_cast<uint64_t>(layer.size());
        out.push_back(static_cast<uint8_t>(layer.stream.quality << 1 | !last));
        for (int shift = 40; shift >= 0; shift -= 8) out.push_back(static_cast<uint8_t>(bits >> shift));
        put_payload(out, layer.stream.payload, last);
    }
}

}  // namespace

const char* model_name(int number) {
    switch (number) {
        case kFaceV1: return "face-v1";
        case kFaceV2: return "face-v2";
        case kPrivate: return "private";
        default: return nullptr;
    }
}

File read_file(const View& file, uint64_t max_pixels) {
    if (file.size < 3 || file.data[0] != kMagic || (file.data[1] >> 5 & kForm) != kPhoto)
        return read_version_1(file, max_pixels);
    return read_version_2(file, max_pixels);
}

std::vector<uint8_t> write_file(const File& file) {
    if (!model_name(file.model))
        throw InvalidInput("the model is " + std::to_string(file.model) + "; known are " + kKnownModels);
    std::vector<uint8_t> out;
    if (file.plain())
        put_version_1(out, file);
    else
        put_version_2(out, file);
    if (file.checksum) {
        const uint16_t crc = crc16(out.data(), out.size());
        out.push_back(static_cast<uint8_t>(crc >> 8));
        out.push_back(static_cast<uint8_t>(crc));
    }
    return out;
}

}  // namespace lfic
