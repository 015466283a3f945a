// lfic files of versions 1 to 3, and 5 to 7 by model 1: header, background, face layers, checksum. docs/FORMAT.md has
// the diagrams.
//
// Every field is checked before memory is taken for pixels; one file has one way to be written.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "compose/compose.hpp"
#include "format/bits.hpp"

namespace lfic {

inline constexpr uint8_t kMagic = 0xFC;
inline constexpr int kStride = 8;                     // pixels of a feature cell's side
inline constexpr int kCodedMap = 3;                   // level mode: the payload starts with a level map
inline constexpr int kFaceV1 = 0, kFaceV2 = 1;        // numbers of the bundled models
inline constexpr int kPrivate = 255;                  // of weights of the user's own
inline constexpr uint64_t kMaxPixels = 178956970;     // that a file can hold
inline constexpr uint64_t kDecodedPixels = 50000000;  // that are decoded unless the caller says otherwise
inline constexpr uint32_t kMaxPictureSide = 1 << 19;  // 65,536 cells, what the coder takes
inline constexpr uint32_t kLeastSide = 16;            // a shorter side costs as much
inline constexpr std::size_t kMaxLayers = 64;
inline constexpr int kMaxCover = 8;  // the layers' boxes may cover the picture so many times

// Of the model with this number; null for one that is not known.
const char* model_name(int number);
// The model whose networks code the aligned streams of this one's files.
constexpr int former_of(int number) {
    return number == kFaceV2 ? kFaceV1 : number;
}

// One coded picture: what a version 1 file says of it, and its payload. level_mode: 0 to 2 = that level everywhere.
struct Stream {
    uint32_t width, height;
    int quality, level_mode;
    bool aligned;
    View payload;
    bool grey = false;  // shown without colour

    int rows() const { return static_cast<int>((height + kStride - 1) / kStride); }  // of cells
    int columns() const { return static_cast<int>((width + kStride - 1) / kStride); }
};

// A face on the template, of kSide << size() pixels a side, and where it is painted.
struct Layer {
    Place place;
    Stream stream;

    int size() const { return stream.width <= kSide ? 0 : stream.width <= 2 * kSide ? 1 : 2; }
};

// What a file holds. Payloads point into the file's bytes.
struct File {
    uint32_t width = 0, height = 0;
    int version = 1, model = 0;
    int reduction = 0;  // of the background, csrc/compose/compose.hpp
    bool checksum = true, grey = false;
    std::array<uint8_t, 4> weights{};  // first bytes of the digest of private weights; zeros where it is not known
    std::optional<Stream> background;
    std::vector<Layer> layers;

    // Of the picture, or of the background of one with layers; 0 without one.
    int quality() const {
        if (!background) return 0;
        const int own = background->quality - (layers.empty() ? finer(reduction) : 0);
        return own > 1 ? own : 1;
    }
    // One stream and nothing else: a file of version 1 or 5, or 3 or 7 of a grey picture.
    bool plain() const { return background && reduction == 0 && layers.empty(); }
};

// Throws ContainerError for no lfic file, an unknown version, model or flag, or more than `max_pixels`; CorruptStream
// for one that is too short, or whose checksum does not match.
File read_file(const View& file, uint64_t max_pixels = kDecodedPixels);

// The bytes of a file, whatever its `version` says: of a header without layers where it is plain. Throws InvalidInput
// for a field out of range.
std::vector<uint8_t> write_file(const File& file);

}  // namespace lfic
