// Every file of tests/data/config is loaded. A *.good.yaml has no errors. A *.bad.yaml has just the errors that its
// comments promise, "# expect: 12:5: what is wrong", all of them at once. A file whose name begins with `daemon` is taken
// for shiftd.yaml, any other for a service's.

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <vector>

#include "daemon/config/config.hpp"
#include "tests/unit/config/config_folder.hpp"

namespace shiftd {
namespace {

constexpr std::string_view smallest_daemon = "journal: journal.db\nservices: [web.yaml, staging.yaml]\n";

std::vector<std::string> files(std::string_view ending) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator(config_data)) {
    auto name = entry.path().filename().string();
    if (name.ends_with(ending)) found.push_back(name);
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string test_name(const testing::TestParamInfo<std::string>& file) {
  auto name = file.param.substr(0, file.param.find('.'));
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
}

// The errors of one data file, as its comments would write them.
std::string load(const std::string& name) {
  ConfigFolder folder;
  auto is_daemon = name.starts_with("daemon");
  auto smallest_service = content_of(config_data / "smallest.good.yaml");
  folder.write("shiftd.yaml", is_daemon ? content_of(config_data / name) : smallest_daemon);
  folder.write("web.yaml", is_daemon ? smallest_service : content_of(config_data / name));
  folder.write("staging.yaml", "service: staging" + smallest_service.substr(smallest_service.find('\n')));
  auto config = load_config(folder.path() / "shiftd.yaml");
  if (config) return "";
  std::string errors;
  for (const auto& error : config.error().all) {
    auto from_file = std::filesystem::path(error.file).filename() == (is_daemon ? "shiftd.yaml" : "web.yaml");
    auto where = (from_file ? "" : error.file + ":") + std::to_string(error.line) + ":" + std::to_string(error.column);
    errors += folder.anonymous(where + ": " + error.text) + "\n";
  }
  return errors;
}

std::string expectations(const std::string& name) {
  constexpr std::string_view mark = "# expect: ";
  std::string expected;
  std::istringstream lines(content_of(config_data / name));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(mark)) expected += line.substr(mark.size()) + "\n";
  }
  return expected;
}

class GoodFile : public testing::TestWithParam<std::string> {};
TEST_P(GoodFile, HasNoErrors) { EXPECT_EQ(load(GetParam()), ""); }
INSTANTIATE_TEST_SUITE_P(Config, GoodFile, testing::ValuesIn(files(".good.yaml")), test_name);

class BadFile : public testing::TestWithParam<std::string> {};
TEST_P(BadFile, HasTheErrorsThatItsCommentsPromise) {
  auto expected = expectations(GetParam());
  ASSERT_NE(expected, "") << "a bad file says with '# expect: line:column: text' what is wrong with it";
  EXPECT_EQ(load(GetParam()), expected);
}
INSTANTIATE_TEST_SUITE_P(Config, BadFile, testing::ValuesIn(files(".bad.yaml")), test_name);

}  // namespace
}  // namespace shiftd
