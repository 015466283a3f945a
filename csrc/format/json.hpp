// Just the JSON that the head of a safetensors file is made of: objects, arrays, strings and whole numbers. Anything
// else is refused, and so is a key that comes twice.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace lfic::json {

struct Value {
    enum Kind { string, number, array, object } kind = string;
    std::string text;  // of a string
    uint64_t integer = 0;
    std::vector<Value> items;
    std::vector<std::pair<std::string, Value>> members;

    // The member of this name, or null.
    const Value* find(const std::string& name) const;
};

// Throws WeightsError for anything that is not such a text, from its first byte to its last.
Value parse(const char* text, std::size_t size);

}  // namespace lfic::json
