// The fuzz target without libFuzzer.
//
//   fuzz_replay FILE...              run these inputs
//   fuzz_replay --mutate N SEED      N damaged copies of valid streams
//   fuzz_replay --corpus FOLDER      write valid streams for a fuzzer to start from
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include "fuzz/inputs.hpp"

using namespace lfic;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    const ContextModel model = fuzzed_model();
    if (argc == 4 && !std::strcmp(argv[1], "--mutate")) {
        const long count = std::atol(argv[2]);
        Random random{static_cast<uint64_t>(std::atoll(argv[3]))};
        Bytes input;
        for (long i = 0; i < count; ++i) {
            if (i % 16 == 0) input = valid_input(random, model);
            Bytes copy(input);
            damage(random, copy);
            LLVMFuzzerTestOneInput(copy.data(), copy.size());
        }
        std::printf("%ld damaged streams, nothing to report\n", count);
        return 0;
    }
    if (argc == 3 && !std::strcmp(argv[1], "--corpus")) {
        Random random{1};
        for (int i = 0; i < 60; ++i) {
            const Bytes input = valid_input(random, model);
            std::ofstream file(std::string(argv[2]) + "/valid-" + std::to_string(i), std::ios::binary);
            file.write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
        }
        return 0;
    }
    if (argc < 2 || argv[1][0] == '-') {
        std::fprintf(stderr, "usage: fuzz_replay FILE... | --mutate N SEED | --corpus FOLDER\n");
        return 2;
    }
    for (int i = 1; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        if (!file) {
            std::fprintf(stderr, "can't read %s\n", argv[i]);
            return 2;
        }
        const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    }
    std::printf("%d inputs, nothing to report\n", argc - 1);
    return 0;
}
