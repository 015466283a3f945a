#include "coder/context_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace lfic {

static Aligned<int32_t> pad_bias(const int32_t* bias, int rows, int shift) {
    Aligned<int32_t> out(padded(rows, kPadRows), 0);
    for (int r = 0; r < rows; ++r) out[r] = bias[r] + (1 << (shift - 1));
    return out;
}

static void expect_size(const char* name, std::size_t found, std::size_t wanted) {
    if (found != wanted)
        throw InvalidInput(std::string(name) + " has " + std::to_string(found) + " entries; expected are " +
                           std::to_string(wanted));
}

template <class T>
static void expect_range(const char* name, const std::vector<T>& values, int64_t low, int64_t high) {
    for (const T v : values)
        if (v < low || v > high)
            throw InvalidInput(std::string(name) + " holds " + std::to_string(v) + "; allowed are " +
                               std::to_string(low) + " to " + std::to_string(high));
}

// sum |w| * limit + |bias| < 2^31 for every row: then no order of summation can overflow.
static void expect_no_overflow(const char* name, const int16_t* weights, int rows, int columns, int64_t limit,
                               int64_t bias) {
    for (int r = 0; r < rows; ++r) {
        int64_t sum = bias + (int64_t{1} << 23);
        for (int c = 0; c < columns; ++c) sum += limit * std::abs(static_cast<int>(weights[r * columns + c]));
        if (sum >= int64_t{1} << 31)
            throw InvalidInput(std::string(name) + ": row " + std::to_string(r) + " could overflow 32 bits");
    }
}

static int64_t largest(const std::vector<int32_t>& values) {
    int64_t most = 0;
    for (const int32_t v : values) most = std::max(most, std::abs(static_cast<int64_t>(v)));
    return most;
}

// Every shape and range, so that the model can't misbehave afterwards.
static void check_arrays(const ContextArrays& a, std::size_t tables) {
    const int C = a.channels, G = a.groups, H1 = a.hidden1, H2 = a.hidden2;
    if (C < 1 || C > 1024 || G < 1 || C % G)
        throw InvalidInput("channels " + std::to_string(C) + " are not 1 to 1024 in equal groups, groups are " +
                           std::to_string(G));
    if (H1 < 1 || H1 > 1024 || H2 < 1 || H2 > 1024)
        throw InvalidInput("hidden units are " + std::to_string(H1) + " and " + std::to_string(H2) +
                           "; allowed are 1 to 1024");
    if (a.scales < 1 || a.scales > 256)
        throw InvalidInput("there are " + std::to_string(a.scales) + " scale levels; allowed are 1 to 256");
    for (const int shift : {a.sh1, a.sh2, a.sh3, a.mshift})
        if (shift < 1 || shift > 24)
            throw InvalidInput("a shift is " + std::to_string(shift) + "; allowed are 1 to 24");
    const int per = C / G;
    const std::size_t qlc = std::size_t{kQualities} * kLevels * C;
    expect_size("W1", a.w1.size(), std::size_t(H1) * 4 * C);
    expect_size("B_level", a.b_level.size(), std::size_t(kLevels) * H1);
    expect_size("B_quality", a.b_quality.size(), std::size_t(kQualities) * H1);
    expect_size("B_avail", a.b_avail.size(), std::size_t(16) * H1);
    expect_size("B_pos", a.b_pos.size(), std::size_t(kPlaces) * H1);
    expect_size("W2", a.w2.size(), G);
    for (int g = 0; g < G; ++g) expect_size("W2 of a group", a.w2[g].size(), std::size_t(H2) * (H1 + g * per));
    expect_size("b2", a.b2.size(), std::size_t(G) * H2);
    expect_size("W3", a.w3.size(), std::size_t(G) * 2 * per * H2);
    expect_size("b3", a.b3.size(), std::size_t(G) * 2 * per);
    expect_size("vstep", a.vstep.size(), qlc);
    expect_size("mgain", a.mgain.size(), qlc);
    expect_size("sbias", a.sbias.size(), qlc);
    expect_size("active", a.active.size(), qlc);
    expect_size("table_map", a.table_map.size(), std::size_t(a.scales) * 8);
    expect_size("level_prior", a.level_prior.size(), std::size_t(kPriorPlaces) * kPriorQualities * kPriorContexts * 2);
    expect_range("W1", a.w1, -2047, 2047);
    for (const auto& w : a.w2) expect_range("W2", w, -2047, 2047);
    expect_range("W3", a.w3, -2047, 2047);
    expect_range("vstep", a.vstep, 0, 32767);
    expect_range("mgain", a.mgain, 0, 1 << 15);
    expect_range("sbias", a.sbias, -(1 << 20), 1 << 20);
    expect_range("active", a.active, 0, 1);
    expect_range("table_map", a.table_map, 0, static_cast<int64_t>(tables) - 1);
    expect_range("level_prior", a.level_prior, 1, 65535);
    const int64_t bias1 = largest(a.b_level) + largest(a.b_quality) + largest(a.b_avail) + largest(a.b_pos);
    expect_no_overflow("W1", a.w1.data(), H1, 4 * C, 127, bias1);
    for (int g = 0; g < G; ++g) expect_no_overflow("W2", a.w2[g].data(), H2, H1 + g * per, 255, largest(a.b2));
    expect_no_overflow("W3", a.w3.data(), G * 2 * per, H2, 255, largest(a.b3));
}

ContextModel::ContextModel(ContextArrays arrays, std::shared_ptr<const Tables> tables, Simd simd)
    : a_(std::move(arrays)), tables_(std::move(tables)), matvec_(matvec_for(simd)) {
    check_arrays(a_, tables_->count());
    const int C = a_.channels, G = a_.groups, H1 = a_.hidden1, H2 = a_.hidden2, per = C / G, outputs = 2 * per;
    w1_ = matvec_.pack(a_.w1.data(), H1, 4 * C);
    for (int g = 0; g < G; ++g) {
        w2_.push_back(matvec_.pack(a_.w2[g].data(), H2, H1 + g * per));
        b2_.push_back(pad_bias(&a_.b2[std::size_t(g) * H2], H2, a_.sh2));
        w3_.push_back(matvec_.pack(&a_.w3[std::size_t(g) * outputs * H2], outputs, H2));
        b3_.push_back(pad_bias(&a_.b3[std::size_t(g) * outputs], outputs, a_.sh3));
    }
    // Context values of inactive channels are 0 whatever their symbols are.
    for (std::size_t i = 0; i < a_.active.size(); ++i)
        if (!a_.active[i]) a_.vstep[i] = 0;
}

void ContextModel::check(const Grid& grid) const {
    if (grid.height < 1 || grid.width < 1 || grid.height > kMaxSide || grid.width > kMaxSide)
        throw InvalidInput("the grid is " + std::to_string(grid.height) + " x " + std::to_string(grid.width) +
                           " cells; allowed are 1 x 1 to " + std::to_string(kMaxSide) + " x " +
                           std::to_string(kMaxSide));
    if (grid.quality < 1 || grid.quality > kQualities)
        throw InvalidInput("quality is " + std::to_string(grid.quality) + "; allowed are 1 to " +
                           std::to_string(kQualities));
    if (grid.aligned && (grid.height != kAlignedGrid || grid.width != kAlignedGrid))
        throw InvalidInput("aligned needs a grid of " + std::to_string(kAlignedGrid) + " x " +
                           std::to_string(kAlignedGrid) + " cells; found " + std::to_string(grid.height) + " x " +
                           std::to_string(grid.width));
}

std::size_t ContextModel::kept_cells(const Grid& grid, const uint8_t* levels) const {
    std::size_t kept = 0;
    for (int ry = 0; ry < grid.rows(); ++ry)
        for (int rx = 0; rx < grid.columns(); ++rx) {
            const int level = levels[static_cast<std::ptrdiff_t>(ry) * grid.columns() + rx];
            if (level >= kLevels)
                throw InvalidInput("a region level is " + std::to_string(level) + "; allowed are 0, 1 and 2");
            const int tall = region_side(ry * kRegion, grid.height), wide = region_side(rx * kRegion, grid.width);
            kept += kept_in_region(tall, wide, level);
        }
    return kept;
}

// Two decisions a region: is the level above 0, is it above 1. `bit(state, was)` codes one and returns it.
template <class Bit>
void ContextModel::walk_levels(const Grid& grid, uint8_t* levels, Bit&& bit) const {
    const int rows = grid.rows(), columns = grid.columns(), bucket = (grid.quality - 1) * kPriorQualities / kQualities;
    AdaptiveBit states[kPriorContexts][2];
    auto start = [&](int place, int context, int decision) {
        return AdaptiveBit::from(
            a_.level_prior[((place * kPriorQualities + bucket) * kPriorContexts + context) * 2 + decision]);
    };
    for (int c = 0; c < kPriorContexts; ++c)
        for (int d = 0; d < 2; ++d) states[c][d] = start(0, c, d);
    for (int y = 0; y < rows; ++y)
        for (int x = 0; x < columns; ++x) {
            uint8_t& level = levels[static_cast<std::ptrdiff_t>(y) * columns + x];
            const int left = x ? (&level)[-1] : kLevels, above = y ? (&level)[-columns] : kLevels;
            const int context = (kLevels + 1) * left + above;
            int coded = 0;
            for (int d = 0; d < 2; ++d) {
                AdaptiveBit fixed = grid.aligned ? start(1 + y * columns + x, context, d) : AdaptiveBit{};
                AdaptiveBit& state = grid.aligned ? fixed : states[context][d];
                const bool more = bit(state, level > d);
                state.update(more);
                if (!more) break;
                coded = d + 1;
            }
            level = static_cast<uint8_t>(coded);
        }
}

void ContextModel::encode_levels(RangeEncoder& coder, const Grid& grid, const uint8_t* levels) const {
    std::vector<uint8_t> copy(levels, levels + static_cast<std::size_t>(grid.rows()) * grid.columns());
    walk_levels(grid, copy.data(), [&](const AdaptiveBit& state, bool was) {
        coder.encode_bit(was, state.p1());
        return was;
    });
}

double ContextModel::level_bits(const Grid& grid, const uint8_t* levels) const {
    std::vector<uint8_t> copy(levels, levels + static_cast<std::size_t>(grid.rows()) * grid.columns());
    double bits = 0;
    walk_levels(grid, copy.data(), [&](const AdaptiveBit& state, bool was) {
        const double p = state.p1() / 65536.0;
        bits -= std::log2(was ? p : 1 - p);
        return was;
    });
    return bits;
}

void ContextModel::decode_levels(RangeDecoder& coder, const Grid& grid, uint8_t* levels) const {
    walk_levels(grid, levels, [&](const AdaptiveBit& state, bool) { return coder.decode_bit(state.p1()); });
}

}  // namespace lfic
