#include "rap/cpu.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>
#include <immintrin.h>
#define LFIC_AVX2 1
#endif

namespace lfic::rap {
namespace {

constexpr int kLanes = 16;  // floats of a cache line: rows of scratch memory are padded to whole ones
constexpr float kSymbolLimit = 32767.0f;
constexpr std::int64_t kElementsPerThread = std::int64_t{1}
                                            << 18;  // to start a thread takes as long as a tenth of them

struct Half {
    std::uint16_t bits;
};
struct Bfloat {
    std::uint16_t bits;
};

// All arguments of an operation; what one does not take is null.
struct Job {
    explicit Job(const Grid& g) : grid(g) {}
    const Grid& grid;
    const float *gain = nullptr, *step = nullptr;
    View y, grad_features, grad_symbols;
    Noise noise;
    Float out = Float::f32;                        // type of what is stored
    void *features = nullptr, *symbols = nullptr;  // dense results; features: the gradient of y as well
    float *to_gain = nullptr, *to_step = nullptr;  // [Q, 3, C], or per region [N * hr * wr, C]
    bool by_region = false;
    const std::int64_t* starts = nullptr;  // kept cells before each row of regions of an image
    const std::int16_t *indexes = nullptr, *coded = nullptr;
    std::int16_t *ragged = nullptr, *tables = nullptr;
    std::int64_t room = 0;  // cells that a row of `coded` holds
};

// The first of the four cells of a quarter of a region; the others are 1, 4 and 5 further on.
constexpr int first_cell(int quarter) {
    return quarter / 2 * 8 + quarter % 2 * 2;
}

// One region: which, how much of it exists, its rows of the tables.
struct Place {
    std::int64_t image, top, left, region, table;
    int tall, wide, level;
    const float *gain, *step;

    static float over(int cells) { return static_cast<float>(1.0 / std::max(cells, 1)); }
    float reciprocal() const { return over(tall * wide); }
    float quarter_reciprocal(int quarter) const {
        const int y = quarter / 2 ? tall - 2 : std::min(tall, 2), x = quarter % 2 ? wide - 2 : std::min(wide, 2);
        return over(y < 0 || x < 0 ? 1 : y * x);
    }
};

inline Place place(const Job& job, std::int64_t image, std::int64_t row, std::int64_t column) {
    const Grid& grid = job.grid;
    Place at;
    at.image = image;
    at.top = row * kRegion;
    at.left = column * kRegion;
    at.region = (image * grid.rows() + row) * grid.columns() + column;
    at.level = grid.levels[at.region];
    at.tall = static_cast<int>(std::min<std::int64_t>(grid.height - at.top, kRegion));
    at.wide = static_cast<int>(std::min<std::int64_t>(grid.width - at.left, kRegion));
    at.table = grid.quality[image] * kLevels + at.level;
    at.gain = job.gain ? job.gain + at.table * grid.channels : nullptr;
    at.step = job.step ? job.step + at.table * grid.channels : nullptr;
    return at;
}

// Memory of one thread: rows of C floats, each begins a cache line. Rows 0 and 1 hold what is converted before it is
// stored.
constexpr int kMeans = 2, kSums = 6;  // four rows; two times four
class Scratch {
    static constexpr std::int64_t kRows = 14, kBlocks = 4;
    std::unique_ptr<float[]> memory_;
    std::unique_ptr<std::int16_t[]> no_symbols_;
    float* first_;

  public:
    const std::int64_t pitch;

    explicit Scratch(std::int64_t channels) : pitch((channels + kLanes - 1) / kLanes * kLanes) {
        memory_.reset(new float[static_cast<std::size_t>((1 + kRows + 16 * kBlocks) * pitch + kLanes)]);
        const auto address = reinterpret_cast<std::uintptr_t>(memory_.get());
        first_ = memory_.get() + (64 - address % 64) % 64 / sizeof(float);
        std::fill(first_, first_ + pitch, 0.0f);
        no_symbols_.reset(new std::int16_t[static_cast<std::size_t>(channels)]());
    }
    const float* zeros() const { return first_; }
    const std::int16_t* no_symbols() const { return no_symbols_.get(); }
    float* row(std::int64_t k) const { return first_ + (1 + k) * pitch; }
    float* block(std::int64_t k) const {
        return first_ + (1 + kRows + 16 * k) * pitch;
    }  // 16 rows: the cells of a region
};

using RegionRow = void (*)(const Job&, std::int64_t image, std::int64_t row, const Scratch&);

struct Variant {
    RegionRow dense, backward, quantize, unpool, unpool_backward;
    void (*add_rows)(const float*, float*, std::int64_t);
};

namespace portable {
#define LFIC_TARGET
#include "rap/region.hpp"
#undef LFIC_TARGET
const Variant variant = {dense, backward, quantize, unpool, unpool_backward, add_rows};
}  // namespace portable

#ifdef LFIC_AVX2
namespace avx2 {  // without FMA: nothing can be contracted
#define LFIC_TARGET __attribute__((target("avx2,f16c")))
#define LFIC_F16C 1
#include "rap/region.hpp"
#undef LFIC_F16C
#undef LFIC_TARGET
const Variant variant = {dense, backward, quantize, unpool, unpool_backward, add_rows};
}  // namespace avx2

bool has_avx2() {
    static const bool has = [] {
        unsigned a, b, c, d;
        return __builtin_cpu_supports("avx2") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    }();
    return has;
}
#endif

const Variant& variant_for(const Run& run) {
#ifdef LFIC_AVX2
    if (!run.portable && has_avx2()) return avx2::variant;
#endif
    (void)run;
    return portable::variant;
}

int threads_for(const Grid& grid, const Run& run) {
    const std::int64_t work = grid.count * grid.channels * grid.height * grid.width / kElementsPerThread;
    return static_cast<int>(std::clamp<std::int64_t>(work, 1, std::max(run.threads, 1)));
}

// f(first, last) over pieces of 0 .. count on `threads` threads, this one among them.
template <class F>
void parallel(std::int64_t count, int threads, const F& f) {
    if (threads <= 1) return f(std::int64_t{0}, count);
    const std::int64_t piece = std::max<std::int64_t>(1, count / (threads * std::int64_t{8}));
    std::atomic<std::int64_t> next{0};
    std::exception_ptr failure;
    std::mutex guard;
    const auto work = [&] {
        try {
            for (std::int64_t first; (first = next.fetch_add(piece)) < count;) f(first, std::min(first + piece, count));
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            failure = std::current_exception();
        }
    };
    std::vector<std::thread> helpers;
    helpers.reserve(static_cast<std::size_t>(threads - 1));
    try {
        for (int i = 1; i < threads; ++i) helpers.emplace_back(work);
    } catch (const std::system_error&) {
        // No more threads to be had: those that there are do it.
    }
    work();
    for (std::thread& helper : helpers) helper.join();
    if (failure) std::rethrow_exception(failure);
}

void for_region_rows(const Job& job, int threads, RegionRow f) {
    const Grid& grid = job.grid;
    parallel(grid.count * grid.rows(), threads, [&](std::int64_t first, std::int64_t last) {
        const Scratch scratch(grid.channels);
        for (std::int64_t i = first; i < last; ++i) f(job, i / grid.rows(), i % grid.rows(), scratch);
    });
}

// Kept cells of the region whose first cell is (y, x).
std::int64_t kept_cells(const Grid& grid, std::int64_t y, std::int64_t x, int level) {
    const std::int64_t side = std::int64_t{1} << level;
    const std::int64_t tall = std::min<std::int64_t>(grid.height - y, kRegion),
                       wide = std::min<std::int64_t>(grid.width - x, kRegion);
    return ((tall + side - 1) / side) * ((wide + side - 1) / side);
}

// Kept cells before each row of regions, within its image; counts [N] of the whole images, times `scale`, or null.
std::vector<std::int64_t> row_starts(const Grid& grid, std::int64_t* counts, std::int64_t scale) {
    std::vector<std::int64_t> starts(static_cast<std::size_t>(grid.count * grid.rows()));
    const std::uint8_t* level = grid.levels;
    for (std::int64_t n = 0, at = 0; n < grid.count; ++n) {
        std::int64_t kept = 0;
        for (std::int64_t y = 0; y < grid.height; y += kRegion) {
            starts[static_cast<std::size_t>(at++)] = kept;
            for (std::int64_t x = 0; x < grid.width; x += kRegion) kept += kept_cells(grid, y, x, *level++);
        }
        if (counts) counts[n] = kept * scale;
    }
    return starts;
}

// Runs a job that adds to tables: on several threads every region's sums are stored first, then added in the order of
// the regions.
void with_tables(Job& job, const Run& run, const Variant& variant, RegionRow f) {
    const Grid& grid = job.grid;
    const int threads = threads_for(grid, run);
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
    parallel((n + kSlice - 1) / kSlice, threads, [&](std::int64_t first, std::int64_t last) {
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
        throw std::invalid_argument("levels holds " + std::to_string(highest) + "; allowed are 0 to 2");
    if (rows < 0 || grid.count == 0) return;
    const auto [low, high] = std::minmax_element(grid.quality, grid.quality + grid.count);
    if (*low < 0 || *high >= rows)
        throw std::invalid_argument("quality runs from " + std::to_string(*low) + " to " + std::to_string(*high) +
                                    "; the table has rows 0 to " + std::to_string(rows - 1));
}

void offsets(const Grid& grid, std::int32_t* starts, std::int64_t* counts) {
    for (std::int64_t n = 0, region = 0; n < grid.count; ++n) {
        std::int64_t kept = 0;
        for (std::int64_t y = 0; y < grid.height; y += kRegion)
            for (std::int64_t x = 0; x < grid.width; x += kRegion, ++region) {
                starts[region] = static_cast<std::int32_t>(kept);
                kept += kept_cells(grid, y, x, grid.levels[region]);
            }
        counts[n] = kept;
    }
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
