#include "network/synthesis.hpp"

#include <algorithm>
#include <cstring>

#include "common/errors.hpp"
#include "common/threads.hpp"
#include "network/field.hpp"
#include "network/shape.hpp"

namespace lfic::network {
namespace {

constexpr int kPatch = 4;              // pixels of a fine cell's side
constexpr int kPatchRow = 3 * kPatch;  // values of its row
constexpr int kWindow = 2;             // pixels by which the last layer's cells begin before the picture
constexpr int kSymbolLimit = 2047;     // beyond it features are clamped anyway
constexpr int kStepBits = 7;

std::int16_t clamp16(std::int32_t x) {
    return static_cast<std::int16_t>(std::clamp(x, -32768, 32767));
}

// Rows of the last layer by (row, column, colour) of a patch.
int patch_order(int n) {
    const int row = n / kPatchRow, column = n % kPatchRow / 3, colour = n % 3;
    return colour * kPatch * kPatch + row * kPatch + column;
}

}  // namespace

// What of a picture is made at once: cells that are kept, and what the stages compute for them.
struct Synthesis::Tile {
    Run rows, columns;              // kept
    Run inner_rows, inner_columns;  // even ends
    Run middle_rows, middle_columns;
    Run fine_rows, fine_columns;  // in cells
};

Synthesis::Synthesis(const Reader& reader, const Kernels& kernels) : kernels_(kernels) {
    const std::vector<std::int64_t> any = {kQualities, kLevels, -1};
    step_ = reader.values<std::int32_t>("synthesis.step", Type::i32, any);
    channels_ = static_cast<int>(step_.size()) / (kQualities * kLevels);
    for (const std::int32_t step : step_)
        if (step < 0 || step >= 1 << 20)
            throw InvalidInput("integers.synthesis.step holds " + std::to_string(step) + "; allowed are 0 to 1048575");
    const Span decoded = reader.range("synthesis");
    low_ = static_cast<std::int16_t>(decoded.low);
    high_ = static_cast<std::int16_t>(decoded.high);
    inner_width_ = reader.outputs("synthesis.enter_inner");
    width_ = reader.outputs("synthesis.enter");
    fine_width_ = reader.outputs("synthesis.up") / 4;
    if (channels_ % 2 || inner_width_ % kPanel || width_ % kPanel || fine_width_ % kPanel)
        throw InvalidInput("the synthesis has " + std::to_string(channels_) + " feature channels and widths " +
                           std::to_string(fine_width_) + ", " + std::to_string(width_) + ", " +
                           std::to_string(inner_width_) + "; allowed are an even number, and multiples of 16");
    level_ = reader.values<std::int16_t>("synthesis.level", Type::i16, {kLevels, inner_width_});
    position_ = reader.values<std::int16_t>("synthesis.position", Type::i16, {kAlignedGrid, kAlignedGrid, width_});
    position_inner_ = reader.values<std::int16_t>("synthesis.position_inner", Type::i16,
                                                  {kAlignedGrid / 2, kAlignedGrid / 2, inner_width_});
    enter_inner_ = reader.linear("synthesis.enter_inner", 4 * channels_, decoded, false, by_place(channels_, 2));
    const Span inner = reader.range("synthesis.enter_inner");
    inner_ = reader.stage("synthesis.inner", inner_width_, inner);
    up_inner_ = reader.linear("synthesis.up_inner", inner_width_, inner, false, in_order, by_place(width_, 2));
    enter_ = reader.linear("synthesis.enter", channels_, decoded);
    const Span middle = reader.range("synthesis.enter");
    middle_ = reader.stage("synthesis.middle", width_, middle);
    up_ = reader.linear("synthesis.up", width_, middle, false, in_order, by_place(fine_width_, 2));
    const Span fine = reader.range("synthesis.up");
    fine_ = reader.stage("synthesis.fine", fine_width_, fine);
    // A window's cells in memory are (row, column, channel); of the tensor (channel, row, column).
    lapped_ = reader.linear("synthesis.lapped", 4 * fine_width_, fine, false, by_place(fine_width_, 2), patch_order);
    if (lapped_.outputs != 3 * kPatch * kPatch || lapped_.low < 0 || lapped_.high > 255)
        throw InvalidInput("integers.synthesis.lapped makes " + std::to_string(lapped_.outputs) +
                           " values; needed are 48 of 0 to 255");
    if (up_inner_.outputs != 4 * width_) throw InvalidInput("integers.synthesis.up_inner does not fit enter");
}

void Synthesis::check(const Picture& picture, const Coded& coded) const {
    check_picture(picture);
    const int rows = cells_along(picture.height), columns = cells_along(picture.width);
    std::size_t kept = 0;
    const std::uint8_t* level = coded.levels;
    for (int y = 0; y < rows; y += kRegion)
        for (int x = 0; x < columns; x += kRegion, ++level) {
            if (*level >= kLevels)
                throw InvalidInput("levels holds " + std::to_string(*level) + "; allowed are 0 to 2");
            kept += static_cast<std::size_t>(kept_in_region(region_side(y, rows), region_side(x, columns), *level));
        }
    kept *= static_cast<std::size_t>(channels_);
    if (coded.count != kept)
        throw InvalidInput("there are " + std::to_string(coded.count) + " symbols; these levels keep " +
                           std::to_string(kept));
}

void Synthesis::unpool(const Picture& picture, const Coded& coded, std::int16_t* features) const {
    const int rows = cells_along(picture.height), columns = cells_along(picture.width);
    const std::size_t cell = static_cast<std::size_t>(channels_) * sizeof(std::int16_t);
    const std::int16_t* symbols = coded.symbols;
    const std::uint8_t* region = coded.levels;
    const auto at = [&](int y, int x) { return features + (static_cast<std::ptrdiff_t>(y) * columns + x) * channels_; };
    for (int top = 0; top < rows; top += kRegion)
        for (int left = 0; left < columns; left += kRegion, ++region) {
            const int level = *region, side = 1 << level;
            const int bottom = top + region_side(top, rows), right = left + region_side(left, columns);
            const std::int32_t* step = step_.data() + ((picture.quality - 1) * kLevels + level) * channels_;
            for (int y = top; y < bottom; y += side)
                for (int x = left; x < right; x += side, symbols += channels_) {
                    std::int16_t* first = at(y, x);
                    for (int c = 0; c < channels_; ++c) {
                        const std::int32_t symbol = std::clamp<std::int32_t>(symbols[c], -kSymbolLimit, kSymbolLimit);
                        const std::int32_t value = (symbol * step[c] + (1 << (kStepBits - 1))) >> kStepBits;
                        first[c] = static_cast<std::int16_t>(std::clamp<std::int32_t>(value, low_, high_));
                    }
                    for (int v = y; v < std::min(y + side, bottom); ++v)
                        for (int u = x; u < std::min(x + side, right); ++u)
                            if (v != y || u != x) std::memcpy(at(v, u), first, cell);
                }
        }
}

void Synthesis::run_tile(const Picture* pictures, const Coded* coded, const std::int16_t* const* features,
                         std::uint8_t* const* rgb, int count, const Tile& tile) const {
    const int rows = cells_along(pictures->height), columns = cells_along(pictures->width);
    const auto cell = [&](int n, int y, int x) {  // beyond an odd edge its last cell is repeated
        return features[n] +
               (static_cast<std::ptrdiff_t>(std::min(y, rows - 1)) * columns + std::min(x, columns - 1)) * channels_;
    };
    Places places;

    // At a sixteenth of the size. Cells of a square are read where they lie; at an odd edge from a copy.
    const Run& ir = tile.inner_rows;
    const Run& ic = tile.inner_columns;
    Field inner(count, ir.size() / 2, ic.size() / 2, inner_width_);
    const std::ptrdiff_t line = static_cast<std::ptrdiff_t>(columns) * channels_;
    std::vector<std::int16_t> edge;
    std::size_t copies = 0;
    if (ir.last > rows || ic.last > columns) {
        copies = static_cast<std::size_t>(ir.size() / 2 + ic.size() / 2);
        edge.resize(copies * 4 * static_cast<std::size_t>(channels_));
    }
    for (int n = 0; n < count; ++n) {
        const int across = regions_along(columns);
        const Segments in_place = square(2, channels_, line), copied = square(2, channels_, 2 * channels_);
        Places at_edge;
        places.clear();
        std::int16_t* copy = edge.data();
        for (int y = 0; y < inner.rows; ++y)
            for (int x = 0; x < inner.columns; ++x) {
                std::int16_t* out = inner.at(n, y, x);
                const int cy = ir.first + 2 * y, cx = ic.first + 2 * x;
                const std::int16_t* level =
                    level_.data() + coded[n].levels[cy / kRegion * across + cx / kRegion] * inner_width_;
                if (pictures[n].aligned) {
                    const std::int16_t* position = position_inner_.data() + (y * (kAlignedGrid / 2) + x) * inner_width_;
                    for (int c = 0; c < inner_width_; ++c) out[c] = clamp16(level[c] + position[c]);
                } else {
                    std::copy_n(level, inner_width_, out);
                }
                if (cy + 1 < rows && cx + 1 < columns) {
                    places.in.push_back(cell(n, cy, cx));
                    places.out.push_back(out);
                    continue;
                }
                at_edge.in.push_back(copy);
                at_edge.out.push_back(out);
                for (int k = 0; k < 4; ++k, copy += channels_)
                    std::copy_n(cell(n, cy + k / 2, cx + k % 2), channels_, copy);
            }
        for (Places* p : {&places, &at_edge}) p->residual.assign(p->out.begin(), p->out.end());
        network::run(kernels_, enter_inner_, pictures[n].quality, places, in_place, whole(inner_width_), true);
        network::run(kernels_, enter_inner_, pictures[n].quality, at_edge, copied, whole(inner_width_), true);
    }
    run_stage(kernels_, inner_, inner);

    // At an eighth.
    const Run& mr = tile.middle_rows;
    const Run& mc = tile.middle_columns;
    Field middle(count, mr.size(), mc.size(), width_);
    places.clear();
    for (int n = 0; n < count; ++n)
        for (int y = 0; y < middle.rows; y += 2)
            for (int x = 0; x < middle.columns; x += 2) {
                places.in.push_back(inner.at(n, (mr.first - ir.first + y) / 2, (mc.first - ic.first + x) / 2));
                places.out.push_back(middle.at(n, y, x));
            }
    network::run(kernels_, up_inner_, 1, places, whole(inner_width_), square(2, width_, middle.line()), false);
    for (int n = 0; n < count; ++n) {
        places.clear();
        for (int y = 0; y < middle.rows; ++y)
            for (int x = 0; x < middle.columns; ++x) {
                std::int16_t* out = middle.at(n, y, x);
                if (pictures[n].aligned) {
                    const std::int16_t* position = position_.data() + (y * kAlignedGrid + x) * width_;
                    for (int c = 0; c < width_; ++c) out[c] = clamp16(out[c] + position[c]);
                }
                places.in.push_back(cell(n, mr.first + y, mc.first + x));
                places.out.push_back(out);
            }
        places.residual.assign(places.out.begin(), places.out.end());
        network::run(kernels_, enter_, pictures[n].quality, places, whole(channels_), whole(width_), true);
    }
    run_stage(kernels_, middle_, middle);

    // At a quarter.
    const Run& fr = tile.fine_rows;
    const Run& fc = tile.fine_columns;
    Field fine(count, 2 * fr.size(), 2 * fc.size(), fine_width_);
    places.clear();
    for (int n = 0; n < count; ++n)
        for (int y = 0; y < fr.size(); ++y)
            for (int x = 0; x < fc.size(); ++x) {
                places.in.push_back(middle.at(n, fr.first - mr.first + y, fc.first - mc.first + x));
                places.out.push_back(fine.at(n, 2 * y, 2 * x));
            }
    network::run(kernels_, up_, 1, places, whole(width_), square(2, fine_width_, fine.line()), false);
    run_stage(kernels_, fine_, fine);

    // Pixels: patch (y, x) begins 2 pixels before cell (y, x), and there is one more than there are cells.
    const int width = pictures->width, height = pictures->height;
    const int top = tile.rows.first * kStride, bottom = std::min(tile.rows.last * kStride, height);
    const int left = tile.columns.first * kStride, right = std::min(tile.columns.last * kStride, width);
    const int first_row = (top + kWindow) / kPatch, last_row = (bottom - 1 + kWindow) / kPatch;
    const int first_column = (left + kWindow) / kPatch, last_column = (right - 1 + kWindow) / kPatch;
    const int across = last_column - first_column + 1, size = kPatch * kPatchRow;
    AlignedVector<std::int16_t> patches(static_cast<std::size_t>(across * size));
    const Segments window = square(2, fine_width_, fine.line());
    for (int n = 0; n < count; ++n)
        for (int row = first_row; row <= last_row; ++row) {
            places.clear();
            for (int column = first_column; column <= last_column; ++column) {
                places.in.push_back(fine.at(n, row - 1 - 2 * fr.first, column - 1 - 2 * fc.first));
                places.out.push_back(patches.data() + (column - first_column) * size);
            }
            network::run(kernels_, lapped_, 1, places, window, whole(size), false);
            for (int k = 0; k < kPatch; ++k) {
                const int y = row * kPatch + k - kWindow;
                if (y < top || y >= bottom) continue;
                for (int i = 0; i < across; ++i) {
                    const int x = (first_column + i) * kPatch - kWindow;
                    const int from = std::max(x, left), to = std::min(x + kPatch, right);
                    const std::int16_t* source = patches.data() + i * size + k * kPatchRow + 3 * (from - x);
                    std::uint8_t* target = rgb[n] + (static_cast<std::ptrdiff_t>(y) * width + from) * 3;
                    for (int v = 0; v < 3 * (to - from); ++v) target[v] = static_cast<std::uint8_t>(source[v]);
                }
            }
        }
}

void Synthesis::run(const Picture* pictures, const Coded* coded, std::uint8_t* const* rgb, int count) const {
    const int rows = cells_along(pictures->height), columns = cells_along(pictures->width);
    const std::ptrdiff_t size = static_cast<std::ptrdiff_t>(rows) * columns * channels_;
    AlignedVector<std::int16_t> memory(static_cast<std::size_t>(count * size));
    std::vector<const std::int16_t*> features;
    for (int n = 0; n < count; ++n) {
        unpool(pictures[n], coded[n], memory.data() + n * size);
        features.push_back(memory.data() + n * size);
    }
    const Run all_rows = {0, even(rows)}, all_columns = {0, even(columns)};
    run_tile(pictures, coded, features.data(), rgb, count,
             {all_rows, all_columns, all_rows, all_columns, all_rows, all_columns, all_rows, all_columns});
}

void Synthesis::run_tiles(const Picture& picture, const Coded& coded, std::uint8_t* rgb, std::size_t threads) const {
    const int rows = cells_along(picture.height), columns = cells_along(picture.width);
    AlignedVector<std::int16_t> memory(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns) *
                                       static_cast<std::size_t>(channels_));
    unpool(picture, coded, memory.data());
    const std::int16_t* features = memory.data();
    // What is kept depends on so many cells around it, layer by layer from the last; every stage begins at even cells.
    const int fine = even((1 + static_cast<int>(fine_.size()) * 2 + 1) / 2);
    const int middle = fine + 2 * static_cast<int>(middle_.size());
    const int inner = middle + 4 * static_cast<int>(inner_.size());
    const int down = pieces(rows), across = pieces(columns);
    parallel(static_cast<std::size_t>(down * across), 1, threads, [&](std::size_t index, std::size_t) {
        const int i = static_cast<int>(index), tall = piece_size(rows), wide = piece_size(columns);
        const Run y = {i / across * tall, std::min((i / across + 1) * tall, even(rows))};
        const Run x = {i % across * wide, std::min((i % across + 1) * wide, even(columns))};
        if (y.size() <= 0 || x.size() <= 0) return;
        const int r = even(rows), c = even(columns);
        run_tile(&picture, &coded, &features, &rgb, 1,
                 {y, x, y.grown(inner, r), x.grown(inner, c), y.grown(middle, r), x.grown(middle, c), y.grown(fine, r),
                  x.grown(fine, c)});
    });
}

}  // namespace lfic::network
