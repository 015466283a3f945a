#include "network/analysis.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "common/errors.hpp"
#include "common/threads.hpp"
#include "network/field.hpp"
#include "network/shape.hpp"

namespace lfic::network {
namespace {

constexpr int kPatch = 4;   // pixels by which windows advance
constexpr int kWindow = 8;  // pixels of a window's side
constexpr int kBefore = 2;  // of them before the patch, and as many behind it
constexpr int kWindowRow = 3 * kWindow;
constexpr int kCoarse = 16;  // pixels of the innermost cells' side
constexpr int kFeatureLimit = 16383;

// Inputs of the first layer by (row, column, colour) of a window; the tensor has (colour, row, column in a patch;
// patch).
int window_order(int k) {
    const int row = k / kWindowRow, column = k % kWindowRow / 3, colour = k % 3;
    const int channel = (colour * kPatch + row % kPatch) * kPatch + column % kPatch;
    return channel * 4 + row / kPatch * 2 + column / kPatch;
}

}  // namespace

// Cells that are kept and cells that are computed for them.
struct Analysis::Tile {
    Run rows, columns, seen_rows, seen_columns;
};

Analysis::Analysis(const Reader& reader, const Kernels& kernels, const std::string& at, const std::string& head)
    : kernels_(kernels) {
    const Span pixels = {-255, 255};
    gain_ = reader.values<float>("analysis.gain", Type::f32, {kQualities, kLevels, -1});
    channels_ = static_cast<int>(gain_.size()) / (kQualities * kLevels);
    for (const float gain : gain_)
        if (!(gain > 0 && gain < 1e6f)) throw InvalidInput("integers.analysis.gain holds a number that is no gain");
    fine_width_ = reader.outputs(at + "lapped");
    width_ = reader.outputs(at + "down");
    inner_width_ = reader.outputs(at + "down_inner");
    if (channels_ % kPanel || inner_width_ % kPanel || width_ % kPanel || fine_width_ % kPanel)
        throw InvalidInput("the analysis has " + std::to_string(channels_) + " feature channels and widths " +
                           std::to_string(fine_width_) + ", " + std::to_string(width_) + ", " +
                           std::to_string(inner_width_) + "; allowed are multiples of 16");
    position_ = reader.values<std::int16_t>("analysis.position", Type::i16, {kAlignedGrid, kAlignedGrid, width_});
    position_inner_ = reader.values<std::int16_t>("analysis.position_inner", Type::i16,
                                                  {kAlignedGrid / 2, kAlignedGrid / 2, inner_width_});
    level_position_ = reader.values<std::int16_t>("level_head.position", Type::i16, {4, 4, kLevels});
    lapped_ = reader.linear(at + "lapped", kWindow * kWindowRow, pixels, false, window_order);
    const Span fine = reader.range(at + "lapped");
    fine_ = reader.stage(at + "fine", fine_width_, fine);
    down_ = reader.linear(at + "down", 4 * fine_width_, fine, false, by_place(fine_width_, 2));
    const Span middle = reader.range(at + "down");
    middle_ = reader.stage(at + "middle", width_, middle);
    down_inner_ = reader.linear(at + "down_inner", 4 * width_, middle, false, by_place(width_, 2));
    const Span inner = reader.range(at + "down_inner");
    inner_ = reader.stage(at + "inner", inner_width_, inner);
    out_ = reader.linear(at + "out", inner_width_, inner);
    detail_ = reader.linear(at + "detail", width_, middle);
    if (out_.outputs != channels_ || detail_.outputs != channels_)
        throw InvalidInput(at + "out and " + at + "detail have to make " + std::to_string(channels_) + " channels");
    if (detail_.low < -kFeatureLimit || detail_.high > kFeatureLimit)
        throw InvalidInput("integers." + at + "detail.range is wider than -16383 to 16383");
    head_enter_ = reader.linear(head + "enter", 3 * channels_, {-2 * kFeatureLimit, 2 * kFeatureLimit}, false);
    head_enter_.unit = reader.unit(head + "enter");
    const int hidden = head_enter_.outputs;
    const Span entered = silu_span(head_enter_.unit, head_enter_.high);
    // The tensor has (channel, row, column), memory (row, column, channel).
    head_mix_ = reader.linear(head + "mix", 9 * hidden, entered, true, by_place(hidden, 3));
    head_out_ = reader.linear(head + "out", hidden, silu_span(head_mix_.unit, head_mix_.high));
    if (head_mix_.outputs != hidden || head_mix_.unit != head_enter_.unit || reader.outputs(head + "out") != kLevels)
        throw InvalidInput("the layers of " + head + "enter, mix and out do not fit each other");
}

void Analysis::run_tile(const Picture* pictures, const std::uint8_t* const* rgb, std::int16_t* const* features,
                        int count, const Tile& tile) const {
    const int height = pictures->height, width = pictures->width;
    const Run& sr = tile.seen_rows;
    const Run& sc = tile.seen_columns;
    const int rows = sr.size(), columns = sc.size();  // even
    const int top = sr.first * kStride, left = sc.first * kStride;
    const int bottom = std::min(sr.last * kStride, height), right = std::min(sc.last * kStride, width);

    // 2 p - 255, edges repeated to the end of the cells and 2 pixels beyond on all sides.
    const int tall = rows * kStride + 2 * kBefore, wide = columns * kStride + 2 * kBefore;
    const std::ptrdiff_t line = 3 * static_cast<std::ptrdiff_t>(wide);
    AlignedVector<std::int16_t> pixels(static_cast<std::size_t>(count) * static_cast<std::size_t>(tall * line));
    for (int n = 0; n < count; ++n)
        for (int y = 0; y < tall; ++y) {
            std::int16_t* out = pixels.data() + n * tall * line + y * line;
            const int from = std::clamp(top + y - kBefore, top, bottom - 1);
            const std::uint8_t* source = rgb[n] + static_cast<std::ptrdiff_t>(from) * width * 3;
            const int inside = 3 * (right - left);
            std::int16_t* middle = out + 3 * kBefore;
            for (int x = 0; x < inside; ++x) middle[x] = static_cast<std::int16_t>(2 * source[3 * left + x] - 255);
            for (int x = 0; x < kBefore; ++x) std::copy_n(middle, 3, out + 3 * x);
            for (int x = kBefore + right - left; x < wide; ++x) std::copy_n(out + 3 * (x - 1), 3, out + 3 * x);
        }

    Places places;
    Field fine(count, 2 * rows, 2 * columns, fine_width_);
    Segments window;
    window.count = kWindow;
    window.length = kWindowRow;
    for (int r = 0; r < kWindow; ++r) window.offset[r] = r * line;
    for (int n = 0; n < count; ++n)
        for (int y = 0; y < fine.rows; ++y)
            for (int x = 0; x < fine.columns; ++x) {
                places.in.push_back(pixels.data() + (n * tall + y * kPatch) * line + x * 3 * kPatch);
                places.out.push_back(fine.at(n, y, x));
            }
    network::run(kernels_, lapped_, 1, places, window, whole(fine_width_), false);
    run_stage(kernels_, fine_, fine);

    // The conditions: what the quality says is in the bias; positions are added on the template.
    const auto enter = [&](const Linear& layer, Field& from, Field& to, const std::int16_t* position) {
        for (int n = 0; n < count; ++n) {
            places.clear();
            for (int y = 0; y < to.rows; ++y)
                for (int x = 0; x < to.columns; ++x) {
                    places.in.push_back(from.at(n, 2 * y, 2 * x));
                    places.out.push_back(to.at(n, y, x));
                    places.residual.push_back(position + (y * to.columns + x) * to.channels);
                }
            if (!pictures[n].aligned) places.residual.clear();
            network::run(kernels_, layer, pictures[n].quality, places, square(2, from.channels, from.line()),
                         whole(to.channels), pictures[n].aligned);
        }
    };
    Field middle(count, rows, columns, width_);
    enter(down_, fine, middle, position_.data());
    run_stage(kernels_, middle_, middle);
    Field inner(count, rows / 2, columns / 2, inner_width_);
    enter(down_inner_, middle, inner, position_inner_.data());
    run_stage(kernels_, inner_, inner);

    // What a sixteenth says of a square, and what an eighth adds to each of its cells.
    Field coarse(count, rows / 2, columns / 2, channels_, 0);
    places.clear();
    for (int n = 0; n < count; ++n)
        for (int y = 0; y < coarse.rows; ++y)
            for (int x = 0; x < coarse.columns; ++x) {
                places.in.push_back(inner.at(n, y, x));
                places.out.push_back(coarse.at(n, y, x));
            }
    network::run(kernels_, out_, 1, places, whole(inner_width_), whole(channels_), false);
    const int all_columns = cells_along(width), all_rows = cells_along(height);
    places.clear();
    for (int n = 0; n < count; ++n)
        for (int y = tile.rows.first; y < std::min(tile.rows.last, all_rows); ++y)
            for (int x = tile.columns.first; x < std::min(tile.columns.last, all_columns); ++x) {
                const int v = y - sr.first, u = x - sc.first;
                places.in.push_back(middle.at(n, v, u));
                places.residual.push_back(coarse.at(n, v / 2, u / 2));
                places.out.push_back(features[n] + (static_cast<std::ptrdiff_t>(y) * all_columns + x) * channels_);
            }
    network::run(kernels_, detail_, 1, places, whole(width_), whole(channels_), true);
}

void Analysis::run(const Picture* pictures, const std::uint8_t* const* rgb, std::int16_t* const* features,
                   int count) const {
    const Run rows = {0, even(cells_along(pictures->height))}, columns = {0, even(cells_along(pictures->width))};
    run_tile(pictures, rgb, features, count, {rows, columns, rows, columns});
}

void Analysis::run_tiles(const Picture& picture, const std::uint8_t* rgb, std::int16_t* features,
                         std::size_t threads) const {
    const int rows = even(cells_along(picture.height)), columns = even(cells_along(picture.width));
    // Three cells more: windows, and the places where cells are joined in fours.
    const int blocks = static_cast<int>((fine_.size() + 1) / 2 + 2 * middle_.size() + 4 * inner_.size());
    const int reach = even(blocks + 3);
    const int down = pieces(rows), across = pieces(columns);
    parallel(static_cast<std::size_t>(down * across), 1, threads, [&](std::size_t index, std::size_t) {
        const int i = static_cast<int>(index), tall = piece_size(rows), wide = piece_size(columns);
        const Run y = {i / across * tall, std::min((i / across + 1) * tall, rows)};
        const Run x = {i % across * wide, std::min((i % across + 1) * wide, columns)};
        if (y.size() <= 0 || x.size() <= 0) return;
        run_tile(&picture, &rgb, &features, 1, {y, x, y.grown(reach, rows), x.grown(reach, columns)});
    });
}

void Analysis::choose_levels(const Picture& picture, const std::int16_t* features, std::uint8_t* levels) const {
    const int rows = cells_along(picture.height), columns = cells_along(picture.width);
    const int down = regions_along(rows), across = regions_along(columns), c = channels_;
    const int hidden = head_enter_.outputs;
    // Per region: the mean feature, and the mean absolute detail that level 1 and level 2 would remove.
    const auto divided = [](std::int32_t sum, std::int32_t count) {  // rounded half up
        const std::int32_t twice = 2 * sum + count, by = 2 * count;
        return twice >= 0 ? twice / by : -((by - 1 - twice) / by);
    };
    std::vector<std::int16_t> told(static_cast<std::size_t>(down * across) * static_cast<std::size_t>(3 * c));
    std::vector<std::int32_t> quarter(static_cast<std::size_t>(c)), sum(quarter.size()), lost(quarter.size());
    const auto cell = [&](int y, int x) { return features + (static_cast<std::ptrdiff_t>(y) * columns + x) * c; };
    for (int top = 0; top < rows; top += kRegion)
        for (int left = 0; left < columns; left += kRegion) {
            std::int16_t* out = told.data() + (top / kRegion * across + left / kRegion) * 3 * c;
            const int bottom = top + region_side(top, rows), right = left + region_side(left, columns);
            const int cells = (bottom - top) * (right - left);
            std::fill(sum.begin(), sum.end(), 0);
            std::fill(lost.begin(), lost.end(), 0);
            for (int y = top; y < bottom; y += 2)
                for (int x = left; x < right; x += 2) {
                    const int v = std::min(y + 2, bottom), u = std::min(x + 2, right);
                    const int shift = (v - y) * (u - x) / 2;  // of 1, 2 or 4 cells: 0, 1, 2
                    std::fill(quarter.begin(), quarter.end(), 0);
                    for (int j = y; j < v; ++j)
                        for (int i = x; i < u; ++i) {
                            const std::int16_t* f = cell(j, i);
                            for (int k = 0; k < c; ++k) quarter[static_cast<std::size_t>(k)] += f[k];
                        }
                    for (std::size_t k = 0; k < quarter.size(); ++k) {
                        sum[k] += quarter[k];
                        quarter[k] = (quarter[k] + (1 << shift >> 1)) >> shift;
                    }
                    for (int j = y; j < v; ++j)
                        for (int i = x; i < u; ++i) {
                            const std::int16_t* f = cell(j, i);
                            for (int k = 0; k < c; ++k)
                                lost[static_cast<std::size_t>(k)] +=
                                    std::abs(f[k] - quarter[static_cast<std::size_t>(k)]);
                        }
                }
            for (int k = 0; k < c; ++k) {
                const std::size_t at = static_cast<std::size_t>(k);
                sum[at] = divided(sum[at], cells);
                out[k] = static_cast<std::int16_t>(sum[at]);
                out[c + k] = static_cast<std::int16_t>(divided(lost[at], cells));
                lost[at] = 0;
            }
            for (int y = top; y < bottom; ++y)
                for (int x = left; x < right; ++x) {
                    const std::int16_t* f = cell(y, x);
                    for (int k = 0; k < c; ++k)
                        lost[static_cast<std::size_t>(k)] += std::abs(f[k] - sum[static_cast<std::size_t>(k)]);
                }
            for (int k = 0; k < c; ++k)
                out[2 * c + k] = static_cast<std::int16_t>(divided(lost[static_cast<std::size_t>(k)], cells));
        }

    Field entered(1, down, across, hidden, 1), mixed(1, down, across, hidden, 0);
    Field logits(1, down, across, kPanel, 0);
    Places enter, mix, out;
    const bool aligned = picture.aligned;
    AlignedVector<std::int16_t> position(static_cast<std::size_t>(down * across * kPanel), 0);
    for (int y = 0; y < down; ++y)
        for (int x = 0; x < across; ++x) {
            const int i = y * across + x;
            enter.in.push_back(told.data() + static_cast<std::ptrdiff_t>(i) * 3 * c);
            enter.out.push_back(entered.at(0, y, x));
            mix.in.push_back(entered.at(0, y - 1, x - 1));
            mix.residual.push_back(entered.at(0, y, x));
            mix.out.push_back(mixed.at(0, y, x));
            out.in.push_back(mixed.at(0, y, x));
            out.out.push_back(logits.at(0, y, x));
            out.residual.push_back(position.data() + static_cast<std::ptrdiff_t>(i) * kPanel);
            if (aligned)
                std::copy_n(level_position_.data() + static_cast<std::ptrdiff_t>(i) * kLevels, kLevels,
                            position.data() + static_cast<std::ptrdiff_t>(i) * kPanel);
        }
    network::run(kernels_, head_enter_, 1, enter, whole(3 * c), whole(hidden), false);
    network::run(kernels_, head_mix_, 1, mix, square(3, hidden, entered.line()), whole(hidden), true);
    network::run(kernels_, head_out_, picture.quality, out, whole(hidden), whole(kPanel), true);
    for (int i = 0; i < down * across; ++i) {
        const std::int16_t* logit = out.out[static_cast<std::size_t>(i)];
        levels[i] = static_cast<std::uint8_t>(std::max_element(logit, logit + kLevels) - logit);
    }
}

}  // namespace lfic::network
