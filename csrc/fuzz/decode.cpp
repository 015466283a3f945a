// Whatever the bytes are: the decoders answer with symbols or with CorruptStream, read nothing past the end, agree
// between SIMD variants, and what they accept can be written and read again.
//
// Input: byte 0 kind, bytes 1..3 sizes and quality, then the stream. Of the kinds most are grids of a few cells and
// short table streams, so that an execution takes a tenth of a millisecond; aligned faces and larger grids come now and
// then.
#include <algorithm>

#include "coder/face.hpp"
#include "coder/stream.hpp"
#include "fuzz/target.hpp"

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

using fuzz::demand;

constexpr std::size_t kHead = 4;
enum class Kind { table, face, aligned };

Kind kind_of(uint8_t byte) {
    return byte % 64 == 0 ? Kind::aligned : byte % 3 ? Kind::face : Kind::table;
}
std::size_t count_of(const uint8_t* head) {
    return head[2] >= 250 ? head[1] * std::size_t{4} : head[1] % 24u;
}
Grid grid_of(const uint8_t* head) {
    const int quality = 1 + head[3] % kQualities;
    if (kind_of(head[0]) == Kind::aligned) return {kAlignedGrid, kAlignedGrid, quality, true};
    const auto side = [](uint8_t byte) { return 1 + (byte >= 250 ? byte % 18 : byte % 3); };
    return {side(head[1]), side(head[2]), quality, false};
}
// Whether the scalar variant decodes the same face, or four streams are decoded in lock-step.
bool is_compared(const uint8_t* head) {
    return head[0] & 64;
}
uint8_t index_of(std::size_t i) {
    return static_cast<uint8_t>(i * 7 % world().tables->count());
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

void table_stream(std::size_t count, bool compared, const uint8_t* data, std::size_t size) {
    const World& w = world();
    std::vector<uint8_t> indexes(count);
    for (std::size_t i = 0; i < count; ++i) indexes[i] = index_of(i);
    if (compared && has_lockstep()) {
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

void face(const Grid& grid, bool compared, const uint8_t* data, std::size_t size) {
    const World& w = world();
    std::vector<uint8_t> levels, other;
    std::vector<int16_t> symbols, same;
    const bool read = decode_with(w.model, grid, data, size, levels, symbols);
    if (compared) {
        demand(decode_with(w.scalar, grid, data, size, other, same) == read);
        demand(!read || (levels == other && symbols == same));
    }
    if (!read) return;
    Bytes out;
    encode_face(w.model, {grid, levels.data(), symbols.data(), symbols.size(), true}, out);
    demand(decode_with(w.model, grid, out.data(), out.size(), other, same) && levels == other && symbols == same);
}

}  // namespace

namespace lfic::fuzz {

Input valid(Random& random) {
    const World& w = world();
    Input out;
    for (std::size_t i = 0; i < kHead; ++i) out.push_back(static_cast<uint8_t>(random.next()));
    if (kind_of(out[0]) == Kind::table) {
        const std::size_t count = count_of(out.data());
        std::vector<int32_t> symbols(count);
        std::vector<uint8_t> indexes(count);
        for (std::size_t i = 0; i < count; ++i) {
            indexes[i] = index_of(i);
            symbols[i] = one_in(random, 100) ? random.between(INT32_MIN, INT32_MAX) : random.between(-9, 9);
        }
        encode_stream(*w.tables, symbols.data(), indexes.data(), count, out);
        return out;
    }
    const Grid grid = grid_of(out.data());
    std::vector<uint8_t> levels(static_cast<std::size_t>(grid.rows()) * static_cast<std::size_t>(grid.columns()));
    for (auto& level : levels) level = static_cast<uint8_t>(random.between(0, 2));
    std::vector<int16_t> symbols(w.model.kept_cells(grid, levels.data()) *
                                 static_cast<std::size_t>(w.model.channels()));
    for (auto& s : symbols)
        s = static_cast<int16_t>(one_in(random, 100) ? random.between(-32768, 32767) : random.between(-4, 4));
    encode_face(w.model, {grid, levels.data(), symbols.data(), symbols.size(), true}, out);
    return out;
}

void settle(Random&, Input&) {}

}  // namespace lfic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
    if (size < kHead) return 0;
    try {
        if (kind_of(data[0]) == Kind::table)
            table_stream(count_of(data), is_compared(data), data + kHead, size - kHead);
        else
            face(grid_of(data), is_compared(data), data + kHead, size - kHead);
    } catch (const CorruptStream&) {
    }
    return 0;
}
