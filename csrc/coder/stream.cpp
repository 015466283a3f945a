#include "coder/stream.hpp"

namespace lfic {

template <class Symbol, class Index>
void encode_stream(const Tables& tables, const Symbol* symbols, const Index* indexes, std::size_t count, Bytes& out) {
    check_indexes(tables, indexes, count);
    RangeEncoder coder(out);
    EscapeCoder escape;
    tables.encode(coder, escape, symbols, indexes, count);
    RangeEncoder(coder).finish();  // of a copy: `coder` itself can then live in registers
}

template <class Index>
void decode_stream(const Tables& tables, const uint8_t* data, std::size_t size, const Index* indexes, std::size_t count,
                   int32_t* symbols) {
    check_indexes(tables, indexes, count);
    RangeDecoder coder(data, size);
    EscapeCoder escape;
    tables.decode(coder, escape, indexes, count, symbols);
    RangeDecoder(coder).check_end();
}

template <class Index>
static bool decode_side_by_side(const Tables& tables, const Lane<Index>* streams) {
    if (!lockstep_pays(streams)) return false;
    for (std::size_t k = 0; k < kLanes; ++k) check_indexes(tables, streams[k].indexes, streams[k].count);
    try {
        decode_lockstep(tables, streams);
    } catch (const CorruptStream&) {
        return false;  // one after the other, they tell which it is
    }
    return true;
}

template <class Index>
void decode_streams(const Tables& tables, const Lane<Index>* streams, std::size_t count, int threads) {
    // Groups only where every thread gets several: a few streams are better shared out.
    const std::size_t group = count >= 2 * kLanes * thread_count(threads) ? kLanes : 1;
    parallel((count + group - 1) / group, threads, [&](std::size_t task) {
        const std::size_t begin = task * group, end = std::min(begin + group, count);
        if (end - begin == kLanes && decode_side_by_side(tables, streams + begin)) return;
        for (std::size_t i = begin; i < end; ++i) try {
                const Lane<Index>& stream = streams[i];
                decode_stream(tables, stream.data, stream.size, stream.indexes, stream.count, stream.symbols);
            } catch (const CorruptStream& error) {
                throw CorruptStream(i, error);
            }
    });
}

#define LFIC_INSTANTIATE(Index)                                                                                   \
    template void encode_stream(const Tables&, const int16_t*, const Index*, std::size_t, Bytes&);                \
    template void encode_stream(const Tables&, const int32_t*, const Index*, std::size_t, Bytes&);                \
    template void decode_stream(const Tables&, const uint8_t*, std::size_t, const Index*, std::size_t, int32_t*); \
    template void decode_streams(const Tables&, const Lane<Index>*, std::size_t, int);
LFIC_INSTANTIATE(uint8_t)
LFIC_INSTANTIATE(int16_t)
LFIC_INSTANTIATE(int32_t)
#undef LFIC_INSTANTIATE

static void check_count(const ContextModel& model, const Grid& grid, const uint8_t* levels, std::size_t count) {
    model.check(grid);
    const std::size_t expected = model.kept_cells(grid, levels) * model.channels();
    if (count != expected)
        throw InvalidInput("there are " + std::to_string(count) + " symbols; this grid and these levels keep " +
                           std::to_string(expected));
}

void encode_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, bool coded_levels,
                 const int16_t* symbols, std::size_t count, Bytes& out) {
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

std::vector<int16_t> decode_face(const ContextModel& model, const Grid& grid, uint8_t* levels, bool coded_levels,
                                 const uint8_t* data, std::size_t size, std::size_t max_symbols) {
    model.check(grid);
    // Before anything is allocated for them: what the finest levels could need.
    const std::size_t bound = static_cast<std::size_t>(grid.height) * grid.width * model.channels();
    if (bound > max_symbols)
        throw InvalidInput("the grid holds up to " + std::to_string(bound) + " symbols; allowed are " +
                           std::to_string(max_symbols));
    RangeDecoder coder(data, size);
    EscapeCoder escape;
    if (coded_levels) model.decode_levels(coder, grid, levels);
    const std::size_t total = model.kept_cells(grid, levels) * model.channels();
    // Memory grows with what is decoded: a short stream that claims a huge face fails before it is taken.
    std::vector<int16_t> symbols(std::min<std::size_t>(total, std::size_t{1} << 16), 0);
    const Tables& tables = model.tables();
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
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

void predict_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols,
                  std::size_t count, int16_t* tables, int32_t* means) {
    check_count(model, grid, levels, count);
    std::fill(tables, tables + count, int16_t{-1});
    std::fill(means, means + count, 0);
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        tables[k] = static_cast<int16_t>(table);
        means[k] = mean;
        return static_cast<int>(symbols[k]);
    });
}

void cost_face(const ContextModel& model, const Grid& grid, const uint8_t* levels, const int16_t* symbols,
               std::size_t count, float* bits) {
    check_count(model, grid, levels, count);
    const std::size_t channels = model.channels();
    std::fill(bits, bits + count / channels, 0.0f);
    model.walk(grid, levels, [&](std::size_t k, int table, int mean) {
        bits[k / channels] += model.tables().bits(table, symbols[k] - mean);
        return static_cast<int>(symbols[k]);
    });
}

}  // namespace lfic
