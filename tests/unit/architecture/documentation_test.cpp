// What the documentation promises of tests, held against the tests.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace shiftd {
namespace {

namespace fs = std::filesystem;

const fs::path root = SHIFTD_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void add_matches(const std::string& text, const std::regex& pattern, std::set<std::string>& names) {
  for (std::sregex_iterator at(text.begin(), text.end(), pattern), end; at != end; ++at)
    names.insert((*at)[1].str() + "." + (*at)[2].str());
}

// Every "Suite.Name" and "Class.test_name" below tests/.
std::set<std::string> tests_that_exist() {
  const std::regex cpp(R"(TEST(?:_F|_P)?\((\w+),\s*(\w+)\))");
  const std::regex python_class(R"(\nclass (\w+)\()");
  const std::regex python_test(R"(\n    def (test_\w+)\()");
  std::set<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(root / "tests")) {
    auto extension = entry.path().extension();
    if (extension == ".cpp") add_matches(read(entry.path()), cpp, names);
    if (extension != ".py") continue;
    auto text = read(entry.path());
    for (std::sregex_iterator each(text.begin(), text.end(), python_class), end; each != end; ++each) {
      auto next = std::next(each);
      auto until = next == end ? text.size() : static_cast<std::size_t>(next->position());
      auto body = text.substr(static_cast<std::size_t>(each->position()), until - static_cast<std::size_t>(each->position()));
      for (std::sregex_iterator test(body.begin(), body.end(), python_test); test != end; ++test)
        names.insert((*each)[1].str() + "." + (*test)[1].str());
    }
  }
  return names;
}

TEST(Documentation, NamesOnlyTestsThatExist) {
  const std::regex named(R"(`([A-Z]\w+)\.((?:[A-Z]|test_)\w+)`)");
  auto exist = tests_that_exist();
  ASSERT_GT(exist.size(), 100u);
  std::size_t found = 0;
  for (const auto& page : fs::recursive_directory_iterator(root / "docs")) {
    if (page.path().extension() != ".md") continue;
    std::set<std::string> names;
    add_matches(read(page.path()), named, names);
    found += names.size();
    for (const auto& name : names) EXPECT_TRUE(exist.contains(name)) << page.path() << " " << name;
  }
  EXPECT_GT(found, 50u);
}

}  // namespace
}  // namespace shiftd
