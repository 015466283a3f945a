// dlfic: .lfic files to PNG or PPM, on machines without Python. `lfic decode` does the same and more.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "capi/codecs.hpp"
#include "tools/model.hpp"
#include "tools/png.hpp"

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

const char kUsage[] = "usage: dlfic [-o OUT] [--overwrite] [--max-pixels N] [--model WEIGHTS] FILE...\n";
const char kHelp[] =
    "\n"
    ".lfic files to pictures, by the models that are inside this program.\n"
    "\n"
    "  FILE              .lfic files; - is standard input\n"
    "  -o OUT            picture to write for one file: PNG, or PPM where the name ends in .ppm; - is standard output\n"
    "                    (default: .png beside the file)\n"
    "  --overwrite       replace pictures that exist; without it only one named by -o is replaced\n"
    "  --max-pixels N    refuse larger pictures before memory is taken for them (default 50000000)\n"
    "  --model WEIGHTS   a .safetensors file of weights of your own that lfic exported\n"
    "  --version         the version of lfic that this is of\n"
    "\n"
    "Exit status: 0 done, 1 a file failed, 2 wrong arguments.\n";

struct Arguments {
    std::vector<std::string> files;
    std::string out, model;
    uint64_t max_pixels = lfic::kDecodedPixels;
    bool overwrite = false;
};

struct WrongArguments : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct File {
    explicit File(std::FILE* stream, bool own = true) : stream(stream), own(own) {}
    ~File() {
        if (own && stream) std::fclose(stream);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    std::FILE* stream;
    bool own;
};

[[noreturn]] void stop(const std::string& path) {
    throw std::runtime_error(path + ": " + std::strerror(errno));
}

Bytes read(const std::string& path) {
    const bool standard = path == "-";
    const File file(standard ? stdin : std::fopen(path.c_str(), "rb"), !standard);
    if (!file.stream) throw std::runtime_error(std::strerror(errno));
    Bytes out, part(1 << 16);
    for (std::size_t got; (got = std::fread(part.data(), 1, part.size(), file.stream)) > 0;)
        out.insert(out.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(got));
    if (std::ferror(file.stream)) throw std::runtime_error(std::strerror(errno));
    return out;
}

void put(std::FILE* file, const Bytes& data, const std::string& path) {
    const bool written = std::fwrite(data.data(), 1, data.size(), file) == data.size();
    if (std::fclose(file) || !written) stop(path);
}

// The unfinished file, for the signals that end the program.
char unfinished[4096] = "";

extern "C" void give_up(int number) {
    if (unfinished[0]) unlink(unfinished);
    std::signal(number, SIG_DFL);
    std::raise(number);
}

// Where a chain of links ends, whether or not anything is there.
fs::path end_of_links(fs::path path) {
    for (int links = 0; fs::is_symlink(fs::symlink_status(path)); ++links) {
        if (links == 40) throw std::runtime_error(path.string() + ": too many links");
        path = path.parent_path() / fs::read_symlink(path);
    }
    return path;
}

// Whole or not at all: under another name first, which nobody else has. Links stay what they are, and pipes and devices
// are written to.
void write(const std::string& path, const Bytes& data) {
    if (path == "-") {
        if (std::fwrite(data.data(), 1, data.size(), stdout) != data.size() || std::fflush(stdout)) stop("-");
        return;
    }
    const fs::path real = end_of_links(path);
    const bool there = fs::exists(real);
    if (there && !fs::is_regular_file(real)) {
        std::FILE* file = std::fopen(real.c_str(), "wb");
        if (!file) stop(path);
        return put(file, data, path);
    }
    std::random_device random;
    const std::string part = (real.parent_path() / (".lfic-" + std::to_string(random()) + std::to_string(random())));
    if (part.size() < sizeof unfinished) std::strcpy(unfinished, part.c_str());
    const int number = open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0666);
    std::FILE* file = number < 0 ? nullptr : fdopen(number, "wb");
    if (!file) stop(path);
    try {
        put(file, data, path);
        std::error_code failed;
        if (there) fs::permissions(part, fs::status(real).permissions(), failed);
        if (std::rename(part.c_str(), real.c_str())) stop(path);
    } catch (...) {
        const int why = errno;
        unlink(part.c_str());
        errno = why;
        throw;
    }
    unfinished[0] = 0;
}

// In lower case, with its dot.
std::string suffix_of(const std::string& path) {
    std::string out = fs::path(path).extension().string();
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

// Where the picture of a file goes.
std::string target_of(const std::string& from, const Arguments& arguments) {
    if (!arguments.out.empty() || from == "-") return arguments.out.empty() ? "-" : arguments.out;
    return fs::path(from).replace_extension(".png").string();
}

Bytes ppm(const Bytes& rgb, uint32_t width, uint32_t height) {
    const std::string head = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
    Bytes out(head.begin(), head.end());
    out.insert(out.end(), rgb.begin(), rgb.end());
    return out;
}

void decode(lfic::Codecs& codecs, const std::string& from, const Arguments& arguments) {
    const std::string to = target_of(from, arguments);
    std::error_code absent;
    const bool there = to != "-" && fs::exists(to, absent);
    if (there && from != "-" && fs::equivalent(from, to, absent)) {
        const Bytes data = read(from);
        lfic::read_file({data.data(), data.size()}, arguments.max_pixels);  // a picture by mistake: it is no file
        throw std::runtime_error("the picture would replace the file: give -o OUT");
    }
    if (there && arguments.out.empty() && !arguments.overwrite)
        throw std::runtime_error(to + " exists: give -o OUT or --overwrite");
    const Bytes data = read(from);
    const lfic::View view{data.data(), data.size()};
    const lfic::Codec& codec = codecs.of(lfic::read_file(view, arguments.max_pixels));
    const lfic::File file = codec.read(view, arguments.max_pixels);
    Bytes rgb(std::size_t{3} * file.width * file.height);
    codec.decode(file, rgb.data(), 0);
    const bool plain = suffix_of(to) == ".ppm";
    write(to, plain ? ppm(rgb, file.width, file.height) : lfic::png(rgb.data(), file.width, file.height, file.grey));
}

// What two files would both be written to, and names of formats that are not written.
void check_targets(const Arguments& arguments) {
    std::set<std::string> found;
    for (const std::string& file : arguments.files) {
        if (file == "-" && arguments.files.size() > 1)
            throw WrongArguments("standard input, -, is one file alone; there are " +
                                 std::to_string(arguments.files.size()));
        const std::string to = target_of(file, arguments);
        if (!found.insert(to).second) throw WrongArguments("two files would both be written to " + to);
    }
    const std::string suffix = suffix_of(arguments.out);
    std::error_code absent;
    const bool device = fs::exists(arguments.out, absent) && !fs::is_regular_file(arguments.out, absent);
    if (!arguments.out.empty() && arguments.out != "-" && suffix != ".png" && suffix != ".ppm" && !device)
        throw WrongArguments("-o is " + arguments.out + "; allowed are names that end in .png or .ppm, and -");
}

Arguments parsed(int count, char** words) {
    Arguments out;
    bool options = true;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const auto value = [&] {
            if (++i == count || !words[i][0]) throw WrongArguments(word + " needs a value");
            return std::string(words[i]);
        };
        if (!options || word == "-" || word.empty() || word[0] != '-') {
            out.files.push_back(word);
        } else if (word == "--") {
            options = false;
        } else if (word == "-o" || word == "--out") {
            out.out = value();
        } else if (word == "--model") {
            out.model = value();
        } else if (word == "--overwrite") {
            out.overwrite = true;
        } else if (word == "--max-pixels") {
            const std::string text = value();
            char* end = nullptr;
            errno = 0;
            out.max_pixels = std::strtoull(text.c_str(), &end, 10);
            if (text.empty() || text[0] < '0' || text[0] > '9' || *end || errno || !out.max_pixels)
                throw WrongArguments("--max-pixels is '" + text + "'; allowed is a number of at least 1");
        } else {
            throw WrongArguments("there is no option " + word);
        }
    }
    if (out.files.empty()) throw WrongArguments("no file is given");
    if (!out.out.empty() && out.files.size() > 1)
        throw WrongArguments("-o names one picture; there are " + std::to_string(out.files.size()) + " files");
    check_targets(out);
    return out;
}

}  // namespace

int main(int count, char** words) {
    for (int i = 1; i < count && std::strcmp(words[i], "--") != 0; ++i) {
        if (!std::strcmp(words[i], "--help") || !std::strcmp(words[i], "-h"))
            return std::printf("%s%s", kUsage, kHelp) < 0 || std::fflush(stdout) != 0;
        if (!std::strcmp(words[i], "--version"))
            return std::printf("dlfic %s\n", LFIC_VERSION) < 0 || std::fflush(stdout) != 0;
    }
    Arguments arguments;
    try {
        arguments = parsed(count, words);
    } catch (const WrongArguments& error) {
        std::fprintf(stderr, "%sdlfic: error: %s\n", kUsage, error.what());
        return 2;
    }
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
        if (std::signal(number, give_up) == SIG_IGN) std::signal(number, SIG_IGN);  // as under nohup
    std::signal(SIGXFSZ, SIG_IGN);                                                  // then it is an error of the write
    int status = 0;
    const auto failed = [&](const std::string& what, const char* why) {
        std::fprintf(stderr, "dlfic: %s: %s\n", what.c_str(), why);
        status = 1;
    };
    try {
        const Bytes own = arguments.model.empty() ? Bytes() : read(arguments.model);
        lfic::Codecs codecs(arguments.model.empty() ? lfic::Weights(lfic::embedded_model(), lfic::Origin::program)
                                                    : lfic::Weights({own.data(), own.size()}));
        for (const std::string& file : arguments.files) {
            try {
                decode(codecs, file, arguments);
            } catch (const std::bad_alloc&) {
                failed(file, "there is not enough memory");
            } catch (const std::exception& error) {
                failed(file, error.what());
            }
        }
    } catch (const std::exception& error) {
        failed(arguments.model.empty() ? "the model" : arguments.model, error.what());
    }
    return status;
}
