// Every transcript in tests/scenarios happens as it is written. SHIFTD_REWRITE=1 writes what happens now: commit that
// only when you understand what changed it.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/fakes/rollout_script.hpp"

namespace shiftd {
namespace {

std::vector<std::string> scenarios() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(SHIFTD_SOURCE_DIR "/tests/scenarios")) {
    if (entry.path().extension() == ".txt") names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Scenario : public testing::TestWithParam<std::string> {};

TEST_P(Scenario, HappensAsWritten) {
  auto path = std::string(SHIFTD_SOURCE_DIR "/tests/scenarios/") + GetParam() + ".txt";
  std::ifstream file(path);
  std::string written(std::istreambuf_iterator<char>(file), {});
  auto happened = replay(written);
  if (std::getenv("SHIFTD_REWRITE") != nullptr) {
    std::ofstream(path) << happened;
    return;
  }
  EXPECT_EQ(happened, written) << "SHIFTD_REWRITE=1 " << path << " writes what happens now";
}

INSTANTIATE_TEST_SUITE_P(All, Scenario, testing::ValuesIn(scenarios()), [](const auto& instance) { return instance.param; });

}  // namespace
}  // namespace shiftd
