// A fuzz target without libFuzzer, for any compiler.
//
//   replay_TARGET FILE...                     run these inputs
//   replay_TARGET --mutate N SEED [FILE...]   N mutants, of these inputs and of valid ones
//   replay_TARGET --corpus FOLDER N           write N valid inputs
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "fuzz/target.hpp"

using namespace lfic;

namespace {

constexpr int kGenerations = 8;  // mutants of mutants of one input

bool read(const char* path, fuzz::Input& out) {
    std::ifstream file(path, std::ios::binary);
    if (!file) std::fprintf(stderr, "can't read %s\n", path);
    out.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    return static_cast<bool>(file);
}

void run(const fuzz::Input& input) {
    // A copy of exact size, so that sanitizers see a read past the end.
    const fuzz::Input exact(input.begin(), input.end());
    LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

int mutate(long count, uint64_t seed, const std::vector<fuzz::Input>& files) {
    Random random{seed};
    fuzz::Input input;
    for (long i = 0; i < count; ++i) {
        if (i % kGenerations == 0) {
            input = files.empty() || fuzz::one_in(random, 2)
                        ? fuzz::valid(random)
                        : files[static_cast<std::size_t>(random.between(0, static_cast<int>(files.size()) - 1))];
        } else {
            fuzz::damage(random, input);
            fuzz::settle(random, input);
        }
        run(input);
    }
    std::printf("%ld mutants, nothing to report\n", count);
    return 0;
}

int write_corpus(const std::string& folder, int count) {
    Random random{1};
    for (int i = 0; i < count; ++i) {
        const fuzz::Input input = fuzz::valid(random);
        std::ofstream file(folder + "/valid-" + std::to_string(i), std::ios::binary);
        file.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
        if (!file) return 1;
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const bool mutants = argc >= 4 && !std::strcmp(argv[1], "--mutate");
    if (argc == 4 && !std::strcmp(argv[1], "--corpus")) return write_corpus(argv[2], std::atoi(argv[3]));
    if (!mutants && (argc < 2 || argv[1][0] == '-')) {
        std::fprintf(stderr, "usage: %s FILE... | --mutate N SEED [FILE...] | --corpus FOLDER N\n", argv[0]);
        return 2;
    }
    std::vector<fuzz::Input> files;
    for (int k = mutants ? 4 : 1; k < argc; ++k)
        if (!read(argv[k], files.emplace_back())) return 2;
    if (mutants) return mutate(std::atol(argv[2]), static_cast<uint64_t>(std::atoll(argv[3])), files);
    for (const fuzz::Input& input : files) run(input);
    std::printf("%zu inputs, nothing to report\n", files.size());
    return 0;
}
