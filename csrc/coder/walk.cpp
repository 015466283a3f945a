// The way from what is decoded to tables and means, for up to four cells at once: four cells of a face whose symbols
// are known, or the same cell of four faces.
#include "coder/context_model.hpp"

namespace lfic {

static int clamp_int(int v, int low, int high) {
    return v < low ? low : v > high ? high : v;
}

// What the matrix products of up to four cells read and write. x2 holds h1 and behind it the context values of the
// cell's groups so far; what stands behind those meets weights of 0.
struct ContextModel::Columns {
    Columns(const ContextModel& model, int count) {
        const ContextArrays& a = model.a_;
        const Matrix &w1 = model.w1_, &w2 = model.w2_.back(), &w3 = model.w3_.back();
        const int length2 = std::max({w2.columns, w1.rows, a.hidden1 + a.channels});
        const auto lines = [](int values) { return padded(values, 32); };  // a multiple of both types' cache lines
        const int wide = lines(w1.columns) + lines(length2) + lines(std::max(w3.columns, w2.rows));
        const int deep = lines(w1.rows) + lines(w3.rows);
        values.resize(static_cast<std::size_t>(count) * wide, 0);
        sums_and_biases.resize(static_cast<std::size_t>(count) * deep, 0);
        for (int v = 0; v < count; ++v) {
            x1[v] = &values[static_cast<std::size_t>(v) * wide];
            x2[v] = x1[v] + lines(w1.columns);
            h2[v] = x2[v] + lines(length2);
            bias[v] = &sums_and_biases[static_cast<std::size_t>(v) * deep];
            sums[v] = bias[v] + lines(w1.rows);
        }
    }

    Aligned<int16_t> values;
    Aligned<int32_t> sums_and_biases;
    int16_t *x1[kVectors], *x2[kVectors], *h2[kVectors];
    int32_t *bias[kVectors], *sums[kVectors];
};

// Biases of a quality by level, with half a unit of the shift in them.
std::vector<int32_t> ContextModel::first_biases(int quality) const {
    const int H1 = a_.hidden1;
    std::vector<int32_t> out(kLevels * H1);
    for (int level = 0; level < kLevels; ++level)
        for (int i = 0; i < H1; ++i)
            out[level * H1 + i] =
                a_.b_level[level * H1 + i] + a_.b_quality[(quality - 1) * H1 + i] + (1 << (a_.sh1 - 1));
    return out;
}

// first_biases and those of the cell's neighbours and place.
void ContextModel::add_biases(const Grid& grid, const Cell& cell, const int32_t* biases, int32_t* to) const {
    const int H1 = a_.hidden1, place = grid.aligned ? 1 + cell.y * kAlignedGrid + cell.x : 0;
    const int32_t *b0 = biases + cell.level * H1, *b1 = &a_.b_avail[cell.mask() * H1], *b2 = &a_.b_pos[place * H1];
    for (int i = 0; i < H1; ++i) to[i] = b0[i] + b1[i] + b2[i];
}

void ContextModel::first_layer(Columns& columns, int count) const {
    matvec_.hidden(w1_, count, columns.x1, columns.bias, a_.sh1, columns.x2);
}

void ContextModel::group(Columns& columns, int count, int g) const {
    const int32_t *b2[kVectors], *b3[kVectors];
    std::fill_n(b2, kVectors, b2_[g].data());
    std::fill_n(b3, kVectors, b3_[g].data());
    matvec_.hidden(w2_[g], count, columns.x2, b2, a_.sh2, columns.h2);
    matvec_.linear(w3_[g], count, columns.h2, b3, columns.sums);
}

// Of a group whose channels begin at `channel` of vstep, mgain, sbias, active.
void ContextModel::predict(const int32_t* sums, std::size_t channel, int32_t* tables, int32_t* means) const {
    const int per_group = a_.channels / a_.groups, sh3 = a_.sh3, mshift = a_.mshift, most = a_.scales - 1;
    const int32_t *mgain = &a_.mgain[channel], *sbias = &a_.sbias[channel], *map = a_.table_map.data();
    const uint8_t* active = &a_.active[channel];
    for (int i = 0; i < per_group; ++i) {
        const int mean = clamp_int(sums[i] >> sh3, -2047, 2047);
        const int scale = clamp_int(sums[per_group + i] >> sh3, -32767, 32767);
        const int m8 = (mean * mgain[i] + (1 << (mshift - 1))) >> mshift;
        const int si = clamp_int((scale + sbias[i] + 8) >> 4, 0, most);
        means[i] = active[i] ? (m8 + 4) >> 3 : 0;
        tables[i] = active[i] ? map[si * 8 + ((m8 + 4) & 7)] : -1;
    }
}

void ContextModel::context_values(const int16_t* symbols, std::size_t channel, int count, int16_t* values) const {
    const int16_t* vstep = &a_.vstep[channel];
    for (int i = 0; i < count; ++i)
        values[i] = static_cast<int16_t>(clamp_int((symbols[i] * vstep[i] + 128) >> 8, -127, 127));
}

void ContextModel::walk(const Grid& grid, const uint8_t* levels, const int16_t* given, const Visit& visit) const {
    const int C = a_.channels, per_group = C / a_.groups;
    const std::vector<int32_t> biases = first_biases(grid.quality);
    Band band(grid.width, C);
    Columns columns(*this, kVectors);
    std::vector<int16_t> symbols(static_cast<std::size_t>(kVectors) * C), values(symbols.size());
    std::vector<int32_t> tables(symbols.size()), means(symbols.size());
    std::size_t channels[kVectors], k = 0;
    int count = 0;  // of cells that wait
    const auto flush = [&] {
        first_layer(columns, count);
        for (int v = 0; v < count; ++v) std::copy_n(&values[std::size_t(v) * C], C, columns.x2[v] + a_.hidden1);
        for (int g = 0; g < a_.groups; ++g) {
            group(columns, count, g);
            for (int v = 0; v < count; ++v) {
                const std::size_t at = static_cast<std::size_t>(v) * C + g * per_group;
                predict(columns.sums[v], channels[v] + g * per_group, &tables[at], &means[at]);
            }
        }
        visit({k, count * C, tables.data(), means.data()}, symbols.data());
        k += static_cast<std::size_t>(count) * C;
        count = 0;
    };
    for_each_cell(grid, levels, [&](const Cell& cell) {
        const std::size_t at = static_cast<std::size_t>(count) * C;
        for (int i = 0; i < C; ++i) symbols[at + i] = read_once(given[k + at + i]);
        channels[count] = channels_at(grid.quality, cell.level);
        context_values(&symbols[at], channels[count], C, &values[at]);
        add_biases(grid, cell, biases.data(), columns.bias[count]);
        band.read(cell, columns.x1[count]);
        band.write(cell, &values[at]);
        if (++count == kVectors) flush();
        return true;
    });
    if (count) flush();
}

void ContextModel::walk(const Grid* grids, int faces, const uint8_t* levels, const Decode& decode) const {
    const int C = a_.channels, per_group = C / a_.groups, H1 = a_.hidden1;
    struct Lane {
        int face;
        std::vector<int32_t> biases;
        Band band;
        std::size_t channels;
        bool goes_on;
    };
    std::vector<Lane> lanes;
    for (int i = 0; i < faces; ++i)
        lanes.push_back({i, first_biases(grids[i].quality), Band(grids[i].width, C), 0, true});
    Columns columns(*this, faces);
    std::vector<int16_t> symbols(per_group);
    std::vector<int32_t> tables(per_group), means(per_group);
    std::size_t k = 0;
    for_each_cell(grids[0], levels, [&](const Cell& cell) {
        for (std::size_t v = 0; v < lanes.size(); ++v) {
            Lane& lane = lanes[v];
            lane.channels = channels_at(grids[lane.face].quality, cell.level);
            add_biases(grids[lane.face], cell, lane.biases.data(), columns.bias[v]);
            lane.band.read(cell, columns.x1[v]);
        }
        first_layer(columns, static_cast<int>(lanes.size()));
        for (int g = 0; g < a_.groups; ++g, k += per_group) {
            group(columns, static_cast<int>(lanes.size()), g);
            for (std::size_t v = 0; v < lanes.size(); ++v) {
                const std::size_t channel = lanes[v].channels + g * per_group;
                predict(columns.sums[v], channel, tables.data(), means.data());
                std::fill(symbols.begin(), symbols.end(), int16_t{0});
                lanes[v].goes_on = decode(lanes[v].face, {k, per_group, tables.data(), means.data()}, symbols.data());
                context_values(symbols.data(), channel, per_group, columns.x2[v] + H1 + g * per_group);
            }
            // The last one takes the place of one that has ended.
            for (std::size_t v = lanes.size(); v-- > 0;)
                if (!lanes[v].goes_on) {
                    std::swap(lanes[v], lanes.back());
                    std::swap(columns.x2[v], columns.x2[lanes.size() - 1]);
                    lanes.pop_back();
                }
            if (lanes.empty()) return false;
        }
        for (std::size_t v = 0; v < lanes.size(); ++v) lanes[v].band.write(cell, columns.x2[v] + H1);
        return true;
    });
}

}  // namespace lfic
