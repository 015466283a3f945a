// Whatever the bytes are: the decoders answer with symbols or with CorruptStream, read nothing past the end, agree
// between SIMD variants, and what they accept can be written and read again.
//
// Input: byte 0 kind (0 a table stream, 1 a face, 2 an aligned face), bytes 1..3 sizes and quality, then the stream.
#include <cstdlib>
#include <cstring>

#include "coder/face.hpp"
#include "coder/stream.hpp"
#include "tests/random_model.hpp"

using namespace lfic;

namespace {

struct World {
    std::shared_ptr<const Tables> tables = random_tables(24, 7);
    ContextModel model{random_arrays(8, 2, 16, 8, 3, 24, 11), tables, Simd::automatic};
    ContextModel scalar{random_arrays(8, 2, 16, 8, 3, 24, 11), tables, Simd::scalar};
};

const World& world() {
    static const World w;
    return w;
}

void demand(bool condition) {
    if (!condition) std::abort();
}

// Four streams side by side and one after the other: the first `sizes` bytes of the data, `counts` symbols of each.
void lockstep(const std::vector<uint8_t>& indexes, const uint8_t* data, const std::size_t (&sizes)[kLanes],
              const std::size_t (&counts)[kLanes]) {
    const World& w = world();
    std::vector<int32_t> together[kLanes], alone[kLanes];
    Lane<uint8_t> lanes[kLanes];
    bool read = true, read_together = true;
    for (std::size_t k = 0; k < kLanes; ++k) {
        together[k].resize(counts[k]);
        alone[k].resize(counts[k]);
        lanes[k] = {data, sizes[k], indexes.data(), counts[k], together[k].data()};
        try {
            decode_stream(*w.tables, data, sizes[k], indexes.data(), counts[k], alone[k].data());
        } catch (const CorruptStream&) {
            read = false;
        }
    }
    try {
        decode_lockstep(*w.tables, lanes);
    } catch (const CorruptStream&) {
        read_together = false;
    }
    demand(read == read_together);
    for (std::size_t k = 0; read && k < kLanes; ++k) demand(together[k] == alone[k]);
}

void table_stream(std::size_t count, const uint8_t* data, std::size_t size) {
    const World& w = world();
    std::vector<uint8_t> indexes(count);
    for (std::size_t i = 0; i < count; ++i) indexes[i] = static_cast<uint8_t>(i * 7 % w.tables->count());
    if (has_lockstep()) {
        lockstep(indexes, data, {size, size, size, size}, {count, count, count, count});
        lockstep(indexes, data, {size, size, size / 2, size - size / 4}, {count, count / 2, count, count});
    }
    std::vector<int32_t> symbols(count), again(count);
    decode_stream(*w.tables, data, size, indexes.data(), count, symbols.data());
    Bytes out;
    encode_stream(*w.tables, symbols.data(), indexes.data(), count, out);
    decode_stream(*w.tables, out.data(), out.size(), indexes.data(), count, again.data());
    demand(symbols == again && out.size() <= size);
}

bool decode_with(const ContextModel& model, const Grid& grid, const uint8_t* data, std::size_t size,
                 std::vector<uint8_t>& levels, std::vector<int16_t>& symbols) {
    levels.assign(static_cast<std::size_t>(grid.rows()) * grid.columns(), 0);
    try {
        symbols = decode_face(model, {grid, data, size, levels.data(), true}, 1 << 20);
    } catch (const CorruptStream&) {
        return false;
    }
    return true;
}

void face(const Grid& grid, const uint8_t* data, std::size_t size) {
    const World& w = world();
    std::vector<uint8_t> levels, other;
    std::vector<int16_t> symbols, same;
    const bool read = decode_with(w.model, grid, data, size, levels, symbols);
    demand(decode_with(w.scalar, grid, data, size, other, same) == read);
    if (!read) return;
    demand(levels == other && symbols == same);
    Bytes out;
    encode_face(w.model, {grid, levels.data(), symbols.data(), symbols.size(), true}, out);
    demand(decode_with(w.model, grid, out.data(), out.size(), other, same) && levels == other && symbols == same);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    if (size < 4) return 0;
    const uint8_t* stream = data + 4;
    const std::size_t rest = size - 4;
    try {
        if (data[0] % 3 == 0)
            table_stream(data[1] + std::size_t{256} * (data[2] & 3), stream, rest);
        else if (data[0] % 3 == 1)
            face(Grid{1 + data[1] % 18, 1 + data[2] % 18, 1 + data[3] % 100, false}, stream, rest);
        else
            face(Grid{14, 14, 1 + data[3] % 100, true}, stream, rest);
    } catch (const CorruptStream&) {
    }
    return 0;
}
