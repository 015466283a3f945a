// Every operation on exactly sized memory, for the sanitizers; portable and SIMD code, one and four threads give the
// same bytes.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "rap/cpu.hpp"
#include "tests/random_model.hpp"

using namespace lfic::rap;

namespace {

template <class T>
std::vector<unsigned char> bytes(const std::vector<T>& v) {
    std::vector<unsigned char> out(v.size() * sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), v.data(), out.size());
    return out;
}

// fp16 and bf16 of small size and either sign, by bits; float32 in [-4, 4).
std::vector<unsigned char> values(Float type, std::int64_t count, lfic::Random& random) {
    std::vector<float> f(static_cast<std::size_t>(count));
    std::vector<std::uint16_t> h(f.size());
    for (auto& v : f) v = static_cast<float>(random.between(-4000, 3999)) / 1000.0f;
    for (auto& v : h) v = static_cast<std::uint16_t>(random.between(0, 0x43ff) | (random.between(0, 1) << 15));
    return type == Float::f32 ? bytes(f) : bytes(h);
}

// The layouts [N, C, h, w] and [N, h, w, C].
View view(const std::vector<unsigned char>& data, Float type, std::int64_t c, std::int64_t h, std::int64_t w,
          bool last) {
    if (last) return {data.data(), type, c * h * w, 1, w * c, c};
    return {data.data(), type, c * h * w, h * w, w, 1};
}

using Results = std::vector<std::vector<unsigned char>>;

Results everything(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w, Float type, bool last,
                   const Run& run) {
    lfic::Random random{static_cast<std::uint64_t>(n * 7 + c * 5 + h * 3 + w)};
    const std::int64_t rows = (h + 3) / 4, columns = (w + 3) / 4, cells = n * c * h * w;
    std::vector<std::uint8_t> levels(static_cast<std::size_t>(n * rows * columns));
    for (auto& v : levels) v = static_cast<std::uint8_t>(random.between(0, 2));
    std::vector<std::int64_t> quality(static_cast<std::size_t>(n)), counts(quality.size());
    for (auto& v : quality) v = random.between(0, 4);
    const Grid grid{n, c, h, w, levels.data(), quality.data()};
    check(grid, 5);
    const std::size_t table = static_cast<std::size_t>(5 * 3 * c), all = static_cast<std::size_t>(cells);
    std::vector<float> gain(table), step(table), to_gain(table), to_step(table), to_step_again(table);
    for (auto& v : gain) v = static_cast<float>(random.between(100, 3000)) / 1000.0f;
    for (std::size_t i = 0; i < table; ++i) step[i] = 1.0f / gain[i];
    std::vector<std::int16_t> indexes(table, 7), symbols(all), tables(all);
    std::vector<std::int32_t> starts(levels.size());
    const auto y = values(type, cells, random), gf = values(type, cells, random),
               gs = values(Float::f32, cells, random), noise = values(Float::bf16, cells, random);
    const std::int64_t seed = 0x1234567890ABCDEF;
    const View vy = view(y, type, c, h, w, last), vf = view(gf, type, c, h, w, !last),
               vs = view(gs, Float::f32, c, h, w, last), vn = view(noise, Float::bf16, c, h, w, last);

    Results out;
    offsets(grid, starts.data(), counts.data());
    out.push_back(bytes(starts));
    quantize(grid, vy, gain.data(), indexes.data(), symbols.data(), tables.data(), counts.data(), run);
    out.insert(out.end(), {bytes(symbols), bytes(tables), bytes(counts)});
    for (const Float stored : {Float::f32, Float::f16, Float::bf16}) {
        const std::size_t size = all * (stored == Float::f32 ? 4 : 2);
        std::vector<unsigned char> features(size), dense_symbols(size);
        unpool(grid, symbols.data(), h * w, step.data(), stored, features.data(), run);
        out.push_back(features);
        const std::vector<std::int16_t> few(static_cast<std::size_t>(n * c), 3);  // one cell of every image
        unpool(grid, few.data(), 1, step.data(), stored, features.data(), run);
        out.push_back(features);
        for (const Noise& added : {Noise{}, Noise{vn}, Noise{{}, &seed}, Noise{vn, nullptr, true}}) {
            dense(grid, vy, added, gain.data(), step.data(), stored, features.data(), dense_symbols.data(), run);
            out.insert(out.end(), {features, dense_symbols});
        }
    }
    for (const Noise& added : {Noise{}, Noise{vn}, Noise{{}, &seed}})
        for (int given = 1; given < 4; ++given) {
            std::vector<unsigned char> grad_y(all * (type == Float::f32 ? 4 : 2));
            std::fill(to_gain.begin(), to_gain.end(), 0.0f);
            std::fill(to_step.begin(), to_step.end(), 0.0f);
            dense_backward(grid, given & 1 ? vf : View{}, given & 2 ? vs : View{}, vy, added, gain.data(), step.data(),
                           grad_y.data(), to_gain.data(), to_step.data(), run);
            out.insert(out.end(), {grad_y, bytes(to_gain), bytes(to_step)});
        }
    unpool_backward(grid, vf, symbols.data(), h * w, to_step_again.data(), run);
    out.push_back(bytes(to_step_again));
    return out;
}

}  // namespace

int main() {
    const std::int64_t shapes[][4] = {{2, 16, 14, 14}, {3, 1, 5, 3}, {1, 5, 1, 1},    {2, 9, 7, 13},
                                      {1, 48, 16, 16}, {0, 4, 6, 6}, {2, 70, 75, 101}};
    int compared = 0;
    for (const auto& s : shapes)
        for (const Float type : {Float::f32, Float::f16, Float::bf16})
            for (const bool last : {false, true}) {
                const Results expected = everything(s[0], s[1], s[2], s[3], type, last, Run{1, true});
                for (const Run& run : {Run{1, false}, Run{4, false}, Run{4, true}}) {
                    const Results found = everything(s[0], s[1], s[2], s[3], type, last, run);
                    for (std::size_t i = 0; i < expected.size(); ++i, ++compared)
                        if (found[i] != expected[i]) {
                            std::fprintf(stderr, "result %zu differs: N%d C%d %dx%d type %d, %d threads%s\n", i,
                                         int(s[0]), int(s[1]), int(s[2]), int(s[3]), int(type), run.threads,
                                         run.portable ? ", portable" : "");
                            return 1;
                        }
                }
            }
    std::printf("%d results are the same\n", compared);
    return 0;
}
