#include "stream.hpp"

namespace lfic {

static void check_indexes(const Tables& tables, const int32_t* indexes, std::size_t count) {
    const uint32_t limit = static_cast<uint32_t>(tables.count());
    uint32_t most = 0;
    for (std::size_t i = 0; i < count; ++i) most = std::max(most, static_cast<uint32_t>(indexes[i]));
    if (count == 0 || most < limit) return;
    for (std::size_t i = 0; i < count; ++i)
        if (static_cast<uint32_t>(indexes[i]) >= limit)
            throw InvalidInput("indexes[" + std::to_string(i) + "] is " + std::to_string(indexes[i]) + "; allowed are 0 to " + std::to_string(limit - 1));
}

void encode_stream(const Tables& tables, const int32_t* symbols, const int32_t* indexes, std::size_t count, Bytes& out) {
    check_indexes(tables, indexes, count);
    RangeEncoder coder(out);
    EscapeCoder escape;
    for (std::size_t i = 0; i < count; ++i) tables.encode(coder, escape, indexes[i], symbols[i]);
    coder.finish();
}

void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const int32_t* indexes, std::size_t count, int32_t* symbols) {
    check_indexes(tables, indexes, count);
    RangeDecoder coder(data, size);
    EscapeCoder escape;
    for (std::size_t i = 0; i < count; ++i) symbols[i] = tables.decode(coder, escape, indexes[i]);
    coder.check_end();
}

static void check_count(const ContextModel& model, const Grid& grid, const uint8_t* levels, std::size_t count) {
    model.check(grid);
    const std::size_t expected = model.kept_cells(grid, levels) * model.channels();
    if (count != expected) throw InvalidInput("there are " + std::to_string(count) + " symbols; this grid and these levels keep " + std::to_string(expected));
}

void encode_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, bool coded_levels, const int16_t* symbols,
                 std::size_t count, Bytes& out) {
    check_count(model, grid, levels, count);
    RangeEncoder coder(out);
    EscapeCoder escape;
    if (coded_levels) model.encode_levels(coder, grid, levels);
    const Tables& tables = model.tables();
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        tables.encode(coder, escape, table, symbols[k] - mean);
        return static_cast<int>(symbols[k]);
    });
    coder.finish();
}

std::vector<int16_t> decode_face(const ContextModel& model, const Grid& grid, uint8_t* levels, bool coded_levels, const uint8_t* data,
                                 std::size_t size, std::size_t max_symbols) {
    model.check(grid);
    // Before anything is allocated for them: what the finest levels could need.
    const std::size_t bound = static_cast<std::size_t>(grid.height) * grid.width * model.channels();
    if (bound > max_symbols)
        throw InvalidInput("the grid holds up to " + std::to_string(bound) + " symbols; allowed are " + std::to_string(max_symbols));
    RangeDecoder coder(data, size);
    EscapeCoder escape;
    if (coded_levels) model.decode_levels(coder, grid, levels);
    std::vector<int16_t> symbols(model.kept_cells(grid, levels) * model.channels(), 0);
    const Tables& tables = model.tables();
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        const int64_t symbol = static_cast<int64_t>(tables.decode(coder, escape, table)) + mean;
        if (symbol < -32768 || symbol > 32767) throw CorruptStream("symbol " + std::to_string(k) + " exceeds 16 bits", coder.position());
        symbols[k] = static_cast<int16_t>(symbol);
        return static_cast<int>(symbol);
    });
    coder.check_end();
    return symbols;
}

void predict_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols, std::size_t count,
                  int16_t* tables, int32_t* means) {
    check_count(model, grid, levels, count);
    std::fill(tables, tables + count, int16_t{-1});
    std::fill(means, means + count, 0);
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        tables[k] = static_cast<int16_t>(table);
        means[k] = mean;
        return static_cast<int>(symbols[k]);
    });
}

void cost_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols, std::size_t count, float* bits) {
    check_count(model, grid, levels, count);
    const std::size_t channels = model.channels();
    std::fill(bits, bits + count / channels, 0.0f);
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        bits[k / channels] += model.tables().bits(table, symbols[k] - mean);
        return static_cast<int>(symbols[k]);
    });
}

}  // namespace lfic
