#include "coder/face.hpp"

#include <algorithm>
#include <exception>

#include "coder/stream.hpp"

namespace lfic {

static void check_count(const ContextModel& model, const Face& face) {
    model.check(face.grid);
    const std::size_t expected = model.kept_cells(face.grid, face.levels) * model.channels();
    if (face.count != expected)
        throw InvalidInput("there are " + std::to_string(face.count) + " symbols; this grid and these levels keep " +
                           std::to_string(expected));
}

void check_bound(const ContextModel& model, const Grid& grid, std::size_t max_symbols) {
    model.check(grid);
    const std::size_t bound = static_cast<std::size_t>(grid.height) * grid.width * model.channels();
    if (bound > max_symbols)
        throw InvalidInput("the grid holds up to " + std::to_string(bound) + " symbols; max_symbols allows " +
                           std::to_string(max_symbols));
}

double encode_face(const ContextModel& model, const Face& face, Bytes& out) {
    check_count(model, face);
    RangeEncoder coder(out);
    EscapeCoder escape;
    double bits = 0;
    if (face.coded_levels) {
        model.encode_levels(coder, face.grid, face.levels);
        bits = model.level_bits(face.grid, face.levels);
    }
    const Tables& tables = model.tables();
    model.walk(face.grid, face.levels, face.symbols, [&](const Predictions& p, const int16_t* symbols) {
        for (int i = 0; i < p.count; ++i)
            if (p.tables[i] >= 0) {
                tables.encode(coder, escape, p.tables[i], symbols[i] - p.means[i]);
                bits += tables.bits(p.tables[i], symbols[i] - p.means[i]);
            }
    });
    coder.finish();
    return bits;
}

namespace {

// A stream that is being read: what has been decoded of it, or what was wrong.
struct Reader {
    const FaceStream* stream;
    RangeDecoder coder;
    std::size_t total = 0;  // symbols
    EscapeCoder escape{};
    std::vector<int16_t> symbols{};
    std::exception_ptr wrong{};

    explicit Reader(const FaceStream& stream) : stream(&stream), coder(stream.data, stream.size) {}

    // work(), whose exception stays with this stream: false if there was one.
    template <class Work>
    bool keeps(const Work& work) {
        try {
            work();
            return true;
        } catch (...) {
            wrong = std::current_exception();
            symbols = {};
            return false;
        }
    }

    void begin(const ContextModel& model, std::size_t max_symbols) {
        check_bound(model, stream->grid, max_symbols);
        if (stream->coded_levels) model.decode_levels(coder, stream->grid, stream->levels);
        total = model.kept_cells(stream->grid, stream->levels) * model.channels();
    }

    void decode(const Tables& tables, const Predictions& p, int16_t* out) {
        // Memory grows with what is decoded: a short stream that claims a huge face fails before it is taken.
        const std::size_t end = p.first + p.count;
        if (LFIC_UNLIKELY(end > symbols.size()))
            symbols.resize(std::min(total, std::max({end, 2 * symbols.size(), std::size_t{1} << 16})), 0);
        for (int i = 0; i < p.count; ++i) {
            if (p.tables[i] < 0) continue;
            const int64_t symbol = static_cast<int64_t>(tables.decode(coder, escape, p.tables[i])) + p.means[i];
            if (symbol < -32768 || symbol > 32767)
                throw CorruptStream("symbol " + std::to_string(p.first + i) + " exceeds 16 bits", coder.position());
            out[i] = static_cast<int16_t>(symbol);
        }
        std::copy_n(out, p.count, symbols.begin() + p.first);
    }

    void end() {
        coder.check_end();
        symbols.resize(total, 0);
    }

    // Whether the same cells are kept. Bands of large faces would take too much memory several at once.
    bool goes_with(const Reader& other) const {
        const Grid &a = stream->grid, &b = other.stream->grid;
        const std::size_t cells = static_cast<std::size_t>(a.height) * a.width;
        return cells <= kSideBySide && a.height == b.height && a.width == b.width && a.aligned == b.aligned &&
               std::equal(stream->levels, stream->levels + static_cast<std::size_t>(a.rows()) * a.columns(),
                          other.stream->levels);
    }
    static constexpr std::size_t kSideBySide = 1 << 14;
};

// One to kVectors readers that go together, from the first symbol to the end.
void read_together(const ContextModel& model, Reader* const* readers, int count) {
    Grid grids[kVectors];
    for (int i = 0; i < count; ++i) grids[i] = readers[i]->stream->grid;
    const Tables& tables = model.tables();
    model.walk(grids, count, readers[0]->stream->levels, [&](int i, const Predictions& p, int16_t* symbols) {
        return readers[i]->keeps([&] { readers[i]->decode(tables, p, symbols); });
    });
    for (int i = 0; i < count; ++i)
        if (!readers[i]->wrong) readers[i]->keeps([&] { readers[i]->end(); });
}

// Streams by one thread, those side by side that go together; what is wrong with one is no matter to the others.
std::vector<Reader> read_streams(const ContextModel& model, const FaceStream* streams, std::size_t count,
                                 std::size_t max_symbols) {
    std::vector<Reader> readers(streams, streams + count);
    std::vector<Reader*> left;
    for (Reader& reader : readers)
        if (reader.keeps([&] { reader.begin(model, max_symbols); })) left.push_back(&reader);
    while (!left.empty()) {
        Reader* together[kVectors];
        int found = 0;
        const Reader& first = *left[0];
        const auto taken = [&](Reader* reader) {
            if (found == kVectors || (found > 0 && !reader->goes_with(first))) return false;
            together[found++] = reader;
            return true;
        };
        left.erase(std::remove_if(left.begin(), left.end(), taken), left.end());
        read_together(model, together, found);
    }
    return readers;
}

// take(i, reader) for every stream, over threads. A thread is given up to 32 at once, among which it finds those that
// go together; threads get equal shares, as few streams are rather shared out.
template <class Take>
void read_all(const ContextModel& model, const std::vector<FaceStream>& streams, int threads, std::size_t max_symbols,
              const Take& take) {
    constexpr std::size_t kMost = 32;
    const std::size_t count = streams.size(), workers = thread_count(threads);
    const std::size_t shares = workers * std::max<std::size_t>(1, (count + kMost * workers - 1) / (kMost * workers));
    const std::size_t piece = std::max<std::size_t>(1, (count + shares - 1) / shares);
    parallel(count, piece, workers, [&](std::size_t first, std::size_t last) {
        std::vector<Reader> readers = read_streams(model, &streams[first], last - first, max_symbols);
        for (std::size_t i = first; i < last; ++i) take(i, readers[i - first]);
    });
}

}  // namespace

std::vector<int16_t> decode_face(const ContextModel& model, const FaceStream& stream, std::size_t max_symbols) {
    std::vector<Reader> readers = read_streams(model, &stream, 1, max_symbols);
    if (readers[0].wrong) std::rethrow_exception(readers[0].wrong);
    return std::move(readers[0].symbols);
}

void decode_face_levels(const ContextModel& model, const FaceStream& stream) {
    model.check(stream.grid);
    RangeDecoder coder(stream.data, stream.size);
    model.decode_levels(coder, stream.grid, stream.levels);
}

void predict_face(const ContextModel& model, const Face& face, int16_t* tables, int32_t* means) {
    check_count(model, face);
    model.walk(face.grid, face.levels, face.symbols, [&](const Predictions& p, const int16_t*) {
        for (int i = 0; i < p.count; ++i) tables[p.first + i] = static_cast<int16_t>(p.tables[i]);
        std::copy_n(p.means, p.count, means + p.first);
    });
}

void cost_face(const ContextModel& model, const Face& face, float* bits) {
    check_count(model, face);
    const int channels = model.channels();
    model.walk(face.grid, face.levels, face.symbols, [&](const Predictions& p, const int16_t* symbols) {
        for (int from = 0; from < p.count; from += channels) {
            float sum = 0;
            for (int i = from; i < from + channels; ++i)
                if (p.tables[i] >= 0) sum += model.tables().bits(p.tables[i], symbols[i] - p.means[i]);
            *bits++ = sum;
        }
    });
}

double face_bits(const ContextModel& model, const Face& face) {
    check_count(model, face);
    double bits = face.coded_levels ? model.level_bits(face.grid, face.levels) : 0;
    model.walk(face.grid, face.levels, face.symbols, [&](const Predictions& p, const int16_t* symbols) {
        for (int i = 0; i < p.count; ++i)
            if (p.tables[i] >= 0) bits += model.tables().bits(p.tables[i], symbols[i] - p.means[i]);
    });
    return bits;
}

std::vector<Bytes> encode_faces(const ContextModel& model, const std::vector<Face>& faces, int threads) {
    std::vector<double> bits(faces.size());
    return encode_faces(model, faces, threads, bits.data());
}

std::vector<Bytes> encode_faces(const ContextModel& model, const std::vector<Face>& faces, int threads, double* bits) {
    std::vector<Bytes> out(faces.size());
    for_each_stream(faces.size(), threads, [&](std::size_t i) { bits[i] = encode_face(model, faces[i], out[i]); });
    return out;
}

void faces_bits(const ContextModel& model, const std::vector<Face>& faces, int threads, double* bits) {
    for_each_stream(faces.size(), threads, [&](std::size_t i) { bits[i] = face_bits(model, faces[i]); });
}

std::vector<std::string> decode_faces(const ContextModel& model, const std::vector<FaceStream>& streams, int threads,
                                      std::size_t max_symbols, std::vector<std::vector<int16_t>>& symbols) {
    std::vector<std::string> wrong(streams.size());
    symbols.resize(streams.size());
    read_all(model, streams, threads, max_symbols, [&](std::size_t i, Reader& reader) {
        symbols[i] = std::move(reader.symbols);
        try {
            if (reader.wrong) std::rethrow_exception(reader.wrong);
        } catch (const CorruptStream& error) {
            wrong[i] = error.what();
        }
    });
    return wrong;
}

std::vector<std::vector<int16_t>> decode_faces(const ContextModel& model, const std::vector<FaceStream>& streams,
                                               int threads, std::size_t max_symbols) {
    std::vector<std::vector<int16_t>> out(streams.size());
    read_all(model, streams, threads, max_symbols, [&](std::size_t i, Reader& reader) {
        out[i] = std::move(reader.symbols);
        try {
            if (reader.wrong) std::rethrow_exception(reader.wrong);
        } catch (const CorruptStream& error) {
            throw CorruptStream(i, error);
        }
    });
    return out;
}

void cost_faces(const ContextModel& model, const std::vector<Face>& faces, int threads, float* const* bits) {
    for_each_stream(faces.size(), threads, [&](std::size_t i) { cost_face(model, faces[i], bits[i]); });
}

}  // namespace lfic
