// Gives a fuzz target every file of the folders on the command line: what the fuzzer once found stays found, in every
// ordinary test run and with every compiler.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int count, char** folders) {
  int replayed = 0;
  for (int i = 1; i < count; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(folders[i])) {
      std::ifstream input(entry.path(), std::ios::binary);
      std::string content{std::istreambuf_iterator<char>(input), {}};
      std::printf("%s\n", entry.path().c_str());
      std::fflush(stdout);
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
      ++replayed;
    }
  }
  std::printf("%d files replayed\n", replayed);
  return replayed == 0 ? 1 : 0;  // a corpus that is not found tests nothing
}
