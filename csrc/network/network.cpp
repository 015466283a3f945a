#include "network/network.hpp"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

#include "common/errors.hpp"
#include "common/threads.hpp"
#include "network/analysis.hpp"
#include "network/shape.hpp"
#include "network/synthesis.hpp"
#include "rap/cpu.hpp"

namespace lfic::network {
namespace {

// Indexes of pictures that run together, of one size and all aligned or none, and single large ones.
struct Group {
    std::vector<std::size_t> members;
    bool tiled;
};

std::vector<Group> groups_of(const std::vector<Picture>& pictures) {
    std::vector<std::size_t> order(pictures.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto kind_of = [&](std::size_t i) {
        return std::make_tuple(pictures[i].height, pictures[i].width, pictures[i].aligned);
    };
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return kind_of(a) < kind_of(b); });
    std::vector<Group> groups;
    std::int64_t cells = 0;
    for (const std::size_t i : order) {
        const std::int64_t own = std::int64_t{cells_along(pictures[i].height)} * cells_along(pictures[i].width);
        const bool tiled = needs_tiles(pictures[i]);
        if (groups.empty() || tiled || groups.back().tiled || cells + own > kCellsAtOnce ||
            kind_of(groups.back().members.front()) != kind_of(i)) {
            groups.push_back({{}, tiled});
            cells = 0;
        }
        groups.back().members.push_back(i);
        cells += own;
    }
    return groups;
}

// small(members) over threads, then large(index) one after the other.
template <class Small, class Large>
void for_groups(const std::vector<Picture>& pictures, int threads, const Small& small, const Large& large) {
    const std::vector<Group> groups = groups_of(pictures);
    const std::size_t most = thread_count(threads);
    parallel(groups.size(), 1, most, [&](std::size_t i, std::size_t) {
        if (!groups[i].tiled) small(groups[i].members);
    });
    for (const Group& group : groups)
        if (group.tiled) large(group.members.front(), most);
}

}  // namespace

struct Model::Parts {
    Parts(const Tensors& tensors, const char* simd)
        : kernels(kernels_named(simd)), reader(tensors, kernels), synthesis(reader, kernels) {
        if (reader.has("analysis.gain")) analysis.emplace(reader, kernels);
        if (analysis && analysis->channels() != synthesis.channels())
            throw InvalidInput("the analysis makes " + std::to_string(analysis->channels()) +
                               " channels, the synthesis reads " + std::to_string(synthesis.channels()));
        if (analysis && reader.has("pictures.lapped.weight"))
            pictures.emplace(reader, kernels, "pictures.", "pictures_head.");
    }
    const Analysis& encoder(bool aligned) const {
        if (!analysis) throw InvalidInput("the weights hold no analysis: they decode alone");
        return pictures && !aligned ? *pictures : *analysis;
    }
    const Kernels& kernels;
    Reader reader;
    Synthesis synthesis;
    std::optional<Analysis> analysis, pictures;  // of template crops, and of what is none if that has its own
};

Model::Model(const Tensors& tensors, const std::string& simd)
    : parts_(std::make_unique<Parts>(tensors, simd.c_str())) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

int Model::channels() const {
    return parts_->synthesis.channels();
}
const char* Model::simd() const {
    return parts_->kernels.name;
}
bool Model::has_analysis() const {
    return parts_->analysis.has_value();
}

void Model::synthesize(const Picture& picture, const Coded& coded, std::uint8_t* rgb, int threads) const {
    synthesize(std::vector<Picture>{picture}, std::vector<Coded>{coded}, std::vector<std::uint8_t*>{rgb}, threads);
}

void Model::synthesize(const std::vector<Picture>& pictures, const std::vector<Coded>& coded,
                       const std::vector<std::uint8_t*>& rgb, int threads) const {
    const Synthesis& synthesis = parts_->synthesis;
    for (std::size_t i = 0; i < pictures.size(); ++i) synthesis.check(pictures[i], coded[i]);
    for_groups(
        pictures, threads,
        [&](const std::vector<std::size_t>& members) {
            std::vector<Picture> some;
            std::vector<Coded> payloads;
            std::vector<std::uint8_t*> out;
            for (const std::size_t i : members) {
                some.push_back(pictures[i]);
                payloads.push_back(coded[i]);
                out.push_back(rgb[i]);
            }
            synthesis.run(some.data(), payloads.data(), out.data(), static_cast<int>(some.size()));
        },
        [&](std::size_t i, std::size_t most) { synthesis.run_tiles(pictures[i], coded[i], rgb[i], most); });
}

void Model::analyze(const Picture& picture, const std::uint8_t* rgb, std::int16_t* features, int threads) const {
    analyze(std::vector<Picture>{picture}, std::vector<const std::uint8_t*>{rgb}, std::vector<std::int16_t*>{features},
            threads);
}

void Model::analyze(const std::vector<Picture>& pictures, const std::vector<const std::uint8_t*>& rgb,
                    const std::vector<std::int16_t*>& features, int threads) const {
    for (const Picture& picture : pictures) check_picture(picture);
    for_groups(
        pictures, threads,
        [&](const std::vector<std::size_t>& members) {
            const Analysis& analysis = parts_->encoder(pictures[members.front()].aligned);
            std::vector<Picture> some;
            std::vector<const std::uint8_t*> in;
            std::vector<std::int16_t*> out;
            for (const std::size_t i : members) {
                some.push_back(pictures[i]);
                in.push_back(rgb[i]);
                out.push_back(features[i]);
            }
            analysis.run(some.data(), in.data(), out.data(), static_cast<int>(some.size()));
        },
        [&](std::size_t i, std::size_t most) {
            parts_->encoder(pictures[i].aligned).run_tiles(pictures[i], rgb[i], features[i], most);
        });
}

void Model::choose_levels(const Picture& picture, const std::int16_t* features, std::uint8_t* levels) const {
    check_picture(picture);
    parts_->encoder(picture.aligned).choose_levels(picture, features, levels);
}

std::vector<std::int16_t> Model::pool(const Picture& picture, const std::int16_t* features,
                                      const std::uint8_t* levels) const {
    const Analysis& analysis = parts_->encoder(picture.aligned);
    check_picture(picture);
    const std::int64_t rows = cells_along(picture.height), columns = cells_along(picture.width);
    const std::int64_t quality = picture.quality - 1;
    const rap::Grid grid = {1, channels(), rows, columns, levels, &quality};
    rap::check(grid, kQualities);
    // Integers of 15 bits and their sums over a region are exact as floats; so csrc/rap rounds the same everywhere.
    const std::size_t size = static_cast<std::size_t>(rows * columns * channels());
    AlignedVector<float> y(size);
    for (std::size_t i = 0; i < size; ++i) y[i] = features[i];
    const rap::View view = {y.data(), rap::Float::f32,      rows * columns * channels(),
                            1,        columns * channels(), channels()};
    std::vector<std::int16_t> symbols(size);
    std::int64_t count = 0;
    rap::quantize(grid, view, analysis.gain(), nullptr, symbols.data(), nullptr, &count, {});
    symbols.resize(static_cast<std::size_t>(count));
    return symbols;
}

std::vector<Symbols> Model::encode(const std::vector<Picture>& pictures, const std::vector<const std::uint8_t*>& rgb,
                                   int threads) const {
    for (const Picture& picture : pictures) check_picture(picture);
    std::vector<Symbols> out(pictures.size());
    const auto finish = [&](std::size_t i, const std::int16_t* features) {
        const Analysis& analysis = parts_->encoder(pictures[i].aligned);
        out[i].levels.resize(static_cast<std::size_t>(regions(pictures[i])));
        analysis.choose_levels(pictures[i], features, out[i].levels.data());
        out[i].symbols = pool(pictures[i], features, out[i].levels.data());
    };
    const auto size_of = [&](std::size_t i) {
        return static_cast<std::size_t>(cells_along(pictures[i].height)) *
               static_cast<std::size_t>(cells_along(pictures[i].width)) * static_cast<std::size_t>(channels());
    };
    for_groups(
        pictures, threads,
        [&](const std::vector<std::size_t>& members) {
            const std::size_t size = size_of(members.front());
            AlignedVector<std::int16_t> memory(members.size() * size);
            std::vector<Picture> some;
            std::vector<const std::uint8_t*> in;
            std::vector<std::int16_t*> features;
            for (const std::size_t i : members) {
                features.push_back(memory.data() + features.size() * size);
                some.push_back(pictures[i]);
                in.push_back(rgb[i]);
            }
            parts_->encoder(some.front().aligned)
                .run(some.data(), in.data(), features.data(), static_cast<int>(some.size()));
            for (std::size_t k = 0; k < members.size(); ++k) finish(members[k], features[k]);
        },
        [&](std::size_t i, std::size_t most) {
            AlignedVector<std::int16_t> features(size_of(i));
            parts_->encoder(pictures[i].aligned).run_tiles(pictures[i], rgb[i], features.data(), most);
            finish(i, features.data());
        });
    return out;
}

}  // namespace lfic::network
