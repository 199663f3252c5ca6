#pragma once

// A folder that is gone at the end of the test, with the files that configurations in the tests refer to: id_ed25519,
// known_hosts, token.

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace shiftd {

// The files that tests read: NAME.good.yaml, NAME.bad.yaml.
inline const std::filesystem::path config_data = std::filesystem::path(SHIFTD_SOURCE_DIR) / "tests/data/config";

class ConfigFolder {
 public:
  ConfigFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "shiftd-config-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot create " + name);
    path_ = name;
    for (auto file : {"id_ed25519", "known_hosts", "token"}) {
      write(file, "not a secret\n");
      close(file);
    }
  }
  ~ConfigFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ConfigFolder(const ConfigFolder&) = delete;
  ConfigFolder& operator=(const ConfigFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  std::filesystem::path write(std::string_view file, std::string_view content) const {
    auto where = path_ / file;
    std::ofstream(where, std::ios::binary) << content;
    return where;
  }
  void close(std::string_view file) const {
    using std::filesystem::perms;
    std::filesystem::permissions(path_ / file, perms::owner_read | perms::owner_write);
  }
  void open(std::string_view file) const {
    std::filesystem::permissions(path_ / file, std::filesystem::perms::others_read, std::filesystem::perm_options::add);
  }

  // What an error says, with the folder's changing name as FOLDER.
  [[nodiscard]] std::string anonymous(std::string text) const {
    auto name = path_.string();
    for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at)) text.replace(at, name.size(), "FOLDER");
    return text;
  }

 private:
  std::filesystem::path path_;
};

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream input(file, std::ios::binary);
  if (!input) throw std::runtime_error("cannot read " + file.string());
  std::ostringstream content;
  content << input.rdbuf();
  return content.str();
}

}  // namespace shiftd
