#include "rap/cpu.hpp"

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "common/cpu.hpp"
#include "common/errors.hpp"
#include "common/threads.hpp"
#include "rap/job.hpp"

namespace lfic::rap {
namespace {

namespace portable {
#define LFIC_TARGET
#include "rap/region.hpp"
#undef LFIC_TARGET
const Variant variant = {dense, backward, quantize, unpool, unpool_backward, add_rows};
}  // namespace portable

#ifdef LFIC_AVX2_F16C
namespace avx2 {
#define LFIC_TARGET LFIC_AVX2_F16C
#define LFIC_F16C
#include "rap/region.hpp"
#undef LFIC_F16C
#undef LFIC_TARGET
const Variant variant = {dense, backward, quantize, unpool, unpool_backward, add_rows};
}  // namespace avx2
#endif

const Variant& variant_for(const Run& run) {
#ifdef LFIC_AVX2_F16C
    if (!run.portable && has_avx2_f16c()) return avx2::variant;
#endif
    (void)run;
    return portable::variant;
}

// Starting a thread takes as long as a tenth of so many elements.
constexpr std::int64_t kElementsPerThread = std::int64_t{1} << 18;

std::size_t threads_for(const Grid& grid, const Run& run) {
    const std::int64_t work = grid.count * grid.channels * grid.height * grid.width / kElementsPerThread;
    return static_cast<std::size_t>(std::clamp<std::int64_t>(work, 1, std::max(run.threads, 1)));
}

// f(first, last) over pieces of 0 .. count - 1: all at once on one thread, else eight pieces a thread.
template <class F>
void in_pieces(std::int64_t count, std::size_t threads, const F& f) {
    const std::size_t all = static_cast<std::size_t>(count);
    parallel(all, std::max<std::size_t>(1, threads == 1 ? all : all / (threads * 8)), threads,
             [&](std::size_t first, std::size_t last) {
                 f(static_cast<std::int64_t>(first), static_cast<std::int64_t>(last));
             });
}

void for_region_rows(const Job& job, std::size_t threads, RegionRow f) {
    const Grid& grid = job.grid;
    in_pieces(grid.count * grid.rows(), threads, [&](std::int64_t first, std::int64_t last) {
        const Scratch scratch(grid.channels);
        for (std::int64_t i = first; i < last; ++i) f(job, i / grid.rows(), i % grid.rows(), scratch);
    });
}

// f(region, column, kept cells before it in its image) for every region in order; counts [N] of the whole images, times
// `scale`, or null.
template <class F>
void for_regions(const Grid& grid, std::int64_t* counts, std::int64_t scale, const F& f) {
    for (std::int64_t n = 0, region = 0; n < grid.count; ++n) {
        std::int64_t kept = 0;
        for (std::int64_t row = 0; row < grid.rows(); ++row) {
            const int tall = region_side(row * kRegion, grid.height);
            for (std::int64_t column = 0; column < grid.columns(); ++column, ++region) {
                f(region, column, kept);
                kept += kept_in_region(tall, region_side(column * kRegion, grid.width), grid.levels[region]);
            }
        }
        if (counts) counts[n] = kept * scale;
    }
}

// Kept cells before each row of regions, within its image; counts as above.
std::vector<std::int64_t> row_starts(const Grid& grid, std::int64_t* counts, std::int64_t scale) {
    std::vector<std::int64_t> starts;
    starts.reserve(static_cast<std::size_t>(grid.count * grid.rows()));
    for_regions(grid, counts, scale, [&](std::int64_t, std::int64_t column, std::int64_t kept) {
        if (column == 0) starts.push_back(kept);
    });
    return starts;
}

// Runs a job that adds to tables: on several threads every region's sums are stored first, then added in the order of
// the regions.
void with_tables(Job& job, const Run& run, const Variant& variant, RegionRow f) {
    const Grid& grid = job.grid;
    const std::size_t threads = threads_for(grid, run);
    float* const tables[] = {job.to_gain, job.to_step};
    if (threads == 1 || !(job.to_gain || job.to_step)) return for_region_rows(job, threads, f);
    const std::int64_t regions = grid.count * grid.rows() * grid.columns(), n = grid.channels;
    std::unique_ptr<float[]> memory[2];
    for (int k = 0; k < 2; ++k)
        if (tables[k]) memory[k].reset(new float[static_cast<std::size_t>(regions * n)]());
    job.by_region = true;
    job.to_gain = memory[0].get();
    job.to_step = memory[1].get();
    for_region_rows(job, threads, f);
    constexpr std::int64_t kSlice = 16;
    in_pieces((n + kSlice - 1) / kSlice, threads, [&](std::int64_t first, std::int64_t last) {
        const std::int64_t from = first * kSlice, size = std::min(last * kSlice, n) - from;
        for (std::int64_t region = 0; region < regions; ++region) {
            const std::int64_t row =
                grid.quality[region / (grid.rows() * grid.columns())] * kLevels + grid.levels[region];
            for (int k = 0; k < 2; ++k)
                if (tables[k]) variant.add_rows(memory[k].get() + region * n + from, tables[k] + row * n + from, size);
        }
    });
}

}  // namespace

void check(const Grid& grid, std::int64_t rows) {
    const std::int64_t regions = grid.count * grid.rows() * grid.columns();
    int highest = 0;
    for (std::int64_t i = 0; i < regions; ++i) highest = std::max<int>(highest, grid.levels[i]);
    if (highest >= kLevels)
        throw InvalidInput("levels holds " + std::to_string(highest) + "; allowed are 0 to " +
                           std::to_string(kLevels - 1));
    if (rows < 0 || grid.count == 0) return;
    const auto [low, high] = std::minmax_element(grid.quality, grid.quality + grid.count);
    if (*low < 0 || *high >= rows)
        throw InvalidInput("quality runs from " + std::to_string(*low) + " to " + std::to_string(*high) +
                           "; the table has rows 0 to " + std::to_string(rows - 1));
}

void offsets(const Grid& grid, std::int32_t* starts, std::int64_t* counts) {
    for_regions(grid, counts, 1, [&](std::int64_t region, std::int64_t, std::int64_t kept) {
        starts[region] = static_cast<std::int32_t>(kept);
    });
}

void quantize(const Grid& grid, const View& y, const float* gain, const std::int16_t* indexes, std::int16_t* symbols,
              std::int16_t* tables, std::int64_t* counts, const Run& run) {
    const std::vector<std::int64_t> starts = row_starts(grid, counts, grid.channels);
    Job job(grid);
    job.gain = gain;
    job.y = y;
    job.starts = starts.data();
    job.indexes = indexes;
    job.ragged = symbols;
    job.tables = tables;
    for_region_rows(job, threads_for(grid, run), variant_for(run).quantize);
}

void dense(const Grid& grid, const View& y, const Noise& noise, const float* gain, const float* step, Float out,
           void* features, void* symbols, const Run& run) {
    Job job(grid);
    job.gain = gain;
    job.step = step;
    job.y = y;
    job.noise = noise;
    job.out = out;
    job.features = features;
    job.symbols = symbols;
    for_region_rows(job, threads_for(grid, run), variant_for(run).dense);
}

void dense_backward(const Grid& grid, const View& grad_features, const View& grad_symbols, const View& y,
                    const Noise& noise, const float* gain, const float* step, void* grad_y, float* to_gain,
                    float* to_step, const Run& run) {
    Job job(grid);
    job.gain = gain;
    job.step = step;
    job.y = y;
    job.grad_features = grad_features;
    job.grad_symbols = grad_symbols;
    job.noise = noise;
    job.out = y.type;
    job.features = grad_y;
    job.to_gain = to_gain;
    job.to_step = to_step;
    const Variant& variant = variant_for(run);
    with_tables(job, run, variant, variant.backward);
}

void unpool(const Grid& grid, const std::int16_t* symbols, std::int64_t room, const float* step, Float out,
            void* features, const Run& run) {
    const std::vector<std::int64_t> starts = row_starts(grid, nullptr, 1);
    Job job(grid);
    job.step = step;
    job.starts = starts.data();
    job.coded = symbols;
    job.room = room;
    job.out = out;
    job.features = features;
    for_region_rows(job, threads_for(grid, run), variant_for(run).unpool);
}

void unpool_backward(const Grid& grid, const View& grad, const std::int16_t* symbols, std::int64_t room, float* to_step,
                     const Run& run) {
    const std::vector<std::int64_t> starts = row_starts(grid, nullptr, 1);
    Job job(grid);
    job.grad_features = grad;
    job.starts = starts.data();
    job.coded = symbols;
    job.room = room;
    job.to_step = to_step;
    const Variant& variant = variant_for(run);
    with_tables(job, run, variant, variant.unpool_backward);
}

}  // namespace lfic::rap
