// One face's symbols <-> the payload of a file, and batches of faces over threads.
//
// A payload is one range-coded stream: the level map, where the header does not say it, then every symbol of the grid's
// kept cells with the table and the mean that the context model predicts.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "coder/context_model.hpp"

namespace lfic {

// A face to write. Symbols come in coding order, as many as the grid keeps under its levels.
struct Face {
    Grid grid;
    const uint8_t* levels;  // [rows, columns], 0 to 2
    const int16_t* symbols;
    std::size_t count;
    bool coded_levels;  // whether the level map is part of the payload
};

// A face to read.
struct FaceStream {
    Grid grid;
    const uint8_t* data;
    std::size_t size;
    uint8_t* levels;    // [rows, columns]: written if coded_levels, else read
    bool coded_levels;  // whether the level map is part of the payload
};

// Throws InvalidInput unless the model codes the grid and its finest levels keep at most `max_symbols`: to be asked
// before memory is taken for what a header claims.
void check_bound(const ContextModel& model, const Grid& grid, std::size_t max_symbols);

// Appends the payload to `out`; gives the bits that it has ideally, as face_bits does.
double encode_face(const ContextModel& model, const Face& face, Bytes& out);
// The symbols; throws InvalidInput as check_bound does.
std::vector<int16_t> decode_face(const ContextModel& model, const FaceStream& stream, std::size_t max_symbols);
// Only the level map at the head of a payload, into stream.levels.
void decode_face_levels(const ContextModel& model, const FaceStream& stream);
// Table index (-1 where inactive) and integer mean of every symbol.
void predict_face(const ContextModel& model, const Face& face, int16_t* tables, int32_t* means);
// Ideal bits of every kept cell, from the tables.
void cost_face(const ContextModel& model, const Face& face, float* bits);

// Ideal bits of a payload: those of every symbol, and of the level map where it is coded.
double face_bits(const ContextModel& model, const Face& face);

// Batches over threads (0: one a core). A damaged stream is named.
std::vector<Bytes> encode_faces(const ContextModel& model, const std::vector<Face>& faces, int threads);
std::vector<std::vector<int16_t>> decode_faces(const ContextModel& model, const std::vector<FaceStream>& streams,
                                               int threads, std::size_t max_symbols);
// bits[i]: room for the kept cells of face i.
void cost_faces(const ContextModel& model, const std::vector<Face>& faces, int threads, float* const* bits);

// The same for callers that go on where one face of many is bad: what was wrong with stream i, empty where nothing was.
std::vector<std::string> decode_faces(const ContextModel& model, const std::vector<FaceStream>& streams, int threads,
                                      std::size_t max_symbols, std::vector<std::vector<int16_t>>& symbols);
// Payloads, and face_bits of each in bits[i].
std::vector<Bytes> encode_faces(const ContextModel& model, const std::vector<Face>& faces, int threads, double* bits);
// face_bits of each in bits[i].
void faces_bits(const ContextModel& model, const std::vector<Face>& faces, int threads, double* bits);

}  // namespace lfic
