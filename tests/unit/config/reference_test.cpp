// docs/configuration.md and the parser know the same keys.
//
// The parser's keys are those that it asked for while it read the complete files. A section's own keys are asked for only
// where the section is written; so the complete files must have every key that is asked for, and with that have all.

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "daemon/config/sections.hpp"
#include "tests/unit/config/config_folder.hpp"

namespace shiftd {
namespace {

const std::filesystem::path source = SHIFTD_SOURCE_DIR;

template <class Read>
void ask(const std::string& name, Read read, std::set<std::string>& keys) {
  yaml::Document document(config_data / name, content_of(config_data / name));
  read(document);
  keys.insert(document.known_keys().begin(), document.known_keys().end());
}

// Whether `key` ("checks[].http.path") is written in the file: the last word of it, at least.
bool is_written(const std::string& key, const std::string& text) {
  return text.find(key.substr(key.find_last_of(".") + 1) + ":") != std::string::npos;
}

std::set<std::string> daemon_keys() {
  std::set<std::string> keys;
  ask("daemon-complete.good.yaml", read_daemon_file, keys);
  return keys;
}

std::set<std::string> service_keys() {
  std::set<std::string> keys;
  for (auto name : {"complete.good.yaml", "other-choices.good.yaml"}) ask(name, read_service_file, keys);
  return keys;
}

// The page's keys: the code at the beginning of a table's row, "| `checks[].http.path` |".
std::set<std::string> documented_keys() {
  std::set<std::string> keys;
  std::istringstream lines(content_of(source / "docs/configuration.md"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("| `")) keys.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return keys;
}

TEST(Reference, CompleteFilesHaveEveryKey) {
  auto files = content_of(config_data / "complete.good.yaml") + content_of(config_data / "other-choices.good.yaml");
  for (const auto& key : service_keys()) EXPECT_TRUE(is_written(key, files)) << key;
  auto daemon = content_of(config_data / "daemon-complete.good.yaml");
  for (const auto& key : daemon_keys()) EXPECT_TRUE(is_written(key, daemon)) << key;
}

TEST(Reference, ThePageHasEveryKeyAndNoOther) {
  auto known = daemon_keys();
  known.merge(service_keys());
  auto documented = documented_keys();
  for (const auto& key : known) EXPECT_TRUE(documented.contains(key)) << key << " is not in docs/configuration.md";
  for (const auto& key : documented) EXPECT_TRUE(known.contains(key)) << key << " is in docs/configuration.md only";
}

}  // namespace
}  // namespace shiftd
