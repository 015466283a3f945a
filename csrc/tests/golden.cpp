// The golden streams of tests/data against this build: written byte for byte and read back to the same integers, by
// every SIMD variant, with one thread and with four. CMake builds it once as the library is and once at -O0.
//
//   golden FOLDER
#include <cstdio>
#include <fstream>
#include <iterator>

#include "coder/face.hpp"
#include "coder/stream.hpp"
#include "tests/check.hpp"
#include "tests/random_model.hpp"

using namespace lfic;

// The hexadecimal strings behind "data" in a golden file, in order.
static std::vector<Bytes> streams_of(const std::string& path) {
    std::ifstream file(path);
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::vector<Bytes> out;
    const std::string key = "\"data\": \"";
    for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at)) {
        Bytes bytes;
        for (at += key.size(); text[at] != '"'; at += 2)
            bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(at, 2), nullptr, 16)));
        out.push_back(bytes);
    }
    return out;
}

// What tests/coder/test_coder.py makes, from integers alone: `integer_tables` and `golden_inputs`.
static std::shared_ptr<const Tables> integer_tables() {
    std::vector<int32_t> lows{-3, 5};
    std::vector<int64_t> starts{0, 1, 2};
    std::vector<uint16_t> frequencies{65535, 1};
    int64_t state = 7;
    for (int k = 2; k < 24; ++k) {
        state = (state * 1103515245 + 12345) % (int64_t{1} << 31);
        const int size = static_cast<int>(3 + state % 37), mode = static_cast<int>(state / 64 % 3 + 1),
                  slope = static_cast<int>(1 + state / 4096 % 5);
        for (int i = 0; i < size; ++i) {
            const int fall = 1 + slope * std::abs(i - mode);
            frequencies.push_back(static_cast<uint16_t>(std::max(1, 20000 / (fall * fall))));
        }
        lows.push_back(-mode * 2);
        starts.push_back(static_cast<int64_t>(frequencies.size()));
    }
    return std::make_shared<Tables>(lows, starts, frequencies);
}

static void table_streams(const std::string& folder) {
    const auto golden = streams_of(folder + "/coder_golden.json");
    const auto tables = integer_tables();
    const std::size_t counts[] = {0, 1, 2, 7, 100, 3136};
    const int32_t extremes[] = {INT32_MAX, INT32_MIN, 32767, -32768};
    CHECK(golden.size() == 6);
    std::vector<std::vector<int32_t>> symbols;
    std::vector<std::vector<uint8_t>> indexes;
    int64_t state = 1;
    for (const std::size_t count : counts) {
        symbols.emplace_back(count);
        indexes.emplace_back(count);
        for (std::size_t i = 0; i < count; ++i) {
            state = (state * 1103515245 + 12345) % (int64_t{1} << 31);
            indexes.back()[i] = static_cast<uint8_t>(state / 65536 % 24);
            symbols.back()[i] = state / 512 % 97 == 0 ? extremes[state % 4] : static_cast<int32_t>(state / 7 % 5 - 2);
        }
    }
    for (const int threads : {1, 4}) {
        std::vector<Bytes> written(golden.size());
        std::vector<std::vector<int32_t>> read(golden.size());
        for_each_stream(golden.size(), threads, [&](std::size_t i) {
            encode_stream(*tables, symbols[i].data(), indexes[i].data(), symbols[i].size(), written[i]);
            read[i].resize(symbols[i].size());
            decode_stream(*tables, golden[i].data(), golden[i].size(), indexes[i].data(), read[i].size(),
                          read[i].data());
        });
        CHECK(written == golden);
        CHECK(read == symbols);
    }
    // Side by side, whatever their rates are: the first four, and the last four.
    for (std::size_t first = 0; has_lockstep() && first <= golden.size() - kLanes; first += golden.size() - kLanes) {
        std::vector<std::vector<int32_t>> read;
        for (std::size_t i = first; i < first + kLanes; ++i) read.emplace_back(symbols[i].size());
        Lane<uint8_t> lanes[kLanes];
        for (std::size_t k = 0; k < kLanes; ++k)
            lanes[k] = {golden[first + k].data(), golden[first + k].size(), indexes[first + k].data(), read[k].size(),
                        read[k].data()};
        decode_lockstep(*tables, lanes);
        CHECK(read == std::vector<std::vector<int32_t>>(symbols.begin() + first, symbols.begin() + first + kLanes));
    }
}

// What tests/coder/test_context_model.py makes: `random_tables(24, 3)`, `random_arrays()` and `golden_faces`.
static void faces(const std::string& folder) {
    const auto golden = streams_of(folder + "/context_model_coder_golden.json");
    Random random{3};
    std::vector<int32_t> lows;
    std::vector<int64_t> starts{0};
    std::vector<uint16_t> frequencies;
    for (int k = 0; k < 24; ++k) {
        const int size = 3 + random.between(0, 37), mode = random.between(0, 4), slope = 1 + random.between(0, 5);
        for (int i = 0; i < size; ++i) {
            const int fall = 1 + slope * std::abs(i - mode);
            frequencies.push_back(static_cast<uint16_t>(std::max(1, 20000 / (fall * fall))));
        }
        lows.push_back(-mode);
        starts.push_back(static_cast<int64_t>(frequencies.size()));
    }
    const auto tables = std::make_shared<Tables>(lows, starts, frequencies);
    const auto arrays = random_arrays(8, 2, 16, 8, 3, 24, 11);
    const struct {
        Grid grid;
        int reach;
    } cases[] = {{{14, 14, 50, true}, 2},
                 {{14, 14, 3, false}, 1},
                 {{1, 1, 100, false}, 4},
                 {{23, 9, 77, false}, 300},
                 {{5, 30, 20, false}, 32767}};
    CHECK(golden.size() == 5);
    int variants = 0;
    for (const Simd simd : {Simd::scalar, Simd::automatic, Simd::avx2, Simd::neon}) {
        std::unique_ptr<ContextModel> model;
        try {
            model = std::make_unique<ContextModel>(arrays, tables, simd);
        } catch (const InvalidInput&) {
            continue;  // this machine lacks it
        }
        ++variants;
        std::vector<std::vector<uint8_t>> levels(golden.size()), read_levels(golden.size());
        std::vector<std::vector<int16_t>> symbols(golden.size()), read(golden.size());
        const auto face_of = [&](std::size_t i) {
            return Face{cases[i].grid, levels[i].data(), symbols[i].data(), symbols[i].size(), true};
        };
        for (std::size_t i = 0; i < golden.size(); ++i) {
            const Grid& grid = cases[i].grid;
            Random numbers{i};
            levels[i].resize(static_cast<std::size_t>(grid.rows()) * grid.columns());
            for (auto& level : levels[i]) level = static_cast<uint8_t>(numbers.between(0, 2));
            symbols[i].resize(model->kept_cells(grid, levels[i].data()) * model->channels());
            for (auto& s : symbols[i]) s = static_cast<int16_t>(numbers.between(-cases[i].reach, cases[i].reach));
            std::vector<int16_t> used(symbols[i].size());
            std::vector<int32_t> means(symbols[i].size());
            predict_face(*model, face_of(i), used.data(), means.data());
            for (std::size_t k = 0; k < used.size(); ++k)
                if (used[k] < 0) symbols[i][k] = 0;
        }
        for (const int threads : {1, 4}) {
            std::vector<Bytes> written(golden.size());
            for_each_stream(golden.size(), threads, [&](std::size_t i) {
                encode_face(*model, face_of(i), written[i]);
                read_levels[i].assign(levels[i].size(), 0);
                read[i] = decode_face(*model,
                                      {cases[i].grid, golden[i].data(), golden[i].size(), read_levels[i].data(), true},
                                      std::size_t{1} << 24);
            });
            CHECK(written == golden);
            CHECK(read == symbols);
            CHECK(read_levels == levels);
        }
    }
    CHECK(variants >= 2);
}

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: golden FOLDER\n");
        return 2;
    }
    table_streams(argv[1]);
    faces(argv[1]);
    if (failures == 0) std::puts("all golden streams agree");
    return failures != 0;
}
