// The repository's own rules, held against its own files: which part may know which, and which words may not be written.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shiftd {
namespace {

using testing::IsEmpty;

struct Source {
  std::string path;  // from the repository's root
  std::string text;
};

// Top level as docs/architecture.md draws it; what is not here (build trees, editors' files) is nobody's rule.
constexpr std::string_view top_level_folders[] = {"daemon", "lb-adapters", "checks", "tests", "conf", "docs", ".ci"};
constexpr std::string_view top_level_files[] = {"CMakeLists.txt", "README.md", "LICENSE", ".clang-format", ".clang-tidy", ".gitignore"};

const std::vector<Source>& sources() {
  static const auto found = [] {
    namespace fs = std::filesystem;
    const fs::path root = SHIFTD_SOURCE_DIR;
    std::vector<Source> all;
    auto read = [&](const fs::path& file) {
      std::ifstream in(file, std::ios::binary);
      std::stringstream text;
      text << in.rdbuf();
      all.push_back({file.lexically_relative(root).generic_string(), std::move(text).str()});
    };
    for (auto name : top_level_files) {
      if (fs::is_regular_file(root / name)) read(root / name);
    }
    for (auto folder : top_level_folders) {
      if (!fs::is_directory(root / folder)) continue;
      for (auto& entry : fs::recursive_directory_iterator(root / folder)) {
        if (entry.is_regular_file() && entry.path().extension() != ".pyc") read(entry.path());
      }
    }
    std::ranges::sort(all, {}, &Source::path);
    return all;
  }();
  return found;
}

bool is_cpp(const Source& source) { return source.path.ends_with(".cpp") || source.path.ends_with(".hpp"); }
bool is_ours_to_ship(const Source& source) { return is_cpp(source) && !source.path.starts_with("tests/"); }
// This file names what it forbids.
bool is_this_test(const Source& source) { return source.path.starts_with("tests/unit/architecture/"); }

// Every place where `pattern` occurs in a file that `concerns` us: "daemon/x.cpp:12: the line".
std::vector<std::string> occurrences(const std::regex& pattern, const std::function<bool(const Source&)>& concerns) {
  std::vector<std::string> found;
  for (auto& source : sources()) {
    if (is_this_test(source) || !concerns(source)) continue;
    std::istringstream lines(source.text);
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
      if (std::regex_search(line, pattern)) found.push_back(source.path + ":" + std::to_string(number) + ": " + line);
    }
  }
  return found;
}

struct Include {
  std::string name;
  bool quoted;
};

std::vector<Include> includes(const Source& source) {
  static const std::regex line(R"re(^\s*#\s*include\s*([<"])([^>"]+)[>"])re");
  std::vector<Include> found;
  std::istringstream lines(source.text);
  std::string text;
  std::smatch match;
  while (std::getline(lines, text)) {
    if (std::regex_search(text, match, line)) found.push_back({match[2], match[1] == "\""});
  }
  return found;
}

// "daemon/io/clock.hpp" -> "daemon/io"; "lb-adapters/haproxy/x.cpp" -> "lb-adapters"; "daemon/main.cpp" -> "daemon".
std::string part_of(const std::string& path) {
  auto first = path.find('/');
  if (first == std::string::npos || !path.starts_with("daemon/")) return path.substr(0, first);
  auto second = path.find('/', first + 1);
  return path.substr(0, second == std::string::npos ? first : second);
}

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/')); }

// Who may include whom. The arrows are those of docs/architecture.md; what is missing here is forbidden.
//   main -> driver, api, config, metrics -> lb-adapters, checks, announce, release, store, ssh -> io | engine, analysis -> base
const std::map<std::string, std::set<std::string>>& arrows() {
  static const std::set<std::string> base{"daemon/base"};
  static const std::set<std::string> pure{"daemon/base", "daemon/engine", "daemon/analysis"};
  static const std::set<std::string> ends{"daemon/base", "daemon/engine", "daemon/analysis", "daemon/io"};
  static const std::set<std::string> doing{"daemon/base", "daemon/engine",  "daemon/analysis", "daemon/io", "daemon/store",
                                           "daemon/ssh",  "daemon/release", "lb-adapters",     "checks",    "daemon/announce"};
  static const auto with = [](std::set<std::string> parts, std::initializer_list<std::string> more) {
    parts.insert(more);
    return parts;
  };
  static const std::map<std::string, std::set<std::string>> table{
      {"daemon/base", {}},
      {"daemon/engine", base},
      {"daemon/analysis", base},
      {"daemon/io", base},
      {"daemon/store", ends},
      {"daemon/ssh", ends},
      {"daemon/release", with(ends, {"daemon/ssh"})},
      {"lb-adapters", ends},
      {"daemon/announce", ends},
      {"checks", with(ends, {"daemon/ssh"})},
      {"daemon/metrics", with(doing, {"daemon/driver"})},
      {"daemon/config", doing},
      {"daemon/driver", doing},
      {"daemon/api", with(doing, {"daemon/driver", "daemon/config", "daemon/metrics"})},
      {"daemon/dashboard", {}},
      {"daemon/shiftctl", with(ends, {"daemon/store", "daemon/config"})},
      {"daemon", with(doing, {"daemon/driver", "daemon/api", "daemon/config", "daemon/metrics", "daemon/dashboard"})},
  };
  return table;
}

TEST(Architecture, ReadsTheRepositoryItself) {
  EXPECT_GT(sources().size(), 40U);
  EXPECT_TRUE(std::ranges::any_of(sources(), [](auto& source) { return source.path == "daemon/base/failure.hpp"; }));
}

TEST(Architecture, NamesAPartByItsFolder) {
  EXPECT_EQ(part_of("daemon/io/clock.hpp"), "daemon/io");
  EXPECT_EQ(part_of("daemon/main.cpp"), "daemon");
  EXPECT_EQ(part_of("lb-adapters/haproxy/haproxy.hpp"), "lb-adapters");
  EXPECT_EQ(part_of("checks/check.hpp"), "checks");
}

TEST(Architecture, EveryArrowPointsDown) {
  std::vector<std::string> upward;
  for (auto& source : sources()) {
    if (!is_ours_to_ship(source)) continue;
    auto part = part_of(source.path);
    auto allowed = arrows().find(part);
    if (allowed == arrows().end()) {
      upward.push_back(source.path + " is in no part that this test knows; add it to the table");
      continue;
    }
    for (auto& include : includes(source)) {
      if (!include.quoted) continue;
      auto target = part_of(include.name);
      if (target != part && !allowed->second.contains(target)) upward.push_back(source.path + " includes " + include.name);
    }
  }
  EXPECT_THAT(upward, IsEmpty());
}

TEST(Architecture, TheArrowsHaveNoCircle) {
  for (auto& [part, targets] : arrows()) {
    std::set<std::string> reached;
    std::vector<std::string> front(targets.begin(), targets.end());
    while (!front.empty()) {
      auto next = front.back();
      front.pop_back();
      if (!reached.insert(next).second) continue;
      ASSERT_TRUE(arrows().contains(next)) << next;
      auto& further = arrows().at(next);
      front.insert(front.end(), further.begin(), further.end());
    }
    EXPECT_FALSE(reached.contains(part)) << part;
  }
}

TEST(Architecture, IncludesAreSpelledFromTheRoot) {
  std::vector<std::string> wrong;
  for (auto& source : sources()) {
    if (!is_cpp(source)) continue;
    for (auto& include : includes(source)) {
      auto exists = std::ranges::any_of(sources(), [&](auto& other) { return other.path == include.name; });
      if (include.quoted && !exists) wrong.push_back(source.path + " includes \"" + include.name + "\"");
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

// The standard library's headers have no folder and no ".h": <vector>, <cstdint>.
bool is_standard(const std::string& name) { return name.find_first_of("/.") == std::string::npos; }

TEST(Architecture, TheJudgingPartsKnowOnlyTheStandardLibraryAndBase) {
  std::vector<std::string> foreign;
  for (auto& source : sources()) {
    auto part = part_of(source.path);
    if (part != "daemon/engine" && part != "daemon/analysis" && part != "daemon/base") continue;
    if (!is_cpp(source)) continue;
    auto may_speak_json = source.path.starts_with("daemon/engine/codec") || (part == "daemon/analysis" && source.path.ends_with(".cpp"));
    for (auto& include : includes(source)) {
      if (include.quoted || is_standard(include.name) || include.name.starts_with("boost/system/")) continue;
      if (may_speak_json && include.name == "nlohmann/json.hpp") continue;
      foreign.push_back(source.path + " includes <" + include.name + ">");
    }
  }
  EXPECT_THAT(foreign, IsEmpty());
}

TEST(Architecture, TheJudgingPartsKnowNoClockAndNoThread) {
  const std::regex impure(R"(#include <(thread|mutex|condition_variable|future|iostream|fstream|random)>|_clock::now)");
  EXPECT_THAT(
      occurrences(impure,
                  [](auto& source) { return part_of(source.path) == "daemon/engine" || part_of(source.path) == "daemon/analysis"; }),
      IsEmpty());
}

TEST(Architecture, AtMostEightFilesIncludeBeast) {
  std::vector<std::string> with_beast;
  for (auto& source : sources()) {
    if (!is_cpp(source)) continue;
    auto all = includes(source);
    if (std::ranges::any_of(all, [](auto& include) { return include.name.starts_with("boost/beast"); })) with_beast.push_back(source.path);
  }
  EXPECT_LE(with_beast.size(), 8U) << testing::PrintToString(with_beast);
}

// A header that needs one of them is private: only its own folder's files, and their tests, may include it and pay for it.
TEST(Architecture, LibrariesThatAreSlowToCompileStayInsideTheirFolder) {
  const std::regex slow(R"(^(boost/beast|nlohmann/json\.hpp|yaml-cpp|libssh2|sqlite3))");
  std::set<std::string> private_headers;
  auto is_slow = [&](const Include& include) { return std::regex_search(include.name, slow) || private_headers.contains(include.name); };
  for (bool found_more = true; found_more;) {
    found_more = false;
    for (auto& source : sources()) {
      if (!source.path.ends_with(".hpp") || !is_ours_to_ship(source)) continue;
      if (std::ranges::any_of(includes(source), is_slow)) found_more |= private_headers.insert(source.path).second;
    }
  }
  std::vector<std::string> leaks;
  for (auto& source : sources()) {
    if (!is_ours_to_ship(source)) continue;
    for (auto& include : includes(source)) {
      if (private_headers.contains(include.name) && folder_of(include.name) != folder_of(source.path))
        leaks.push_back(source.path + " includes " + include.name);
    }
  }
  EXPECT_THAT(leaks, IsEmpty());
}

TEST(Architecture, HeadersBeginWithPragmaOnceAndSayWhatTheyAre) {
  std::vector<std::string> silent;
  for (auto& source : sources()) {
    if (source.path.ends_with(".hpp") && !source.text.starts_with("#pragma once\n\n//")) silent.push_back(source.path);
  }
  EXPECT_THAT(silent, IsEmpty());
}

// One row a rule: what is forbidden, where, a line that must be caught, and why.
TEST(Architecture, SomeThingsAreNotWritten) {
  auto anywhere = [](const Source&) { return true; };
  auto in_tests = [](const Source& source) { return source.path.starts_with("tests/") && is_cpp(source); };
  // Fixtures that start real servers look again and again until they answer; there, and nowhere else, is a pause between looks.
  auto may_not_pause = [](const Source& source) { return is_cpp(source) && !source.path.starts_with("tests/fakes/"); };
  const struct {
    std::string_view why;
    std::string_view pattern;
    std::string_view caught;
    std::function<bool(const Source&)> where;
  } rules[] = {
      {"an exception in a detached coroutine disappears: use a TaskGroup", R"((::|[(,]\s*)detached\b)", "co_spawn(io, serve(), detached);",
       is_cpp},
      {"operator|| waits for the timer when the work throws: use within()", "awaitable_operators",
       "#include <boost/asio/experimental/awaitable_operators.hpp>", is_cpp},
      {"the control thread never sleeps: wait through the Clock", R"(this_thread::sleep|\b(u|nano)sleep\s*\()", "usleep(10);",
       may_not_pause},
      {"a test waits for what it expects, not for time to pass", R"((^|[^_\w])sleep\s*\(|sleep_for\s*\(\s*std)", "  sleep(1);",
       may_not_pause},
      {"a test that does not run is deleted", R"(TEST\w*\(.*DISABLED_|GTEST_SKIP\(\)\s*;)", "TEST(Clock, DISABLED_Jumps) {", in_tests},
      {"a TODO says what is to be done", R"(\b(TODO|FIXME|XXX)\b(\([^)]*\))?:?\s*$)", "  // TODO:", anywhere},
      {"product code does not know that it is tested", R"(if\s*\(\s*testing\s*\))", "if (testing) return;", is_ours_to_ship},
      {"a path of somebody's own machine", R"((^|[\s"'=(:`])/work/|\.\./shared\b)", "see /work/notes", anywhere},
  };
  for (auto& [why, pattern, caught, where] : rules) {
    SCOPED_TRACE(why);
    const std::regex forbidden(pattern.begin(), pattern.end());
    EXPECT_TRUE(std::regex_search(caught.begin(), caught.end(), forbidden)) << caught;
    EXPECT_THAT(occurrences(forbidden, where), IsEmpty());
  }
}

TEST(Architecture, FileNamesArePlainSnakeCase) {
  static const std::regex plain(R"([A-Za-z0-9_./-]+|conf/systemd/[a-z-]+@\.[a-z]+)");  // systemd's templates have an @
  static const std::regex cpp(R"(([a-z0-9_-]+/)*[a-z0-9_]+(\.pch)?\.(cpp|hpp))");
  std::vector<std::string> odd;
  for (auto& source : sources()) {
    if (!std::regex_match(source.path, plain) || (is_cpp(source) && !std::regex_match(source.path, cpp))) odd.push_back(source.path);
  }
  EXPECT_THAT(odd, IsEmpty());
}

TEST(Architecture, FilesFitOnAFewScreens) {
  std::vector<std::string> long_ones;
  for (auto& source : sources()) {
    auto lines = std::ranges::count(source.text, '\n');
    if (is_ours_to_ship(source) && lines > 500) long_ones.push_back(source.path + ": " + std::to_string(lines) + " lines");
  }
  EXPECT_THAT(long_ones, IsEmpty());
}

}  // namespace
}  // namespace shiftd
