#define LFIC_BUILDING
#include "capi/lfic.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>
#include <string>

#include "capi/codec.hpp"
#include "common/threads.hpp"
#include "format/bare.hpp"

struct lfic_model {
    lfic::Codec codec;
};

namespace {

using namespace lfic;

// Room of its own, so that saying what went wrong takes no memory.
thread_local char last_error[512] = "";

// The caller's buffer has too few bytes.
struct TooSmall : std::runtime_error {
    using std::runtime_error::runtime_error;
};

lfic_status failed(lfic_status status, const char* what) {
    std::snprintf(last_error, sizeof last_error, "%s", what);
    return status;
}

// What `work` throws, as a status.
template <class Work>
lfic_status guarded(const Work& work) noexcept {
    try {
        work();
        return LFIC_OK;
    } catch (const InvalidInput& error) {
        return failed(LFIC_INVALID_INPUT, error.what());
    } catch (const ContainerError& error) {
        return failed(LFIC_CONTAINER, error.what());
    } catch (const CorruptStream& error) {
        return failed(LFIC_CORRUPT, error.what());
    } catch (const WeightsError& error) {
        return failed(LFIC_BAD_WEIGHTS, error.what());
    } catch (const TooSmall& error) {
        return failed(LFIC_TOO_SMALL, error.what());
    } catch (const std::bad_alloc&) {
        return failed(LFIC_NO_MEMORY, "there is not enough memory");
    } catch (const std::length_error&) {
        return failed(LFIC_NO_MEMORY, "there is not enough memory");
    } catch (const std::exception& error) {
        return failed(LFIC_INTERNAL, error.what());
    } catch (...) {
        return failed(LFIC_INTERNAL, "an unknown fault");
    }
}

template <class Pointer>
void need(Pointer pointer, const char* name) {
    if (!pointer) throw InvalidInput(std::string(name) + " is null");
}

View bytes(const void* data, std::size_t size) {
    if (size) need(data, "the file");
    return {static_cast<const uint8_t*>(data), size};
}

uint64_t bound(uint64_t max_pixels) {
    return max_pixels ? max_pixels : kDecodedPixels;
}

// Bytes from row to row, checked.
std::size_t stride_of(std::size_t stride, uint32_t width) {
    const std::size_t tight = std::size_t{3} * width;
    if (stride && stride < tight)
        throw InvalidInput("the stride is " + std::to_string(stride) + "; a row has " + std::to_string(tight) +
                           " bytes");
    return stride ? stride : tight;
}

std::vector<uint8_t> file_bytes(const char* path) {
    need(path, "path");
    std::FILE* file = std::fopen(path, "rb");
    if (!file) throw WeightsError(std::string("there are no weights at ") + path);
    std::vector<uint8_t> out;
    uint8_t part[1 << 16];
    try {
        for (std::size_t got; (got = std::fread(part, 1, sizeof part, file)) > 0;)
            out.insert(out.end(), part, part + got);
    } catch (...) {
        std::fclose(file);
        throw;
    }
    const bool bad = std::ferror(file) != 0;
    std::fclose(file);
    if (bad) throw WeightsError(std::string("the weights at ") + path + " can't be read");
    return out;
}

// The bundled model `number` out of the folder in which the weights at `path` lie.
std::shared_ptr<const Codec> model_beside(const char* path, int number) {
    const std::string name = std::string(model_name(number)) + ".safetensors";
    try {
        const auto file = file_bytes(std::filesystem::path(path).replace_filename(name).string().c_str());
        return std::make_shared<const Codec>(View{file.data(), file.size()});
    } catch (const WeightsError& error) {
        throw WeightsError(std::string(path) + " needs " + name +
                           " beside it, for faces on the template: " + error.what());
    }
}

// Of a weights file at `path`, which may lack the model by whose networks its own codes the template.
Codec codec_of(const Weights& weights, const char* path) {
    const int number = weights.model_number(), former = former_of(number);
    if (former == number || weights.part("former")) return Codec(weights);
    return Codec(weights, Simd::automatic, Part::all, model_beside(path, former));
}

// Bytes -> the caller's buffer, whose room *size says; then *size is what they are.
void hand_over(const std::vector<uint8_t>& out, void* file, size_t* size) {
    const std::size_t room = *size;
    *size = out.size();
    if (room < out.size())
        throw TooSmall("the file takes " + std::to_string(out.size()) + " bytes; the buffer has " +
                       std::to_string(room));
    need(file, "file");
    std::memcpy(file, out.data(), out.size());
}

// The layer's stream, or the picture's own where that is an aligned face.
const Stream& face_stream(const File& file, int index, Place& place) {
    if (file.plain() && file.background->aligned && index == 0) return *file.background;
    if (index < 0 || static_cast<std::size_t>(index) >= file.layers.size())
        throw InvalidInput("face " + std::to_string(index) + " is asked for; the file has " +
                           std::to_string(file.plain() ? file.background->aligned : file.layers.size()));
    place = file.layers[static_cast<std::size_t>(index)].place;
    return file.layers[static_cast<std::size_t>(index)].stream;
}

}  // namespace

extern "C" {

const char* lfic_error(void) {
    return last_error;
}

int lfic_api_version(void) {
    return LFIC_API_VERSION;
}

lfic_status lfic_model_load(const void* weights, size_t size, lfic_model** model) {
    return guarded([&] {
        need(model, "model");
        *model = nullptr;
        *model = new lfic_model{Codec(bytes(weights, size))};
    });
}

lfic_status lfic_model_open(const char* path, lfic_model** model) {
    return guarded([&] {
        need(model, "model");
        *model = nullptr;
        const auto file = file_bytes(path);
        *model = new lfic_model{codec_of(Weights({file.data(), file.size()}), path)};
    });
}

void lfic_model_free(lfic_model* model) {
    delete model;
}

lfic_status lfic_probe(const void* data, size_t size, uint64_t max_pixels, lfic_info* info) {
    return guarded([&] {
        need(info, "info");
        const File file = read_file(bytes(data, size), bound(max_pixels));
        std::size_t payload = file.background ? file.background->payload.size : 0;
        for (const Layer& layer : file.layers) payload += layer.stream.payload.size;
        *info = {file.width,
                 file.height,
                 file.version,
                 file.model,
                 file.quality(),
                 file.background && file.background->aligned,
                 file.checksum,
                 eighths(file.reduction) << (6 - shift(file.reduction)),
                 static_cast<int>(file.layers.size()),
                 file.grey,
                 payload};
    });
}

lfic_status lfic_file_of_bare(const void* bare, size_t bare_size, void* file, size_t* size) {
    return guarded([&] {
        need(size, "size");
        hand_over(file_of_bare(bytes(bare, bare_size)), file, size);
    });
}

void lfic_decode_defaults(lfic_decode_options* options) {
    if (options) *options = {0, 0, 1};
}

lfic_status lfic_decode(const lfic_model* model, const void* data, size_t size, const lfic_decode_options* given,
                        void* rgb, size_t capacity) {
    return guarded([&] {
        need(model, "model");
        need(rgb, "rgb");
        lfic_decode_options options;
        lfic_decode_defaults(&options);
        if (given) options = *given;
        thread_count(options.threads);
        const File file = model->codec.read(bytes(data, size), bound(options.max_pixels));
        const std::size_t tight = std::size_t{3} * file.width, stride = stride_of(options.stride, file.width);
        const std::size_t rows = file.height;
        if (capacity < tight || (capacity - tight) / stride < rows - 1)
            throw TooSmall("the picture takes " + std::to_string((rows - 1) * stride + tight) +
                           " bytes; the buffer has " + std::to_string(capacity));
        if (stride == tight) {
            model->codec.decode(file, static_cast<uint8_t*>(rgb), options.threads);
            return;
        }
        std::vector<uint8_t> pixels(tight * rows);
        model->codec.decode(file, pixels.data(), options.threads);
        for (std::size_t y = 0; y < rows; ++y)
            std::memcpy(static_cast<uint8_t*>(rgb) + y * stride, pixels.data() + y * tight, tight);
    });
}

lfic_status lfic_decode_face(const lfic_model* model, const void* data, size_t size, int index, void* rgb,
                             size_t capacity, int* side, double matrix[6], int* quality) {
    return guarded([&] {
        need(model, "model");
        need(side, "side");
        const File file = model->codec.read(bytes(data, size), kMaxPixels);
        Place place{-1, 0, 0, 0};
        const Stream& stream = face_stream(file, index, place);
        if (stream.width != stream.height || stream.width % kSide)
            throw InvalidInput("the file's one face has " + std::to_string(stream.width) + " x " +
                               std::to_string(stream.height) + " pixels: decode it as a picture");
        *side = static_cast<int>(stream.width);
        const std::size_t takes = std::size_t{3} * stream.width * stream.height;
        if (capacity < takes)
            throw TooSmall("the face takes " + std::to_string(takes) + " bytes; the buffer has " +
                           std::to_string(capacity));
        need(rgb, "rgb");
        const auto pixels = model->codec.decode_streams({stream}, file.model, 1);
        std::memcpy(rgb, pixels[0].data(), takes);
        if (quality) *quality = stream.quality;
        const double same[6] = {1, 0, 0, 0, 1, 0};
        const int times = *side == kSide ? 0 : *side == 2 * kSide ? 1 : 2;
        if (matrix && place.valid()) place.matrix(file.width, file.height, matrix, times);
        if (matrix && !place.valid()) std::copy(same, same + 6, matrix);
    });
}

lfic_status lfic_levels(const lfic_model* model, const void* data, size_t size, uint8_t* levels, size_t* count) {
    return guarded([&] {
        need(model, "model");
        need(count, "count");
        const File file = model->codec.read(bytes(data, size), kMaxPixels);
        const std::size_t room = *count;
        std::vector<uint8_t> found;
        if (file.background)
            found = decode_levels(model->codec.of(file.model, file.background->aligned).context(), *file.background);
        *count = found.size();
        if (room < found.size())
            throw TooSmall("there are " + std::to_string(found.size()) + " regions; the buffer has room for " +
                           std::to_string(room));
        if (!found.empty()) {
            need(levels, "levels");
            std::copy(found.begin(), found.end(), levels);
        }
    });
}

void lfic_encode_defaults(lfic_encode_options* options) {
    if (options) *options = {40, -1, 1, 1, 0, 0, 0};
}

lfic_status lfic_encode(const lfic_model* model, const void* rgb, uint32_t width, uint32_t height,
                        const lfic_encode_options* given, void* file, size_t* size) {
    return guarded([&] {
        need(model, "model");
        need(rgb, "rgb");
        need(size, "size");
        lfic_encode_options options;
        lfic_encode_defaults(&options);
        if (given) options = *given;
        thread_count(options.threads);
        if (options.aligned < -1 || options.aligned > 1)
            throw InvalidInput("aligned is " + std::to_string(options.aligned) + "; allowed are -1, 0 and 1");
        const EncodeSettings settings{options.quality, options.aligned,   options.checksum != 0,
                                      options.threads, options.max_bytes, options.full != 0};
        const std::size_t tight = std::size_t{3} * width, stride = stride_of(options.stride, width);
        const uint8_t* pixels = static_cast<const uint8_t*>(rgb);
        std::vector<uint8_t> packed;
        if (stride != tight && height <= kMaxPixels / (width ? width : 1)) {
            packed.resize(tight * height);
            for (std::size_t y = 0; y < height; ++y) std::memcpy(&packed[y * tight], pixels + y * stride, tight);
            pixels = packed.data();
        }
        hand_over(model->codec.encode(pixels, width, height, settings), file, size);
    });
}

}  // extern "C"
