// What the targets that read whole files share: a file's head, mended.
#pragma once
#include <algorithm>

#include "format/file.hpp"
#include "fuzz/target.hpp"

namespace lfic::fuzz {

// A version that there is; a checksum that is right, if the header says that there is one.
inline void mend_head(Input& file) {
    if (file.size() < 3) return;
    file[0] = kMagic;
    if (!(file[1] >> 5 & 3)) file[1] |= 32;
    if (file[1] & 0x80 && (file[1] >> 5 & 3) != 2 && file[2] & 1) file[1] |= 1;  // square: by model 1, of a size
}

inline void seal(Input& file) {
    if (file.size() < 6) return;
    const bool checksum = (file[1] >> 5 & 3) == 2 ? file[1] & 4 : file[1] & 2;
    if (!checksum) return;
    const uint16_t crc = crc16(file.data(), file.size() - 2);
    file[file.size() - 2] = static_cast<uint8_t>(crc >> 8);
    file[file.size() - 1] = static_cast<uint8_t>(crc);
}

// A side of a picture in pixels: a few cells most of the time, the template's or more now and then.
inline uint32_t side(Random& random, int usual, int most) {
    return static_cast<uint32_t>(random.between(1, one_in(random, 100) ? most : usual));
}

inline Place random_place(Random& random) {
    return {random.between(0, kPositions - 1), random.between(0, kPositions - 1), random.between(0, kScales - 1),
            random.between(0, kAngles - 1)};
}

// A layer of kSide << size pixels a side, placed so that it may be.
inline Layer random_layer(Random& random, int size, int quality) {
    Place place = random_place(random);
    if (size) place.scale = random.between(kOctave * (size - 1 - kLeastOctave), kScales - 1);
    const uint32_t side = kSide << size;
    return {place, {side, side, quality, random.between(0, kCodedMap), size == 0, {}}};
}

}  // namespace lfic::fuzz
