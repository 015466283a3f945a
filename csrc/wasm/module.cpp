// What JavaScript calls: csrc/capi/lfic.h with numbers and addresses alone. lfic.js wraps it.
#include <cstdlib>
#include <vector>

#include "capi/lfic.h"

#define EXPORT(name) extern "C" __attribute__((export_name(#name)))

EXPORT(allocate) void* allocate(std::size_t size) {
    return std::malloc(size ? size : 1);
}

EXPORT(release) void release(void* data) {
    std::free(data);
}

EXPORT(error) const char* error() {
    return lfic_error();
}

EXPORT(load) int load(const void* weights, std::size_t size, lfic_model** model) {
    return lfic_model_load(weights, size, model);
}

EXPORT(unload) void unload(lfic_model* model) {
    lfic_model_free(model);
}

// out: width, height, version, model, quality, aligned, checksum, scale in 64ths, layers, grey, payload bytes.
EXPORT(probe) int probe(const void* file, std::size_t size, double max_pixels, int* out) {
    lfic_info info;
    const int status = lfic_probe(file, size, static_cast<uint64_t>(max_pixels), &info);
    if (status != LFIC_OK) return status;
    const int fields[] = {static_cast<int>(info.width),
                          static_cast<int>(info.height),
                          info.version,
                          info.model,
                          info.quality,
                          info.aligned,
                          info.checksum,
                          info.scale,
                          info.layers,
                          info.grey,
                          static_cast<int>(info.payload_bytes)};
    for (const int field : fields) *out++ = field;
    return status;
}

// rgba: four bytes a pixel, of which the three of RGB come from `rgb` and the fourth is 255.
static void spread(const uint8_t* rgb, std::size_t pixels, uint8_t* rgba) {
    for (std::size_t i = 0; i < pixels; ++i) {
        rgba[4 * i] = rgb[3 * i], rgba[4 * i + 1] = rgb[3 * i + 1], rgba[4 * i + 2] = rgb[3 * i + 2];
        rgba[4 * i + 3] = 255;
    }
}

// rgba: room for 4 * width * height bytes, as probe says.
EXPORT(decode)
int decode(const lfic_model* model, const void* file, std::size_t size, double max_pixels, uint8_t* rgba,
           std::size_t capacity) {
    lfic_decode_options options;
    lfic_decode_defaults(&options);
    options.max_pixels = static_cast<uint64_t>(max_pixels);
    // RGB is written at the end of the room and spread from its beginning: no second picture is needed.
    const std::size_t pixels = capacity / 4;
    uint8_t* rgb = rgba + pixels;
    const int status = lfic_decode(model, file, size, &options, rgb, 3 * pixels);
    if (status == LFIC_OK) spread(rgb, pixels, rgba);
    return status;
}

// capacity: bytes of rgba, 4 * side * side or more; matrix: six numbers.
EXPORT(decode_face)
int decode_face(const lfic_model* model, const void* file, std::size_t size, int index, uint8_t* rgba,
                std::size_t capacity, int* side, double* matrix, int* quality) {
    const std::size_t room = capacity / 4;
    uint8_t* rgb = rgba + room;
    const int status = lfic_decode_face(model, file, size, index, rgb, 3 * room, side, matrix, quality);
    if (status == LFIC_OK) spread(rgb, static_cast<std::size_t>(*side) * *side, rgba);
    return status;
}

EXPORT(levels)
int levels(const lfic_model* model, const void* file, std::size_t size, uint8_t* out, std::size_t* count) {
    return lfic_levels(model, file, size, out, count);
}

EXPORT(file_of_bare) int file_of_bare(const void* bare, std::size_t bare_size, void* file, std::size_t* size) {
    return lfic_file_of_bare(bare, bare_size, file, size);
}

// pixels: RGBA of which the last is not read; they become RGB where they lie. *size as for lfic_encode.
EXPORT(encode)
int encode(const lfic_model* model, uint8_t* pixels, uint32_t width, uint32_t height, int quality, int aligned,
           int checksum, int full, std::size_t max_bytes, void* file, std::size_t* size) {
    const std::size_t count = std::size_t{width} * height;
    for (std::size_t i = 0; i < count; ++i)
        for (std::size_t c = 0; c < 3; ++c) pixels[3 * i + c] = pixels[4 * i + c];
    lfic_encode_options options;
    lfic_encode_defaults(&options);
    options.quality = quality;
    options.aligned = aligned;
    options.checksum = checksum;
    options.full = full;
    options.max_bytes = max_bytes;
    return lfic_encode(model, pixels, width, height, &options, file, size);
}
