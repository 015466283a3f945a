#include "format/json.hpp"

#include <set>

#include "format/errors.hpp"

namespace lfic::json {
namespace {

constexpr int kDepth = 8;

class Reader {
  public:
    Reader(const char* text, std::size_t size) : at_(text), begin_(text), end_(text + size) {}

    Value whole() {
        Value out = value(0);
        space();
        if (at_ != end_) fail("something follows the text");
        return out;
    }

  private:
    [[noreturn]] void fail(const char* what) const {
        throw WeightsError("the head of the weights file is no JSON that belongs there: " + std::string(what) +
                           " at character " + std::to_string(at_ - begin_));
    }
    void space() {
        while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) ++at_;
    }
    char peek() {
        space();
        if (at_ == end_) fail("the text ends");
        return *at_;
    }
    bool take(char c) {
        if (peek() != c) return false;
        ++at_;
        return true;
    }
    void need(char c) {
        if (!take(c)) fail("another character is needed");
    }

    Value value(int depth) {
        if (depth > kDepth) fail("values lie too deep");
        Value out;
        const char c = peek();
        if (c == '"') {
            out.text = string();
        } else if (c >= '0' && c <= '9') {
            out.kind = Value::number;
            out.integer = number();
        } else if (c == '[') {
            out.kind = Value::array;
            ++at_;
            if (take(']')) return out;
            do out.items.push_back(value(depth + 1));
            while (take(','));
            need(']');
        } else if (c == '{') {
            out.kind = Value::object;
            ++at_;
            if (take('}')) return out;
            std::set<std::string> seen;
            do {
                if (peek() != '"') fail("a name is needed");
                std::string name = string();
                if (!seen.insert(name).second) fail("a name comes twice");
                need(':');
                out.members.emplace_back(std::move(name), value(depth + 1));
            } while (take(','));
            need('}');
        } else {
            fail("a value is needed");
        }
        return out;
    }

    uint64_t number() {
        uint64_t n = 0;
        const char* first = at_;
        for (; at_ != end_ && *at_ >= '0' && *at_ <= '9'; ++at_) {
            if (n > (UINT64_MAX - 9) / 10) fail("a number is too large");
            n = n * 10 + static_cast<uint64_t>(*at_ - '0');
        }
        if (at_ - first > 1 && *first == '0') fail("a number begins with a needless zero");
        return n;
    }

    uint32_t four_digits() {
        uint32_t n = 0;
        for (int k = 0; k < 4; ++k, ++at_) {
            if (at_ == end_) fail("the text ends");
            const char c = *at_;
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("a hexadecimal digit is needed");
            n = n << 4 | static_cast<uint32_t>(digit);
        }
        return n;
    }

    void put(std::string& out, uint32_t point) {
        const auto tail = [&](int shift) { out += static_cast<char>(0x80 | (point >> shift & 0x3F)); };
        if (point < 0x80) {
            out += static_cast<char>(point);
        } else if (point < 0x800) {
            out += static_cast<char>(0xC0 | point >> 6);
            tail(0);
        } else if (point < 0x10000) {
            out += static_cast<char>(0xE0 | point >> 12);
            tail(6), tail(0);
        } else {
            out += static_cast<char>(0xF0 | point >> 18);
            tail(12), tail(6), tail(0);
        }
    }

    void escaped(std::string& out) {
        if (at_ == end_) fail("the text ends");
        const char c = *at_++;
        const std::string from = "\"\\/bfnrt", to = "\"\\/\b\f\n\r\t";
        if (const auto k = from.find(c); k != std::string::npos) {
            out += to[k];
            return;
        }
        if (c != 'u') fail("an unknown escape");
        uint32_t point = four_digits();
        if (point >= 0xD800 && point < 0xDC00) {
            if (end_ - at_ < 2 || at_[0] != '\\' || at_[1] != 'u') fail("half a character");
            at_ += 2;
            const uint32_t low = four_digits();
            if (low < 0xDC00 || low > 0xDFFF) fail("half a character");
            point = 0x10000 + ((point - 0xD800) << 10 | (low - 0xDC00));
        } else if (point >= 0xDC00 && point < 0xE000) {
            fail("half a character");
        }
        put(out, point);
    }

    std::string string() {
        std::string out;
        for (++at_;;) {
            if (at_ == end_) fail("the text ends");
            const char c = *at_++;
            if (c == '"') return out;
            if (static_cast<unsigned char>(c) < 0x20) fail("a control character");
            if (c == '\\')
                escaped(out);
            else
                out += c;
        }
    }

    const char *at_, *begin_, *end_;
};

}  // namespace

const Value* Value::find(const std::string& name) const {
    for (const auto& member : members)
        if (member.first == name) return &member.second;
    return nullptr;
}

Value parse(const char* text, std::size_t size) {
    return Reader(text, size).whole();
}

}  // namespace lfic::json
