#include "coder/face.hpp"

#include <algorithm>

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
    const int16_t* symbols = face.symbols;
    model.walk(face.grid, face.levels, [&](std::size_t k, int table, int mean) {
        const int symbol = read_once(symbols[k]);
        tables.encode(coder, escape, table, symbol - mean);
        bits += tables.bits(table, symbol - mean);
        return symbol;
    });
    coder.finish();
    return bits;
}

std::vector<int16_t> decode_face(const ContextModel& model, const FaceStream& stream, std::size_t max_symbols) {
    check_bound(model, stream.grid, max_symbols);
    RangeDecoder coder(stream.data, stream.size);
    EscapeCoder escape;
    if (stream.coded_levels) model.decode_levels(coder, stream.grid, stream.levels);
    const std::size_t total = model.kept_cells(stream.grid, stream.levels) * model.channels();
    // Memory grows with what is decoded: a short stream that claims a huge face fails before it is taken.
    std::vector<int16_t> symbols(std::min<std::size_t>(total, std::size_t{1} << 16), 0);
    const Tables& tables = model.tables();
    model.walk(stream.grid, stream.levels, [&](std::size_t k, int table, int mean) {
        if (LFIC_UNLIKELY(k >= symbols.size())) symbols.resize(std::min(total, std::max(k + 1, 2 * symbols.size())), 0);
        const int64_t symbol = static_cast<int64_t>(tables.decode(coder, escape, table)) + mean;
        if (symbol < -32768 || symbol > 32767)
            throw CorruptStream("symbol " + std::to_string(k) + " exceeds 16 bits", coder.position());
        symbols[k] = static_cast<int16_t>(symbol);
        return static_cast<int>(symbol);
    });
    coder.check_end();
    symbols.resize(total, 0);
    return symbols;
}

void decode_face_levels(const ContextModel& model, const FaceStream& stream) {
    model.check(stream.grid);
    RangeDecoder coder(stream.data, stream.size);
    model.decode_levels(coder, stream.grid, stream.levels);
}

void predict_face(const ContextModel& model, const Face& face, int16_t* tables, int32_t* means) {
    check_count(model, face);
    std::fill(tables, tables + face.count, int16_t{-1});
    std::fill(means, means + face.count, 0);
    model.walk(face.grid, face.levels, [&](std::size_t k, int table, int mean) {
        tables[k] = static_cast<int16_t>(table);
        means[k] = mean;
        return static_cast<int>(read_once(face.symbols[k]));
    });
}

void cost_face(const ContextModel& model, const Face& face, float* bits) {
    check_count(model, face);
    const std::size_t channels = model.channels();
    const int16_t* symbols = face.symbols;
    std::fill(bits, bits + face.count / channels, 0.0f);
    model.walk(face.grid, face.levels, [&](std::size_t k, int table, int mean) {
        const int symbol = read_once(symbols[k]);
        bits[k / channels] += model.tables().bits(table, symbol - mean);
        return symbol;
    });
}

double face_bits(const ContextModel& model, const Face& face) {
    check_count(model, face);
    const int16_t* symbols = face.symbols;
    double bits = face.coded_levels ? model.level_bits(face.grid, face.levels) : 0;
    model.walk(face.grid, face.levels, [&](std::size_t k, int table, int mean) {
        bits += model.tables().bits(table, symbols[k] - mean);
        return static_cast<int>(symbols[k]);
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
    for_each_stream(streams.size(), threads, [&](std::size_t i) {
        try {
            symbols[i] = decode_face(model, streams[i], max_symbols);
        } catch (const CorruptStream& error) {
            wrong[i] = error.what();
        }
    });
    return wrong;
}

std::vector<std::vector<int16_t>> decode_faces(const ContextModel& model, const std::vector<FaceStream>& streams,
                                               int threads, std::size_t max_symbols) {
    std::vector<std::vector<int16_t>> out(streams.size());
    for_each_stream(streams.size(), threads,
                    [&](std::size_t i) { out[i] = decode_face(model, streams[i], max_symbols); });
    return out;
}

void cost_faces(const ContextModel& model, const std::vector<Face>& faces, int threads, float* const* bits) {
    for_each_stream(faces.size(), threads, [&](std::size_t i) { cost_face(model, faces[i], bits[i]); });
}

}  // namespace lfic
