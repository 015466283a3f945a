// Tests of the coder without Python: limits, every SIMD variant against every other, damage, threads.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "coder/face.hpp"
#include "coder/stream.hpp"
#include "tests/check.hpp"
#include "tests/random_model.hpp"

using namespace lfic;

// Encoder and decoder narrow to the same range, and the bytes reappear after a carry through long runs of 0xFF.
static void range_equality() {
    Random random{1};
    for (int round = 0; round < 300; ++round) {
        const int n = round < 3 ? round : random.between(1, 2000);
        std::vector<uint32_t> cum(n), freq(n);
        Bytes out;
        RangeEncoder encoder(out);
        for (int i = 0; i < n; ++i) {
            const int kind = random.between(0, 3);
            freq[i] = kind == 0 ? 1 : kind == 1 ? 65535 : random.between(1, 65535);
            cum[i] = kind == 0 ? 65535
                               : random.between(0, 65536 - static_cast<int>(freq[i]));  // the top: low runs to all ones
            encoder.encode(cum[i], freq[i]);
        }
        const uint64_t range = encoder.range();
        encoder.finish();
        RangeDecoder decoder(out.data(), out.size());
        for (int i = 0; i < n; ++i) {
            const uint32_t target = decoder.target();
            CHECK(target >= cum[i] && target < cum[i] + freq[i]);
            decoder.consume(cum[i], freq[i]);
        }
        CHECK(decoder.range() == range);
        decoder.check_end();
    }
}

static void table_streams() {
    const auto tables = random_tables(24, 7);
    Random random{2};
    const int32_t extremes[] = {INT32_MIN, INT32_MIN + 1, -32768, -1, 0, 1, 32767, INT32_MAX - 1, INT32_MAX};
    int cuts = 0, cuts_noticed = 0;
    for (int n = 0; n < 400; ++n) {
        std::vector<int32_t> symbols(n), decoded(n);
        std::vector<uint8_t> indexes(n);
        for (int i = 0; i < n; ++i) {
            indexes[i] = static_cast<uint8_t>(random.between(0, 23));
            symbols[i] = random.between(0, 19) ? random.between(-20, 20) : extremes[random.between(0, 8)];
        }
        Bytes out{1, 2, 3};  // what stands before is left alone
        encode_stream(*tables, symbols.data(), indexes.data(), n, out);
        CHECK(out[0] == 1 && out[1] == 2 && out[2] == 3);
        const std::vector<uint8_t> exact(out.begin() + 3, out.end());  // its own allocation: a read past it is seen
        decode_stream(*tables, exact.data(), exact.size(), indexes.data(), n, decoded.data());
        CHECK(decoded == symbols);
        if (exact.size() > 16) {
            // Cut short: noticed, unless what the zeros behind it decode to happens to be cheap. Never the same
            // symbols.
            const std::vector<uint8_t> cut(exact.begin(), exact.end() - 13);
            const bool noticed = throws<CorruptStream>(
                [&] { decode_stream(*tables, cut.data(), cut.size(), indexes.data(), n, decoded.data()); });
            CHECK(noticed || decoded != symbols);
            cuts += 1;
            cuts_noticed += noticed;
            std::vector<uint8_t> longer(exact);
            longer.resize(longer.size() + 13, 7);
            CHECK(throws<CorruptStream>(
                [&] { decode_stream(*tables, longer.data(), longer.size(), indexes.data(), n, decoded.data()); }));
        }
    }
    CHECK(cuts > 300 && 2 * cuts_noticed > cuts);
    const uint8_t bad = 24;
    const int32_t one = 0;
    Bytes out;
    CHECK(throws<InvalidInput>([&] { encode_stream(*tables, &one, &bad, 1, out); }));
    CHECK(throws<InvalidInput>([] { Tables({0}, {0, 2}, {40000, 40000}); }));
    CHECK(throws<InvalidInput>([] { Tables({0}, {0, 2}, {1, 0}); }));
    CHECK(throws<InvalidInput>([] { Tables({0, 0}, {0, 2, 1}, {1}); }));
    CHECK(throws<InvalidInput>([] { Tables({}, {0}, {}); }));
}

// Four streams in lock-step give what each gives by itself: any lengths, tables, rates and escapes; and where one of
// them is damaged they throw if it throws by itself, or agree with it.
template <class Index>
static void lockstep_of(Random& random, int reach) {
    const auto tables = random_tables(24, 7);
    const int lengths[] = {0, 1, 2, 3, 17, 400};
    for (int round = 0; round < 400; ++round) {
        std::vector<std::vector<Index>> indexes(kLanes);
        std::vector<std::vector<int32_t>> symbols(kLanes), decoded(kLanes);
        std::vector<std::vector<uint8_t>> bytes(kLanes);
        for (std::size_t k = 0; k < kLanes; ++k) {
            const int n = round % 3 ? lengths[random.between(0, 5)] : 200;
            for (int i = 0; i < n; ++i) {
                indexes[k].push_back(static_cast<Index>(random.between(0, 23)));
                const int low = tables->lows()[indexes[k][i]];
                symbols[k].push_back(random.between(0, 199) ? low + random.between(0, reach)
                                                            : random.between(INT32_MIN, INT32_MAX));
            }
            decoded[k].resize(n);
            Bytes out;
            encode_stream(*tables, symbols[k].data(), indexes[k].data(), n, out);
            bytes[k].assign(out.begin(), out.end());  // its own allocation: a read past it is seen
        }
        if (round % 2) {
            std::vector<uint8_t>& damaged = bytes[random.between(0, 3)];
            if (!damaged.empty()) {
                if (random.between(0, 1))
                    damaged[random.between(0, static_cast<int>(damaged.size()) - 1)] ^= 1 << random.between(0, 7);
                else
                    damaged = std::vector<uint8_t>(
                        damaged.begin(), damaged.begin() + random.between(0, static_cast<int>(damaged.size()) - 1));
            }
        }
        bool refused = false;
        Lane<Index> lanes[kLanes];
        for (std::size_t k = 0; k < kLanes; ++k) {
            lanes[k] = {bytes[k].data(), bytes[k].size(), indexes[k].data(), indexes[k].size(), decoded[k].data()};
            symbols[k].assign(symbols[k].size(), 0);
            refused |= throws<CorruptStream>([&] {
                decode_stream(*tables, bytes[k].data(), bytes[k].size(), indexes[k].data(), indexes[k].size(),
                              symbols[k].data());
            });
        }
        CHECK(throws<CorruptStream>([&] { decode_lockstep(*tables, lanes); }) == refused);
        if (!refused) CHECK(decoded == symbols);
    }
}

static void lockstep() {
    if (!has_lockstep()) {
        const Lane<uint8_t> none[kLanes] = {};
        CHECK(throws<InvalidInput>([&] { decode_lockstep(*random_tables(24, 7), none); }));
        return;
    }
    Random random{9};
    for (const int reach : {1, 6, 40}) {
        lockstep_of<uint8_t>(random, reach);
        lockstep_of<int16_t>(random, reach);
        lockstep_of<int32_t>(random, reach);
    }
}

// Batches of table streams, in lock-step or not, over threads; the damaged one is named.
static void table_batches() {
    const auto tables = random_tables(24, 7);
    Random random{10};
    for (const int reach : {0, 9}) {  // below and above the rate up to which lock-step pays
        const std::size_t count = 67, length = 900;
        std::vector<std::vector<int32_t>> symbols(count), decoded(count, std::vector<int32_t>(length));
        std::vector<std::vector<uint8_t>> indexes(count);
        std::vector<Bytes> bytes(count);
        std::vector<Lane<uint8_t>> streams;
        for (std::size_t k = 0; k < count; ++k) {
            for (std::size_t i = 0; i < length - k; ++i) {
                indexes[k].push_back(static_cast<uint8_t>(reach ? random.between(0, 23) : 0));
                symbols[k].push_back(tables->lows()[indexes[k][i]] + (reach ? random.between(0, reach) : 0));
            }
            encode_stream(*tables, symbols[k].data(), indexes[k].data(), length - k, bytes[k]);
            decoded[k].resize(length - k);
            streams.push_back({bytes[k].data(), bytes[k].size(), indexes[k].data(), length - k, decoded[k].data()});
        }
        CHECK(lockstep_pays(streams.data()) == (reach == 0 && has_lockstep()));
        for (const int threads : {1, 3}) {
            for (auto& d : decoded) std::fill(d.begin(), d.end(), 1 << 30);
            decode_streams(*tables, streams.data(), count, threads);
            CHECK(decoded == symbols);
            Bytes longer = bytes[50];
            longer.resize(longer.size() + 20, 7);
            const Lane<uint8_t> good = streams[50];
            streams[50].data = longer.data();
            streams[50].size = longer.size();
            try {
                decode_streams(*tables, streams.data(), count, threads);
                CHECK(false);
            } catch (const CorruptStream& error) {
                CHECK(std::strstr(error.what(), "stream 50 of the batch: ") == error.what());
            }
            streams[50] = good;
        }
    }
    const uint8_t bad = 24;
    int32_t out[8];
    const std::vector<Lane<uint8_t>> wrong(8, {nullptr, 0, &bad, 1, out});
    CHECK(throws<InvalidInput>([&] { decode_streams(*tables, wrong.data(), 8, 1); }));
}

// Bytes of a run of equal symbols stay near the ideal, and a stream without information has none.
static void lengths() {
    const auto tables = random_tables(24, 7);
    const std::vector<int32_t> zeros(1 << 20, tables->lows()[0]);
    const std::vector<uint8_t> index(zeros.size(), 0);
    Bytes out;
    encode_stream(*tables, zeros.data(), index.data(), 0, out);
    CHECK(out.empty());
    encode_stream(*tables, zeros.data(), index.data(), 1000, out);
    CHECK(out.empty());
    encode_stream(*tables, zeros.data(), index.data(), zeros.size(), out);
    CHECK(out.size() <= 4);  // 2^20 symbols of 2^-15.5 bits
    std::vector<int32_t> decoded(zeros.size());
    decode_stream(*tables, out.data(), out.size(), index.data(), zeros.size(), decoded.data());
    CHECK(decoded == zeros);
}

// Every variant's products of 1 to 4 vectors against plain sums: sizes that are no multiples of anything, zeros in
// vectors, and the largest weights and values.
static void matrices() {
    Random random{12};
    for (const Simd simd : {Simd::scalar, Simd::automatic}) {
        const MatVec matvec = matvec_for(simd);
        for (int round = 0; round < 300; ++round) {
            const int rows = random.between(1, 150), columns = random.between(1, 300), shift = random.between(1, 12);
            const int zeros = random.between(0, 10), vectors = 1 + round % kVectors;
            const bool largest = round % 5 == 0;
            std::vector<int16_t> weights(static_cast<std::size_t>(rows) * columns);
            for (auto& w : weights) w = static_cast<int16_t>(largest ? 2047 : random.between(-2047, 2047));
            const Matrix matrix = matvec.pack(weights.data(), rows, columns);
            std::vector<std::vector<int16_t>> x(vectors), hidden(vectors);
            std::vector<std::vector<int32_t>> bias(vectors), linear(vectors);
            const int16_t* px[kVectors];
            const int32_t* pbias[kVectors];
            int16_t* phidden[kVectors];
            int32_t* plinear[kVectors];
            for (int v = 0; v < vectors; ++v) {
                x[v].resize(matrix.columns, 7);  // what stands behind the columns meets weights of 0
                for (int c = 0; c < columns; ++c)
                    x[v][c] = static_cast<int16_t>(random.between(1, 10) <= zeros ? 0
                                                   : largest                      ? 255
                                                                                  : random.between(-127, 255));
                bias[v].resize(matrix.rows);
                for (auto& b : bias[v]) b = random.between(-1000000, 1000000);
                hidden[v].resize(matrix.rows);
                linear[v].resize(matrix.rows);
                px[v] = x[v].data();
                pbias[v] = bias[v].data();
                phidden[v] = hidden[v].data();
                plinear[v] = linear[v].data();
            }
            matvec.hidden(matrix, vectors, px, pbias, shift, phidden);
            matvec.linear(matrix, vectors, px, pbias, plinear);
            for (int v = 0; v < vectors; ++v)
                for (int r = 0; r < rows; ++r) {
                    int32_t sum = bias[v][r];
                    for (int c = 0; c < columns; ++c) sum += weights[r * columns + c] * x[v][c];
                    CHECK(linear[v][r] == sum);
                    CHECK(hidden[v][r] == std::min(std::max(sum >> shift, 0), 255));
                }
        }
    }
}

struct FaceCase {
    Grid grid;
    std::vector<uint8_t> levels;
    std::vector<int16_t> symbols;

    Face face(bool coded) const { return {grid, levels.data(), symbols.data(), symbols.size(), coded}; }
};

static FaceCase random_face(const ContextModel& model, Random& random, bool extremes) {
    FaceCase f;
    const bool aligned = random.between(0, 3) == 0;
    f.grid = Grid{aligned ? 14 : random.between(1, 18), aligned ? 14 : random.between(1, 18), random.between(1, 100),
                  aligned};
    f.levels.resize(f.grid.rows() * f.grid.columns());
    for (auto& l : f.levels) l = static_cast<uint8_t>(random.between(0, 2));
    f.symbols.resize(model.kept_cells(f.grid, f.levels.data()) * model.channels());
    for (auto& s : f.symbols)
        s = static_cast<int16_t>(extremes && !random.between(0, 9) ? (random.between(0, 1) ? 32767 : -32768)
                                                                   : random.between(-9, 9));
    // Inactive channels must be 0: find them through predict.
    std::vector<int16_t> tables(f.symbols.size());
    std::vector<int32_t> means(f.symbols.size());
    predict_face(model, f.face(true), tables.data(), means.data());
    for (std::size_t i = 0; i < f.symbols.size(); ++i)
        if (tables[i] < 0) f.symbols[i] = 0;
    return f;
}

static void context_models() {
    const int shapes[][4] = {{8, 2, 16, 8},   {6, 3, 5, 7},    {1, 1, 1, 1},    {64, 4, 96, 64},
                             {20, 5, 33, 18}, {12, 6, 257, 1}, {24, 6, 1, 257}, {17, 1, 40, 31}};
    for (const auto& s : shapes) {
        const auto tables = random_tables(24, 7);
        const auto arrays = random_arrays(s[0], s[1], s[2], s[3], 3, 24, 11);
        std::vector<ContextModel> models;
        for (const Simd simd : {Simd::scalar, Simd::automatic, Simd::avx2, Simd::neon}) {
            try {
                models.emplace_back(arrays, tables, simd);
            } catch (const InvalidInput&) {
            }
        }
        CHECK(models.size() >= 2);
        Random random{3};
        for (int round = 0; round < 12; ++round) {
            const FaceCase f = random_face(models[0], random, round % 2);
            const bool coded = round % 3;
            Bytes first;
            for (const auto& writer : models) {
                Bytes out;
                encode_face(writer, f.face(coded), out);
                if (first.empty()) first = out;
                CHECK(out == first);
                for (const auto& reader : models) {
                    std::vector<uint8_t> levels(f.levels.size(), 0);
                    if (!coded) levels = f.levels;
                    const auto symbols = decode_face(reader, {f.grid, out.data(), out.size(), levels.data(), coded},
                                                     std::size_t{1} << 24);
                    CHECK(symbols == f.symbols && levels == f.levels);
                }
            }
            std::vector<float> bits(f.symbols.size() / s[0]);
            cost_face(models[0], f.face(true), bits.data());
            for (float b : bits) CHECK(b >= 0);
            // The same sums from what `predict` gives.
            std::vector<int16_t> indexes(f.symbols.size());
            std::vector<int32_t> means(f.symbols.size());
            predict_face(models[1], f.face(true), indexes.data(), means.data());
            double all = 0;
            for (std::size_t i = 0; i < bits.size(); ++i) {
                float sum = 0;
                for (std::size_t k = i * s[0]; k < (i + 1) * s[0]; ++k)
                    if (indexes[k] >= 0) {
                        sum += tables->bits(indexes[k], f.symbols[k] - means[k]);
                        all += tables->bits(indexes[k], f.symbols[k] - means[k]);
                    }
                CHECK(sum == bits[i]);
            }
            CHECK(all == face_bits(models[1], f.face(false)));
        }
    }
}

// One call over threads gives what single calls give; the first damaged stream is named.
static void batches() {
    const auto tables = random_tables(24, 7);
    const auto arrays = random_arrays(8, 2, 16, 8, 3, 24, 11);
    const ContextModel model(arrays, tables, Simd::automatic);
    Random random{5};
    std::vector<FaceCase> faces;
    for (int i = 0; i < 64; ++i) faces.push_back(random_face(model, random, false));
    std::vector<Face> written;
    for (const FaceCase& f : faces) written.push_back(f.face(true));
    const std::vector<Bytes> one = encode_faces(model, written, 1);
    std::vector<Bytes> many = encode_faces(model, written, 4);
    CHECK(one == many);
    std::vector<std::vector<uint8_t>> levels(faces.size());
    const auto decode_all = [&] {
        std::vector<FaceStream> streams;
        for (std::size_t i = 0; i < faces.size(); ++i) {
            levels[i].assign(faces[i].levels.size(), 0);
            streams.push_back({faces[i].grid, many[i].data(), many[i].size(), levels[i].data(), true});
        }
        return decode_faces(model, streams, 4, std::size_t{1} << 24);
    };
    const auto symbols = decode_all();
    for (std::size_t i = 0; i < faces.size(); ++i)
        CHECK(symbols[i] == faces[i].symbols && levels[i] == faces[i].levels);
    many[17].resize(many[17].size() + 99, 1);
    try {
        decode_all();
        CHECK(false);
    } catch (const CorruptStream& error) {
        CHECK(std::strstr(error.what(), "stream 17 of the batch") != nullptr);
    }
    CHECK(throws<InvalidInput>([&] { encode_faces(model, written, -1); }));
}

// Batches in which some streams go side by side, some are alone, and some are damaged: of each what it gives alone.
static void side_by_side() {
    const auto tables = random_tables(24, 7);
    const auto arrays = random_arrays(12, 3, 20, 9, 3, 24, 11);
    Random random{6};
    int refused = 0;
    for (const Simd simd : {Simd::scalar, Simd::automatic}) {
        const ContextModel model(arrays, tables, simd);
        for (int round = 0; round < 24; ++round) {
            const std::size_t count = random.between(1, 80);
            std::vector<FaceCase> faces;
            std::vector<bool> coded;
            std::vector<Bytes> bytes;
            for (std::size_t i = 0; i < count; ++i) {
                // Three of four have the grid and the levels of one before.
                FaceCase f = random_face(model, random, round % 2);
                if (i && random.between(0, 3)) {
                    const FaceCase& like = faces[random.between(0, static_cast<int>(i) - 1)];
                    f.grid = like.grid;
                    f.grid.quality = random.between(1, 100);
                    f.levels = like.levels;
                    f.symbols = like.symbols;
                    for (auto& s : f.symbols) s = static_cast<int16_t>(random.between(-9, 9));
                }
                coded.push_back(random.between(0, 1));
                bytes.emplace_back();
                encode_face(model, f.face(coded[i]), bytes[i]);
                if (random.between(0, 5) == 0 && !bytes[i].empty()) {
                    const int last = static_cast<int>(bytes[i].size()) - 1;
                    const int kind = random.between(0, 2);
                    if (kind == 0) bytes[i][random.between(0, last)] ^= 1 << random.between(0, 7);
                    if (kind == 1) bytes[i].resize(random.between(0, last));
                    if (kind == 2) bytes[i].resize(bytes[i].size() + 20, 7);
                }
                bytes[i].shrink_to_fit();
                faces.push_back(f);
            }
            std::vector<std::vector<uint8_t>> levels(count);
            const auto stream = [&](std::size_t i) -> FaceStream {
                levels[i] = faces[i].levels;
                if (coded[i]) levels[i].assign(levels[i].size(), 0);
                return {faces[i].grid, bytes[i].data(), bytes[i].size(), levels[i].data(), coded[i]};
            };
            std::vector<std::vector<int16_t>> alone(count), together;
            std::vector<std::vector<uint8_t>> alone_levels(count);
            std::vector<std::string> wrong(count);
            for (std::size_t i = 0; i < count; ++i) {
                try {
                    alone[i] = decode_face(model, stream(i), std::size_t{1} << 24);
                } catch (const CorruptStream& error) {
                    wrong[i] = error.what();
                    ++refused;
                }
                alone_levels[i] = levels[i];
            }
            for (int threads = 1; threads <= 4; ++threads) {
                std::vector<FaceStream> streams;
                for (std::size_t i = 0; i < count; ++i) streams.push_back(stream(i));
                CHECK(decode_faces(model, streams, threads, std::size_t{1} << 24, together) == wrong);
                CHECK(together == alone && levels == alone_levels);
                const auto first = std::find_if(wrong.begin(), wrong.end(), [](const auto& w) { return !w.empty(); });
                try {
                    CHECK(decode_faces(model, streams, threads, std::size_t{1} << 24) == alone);
                    CHECK(first == wrong.end());
                } catch (const CorruptStream& error) {
                    const std::string text = "stream " + std::to_string(first - wrong.begin()) + " of the batch: ";
                    CHECK(first != wrong.end());
                    if (threads == 1) CHECK(error.what() == text + *first);
                }
            }
        }
    }
    CHECK(refused > 100);
}

int main() {
    range_equality();
    table_streams();
    lockstep();
    table_batches();
    lengths();
    matrices();
    context_models();
    batches();
    side_by_side();
    if (failures == 0) std::puts("all tests passed");
    return failures != 0;
}
