#include "daemon/config/config.hpp"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "daemon/config/sections.hpp"
#include "daemon/config/units.hpp"

namespace shiftd {
namespace {

constexpr std::size_t largest_file = 8 << 20;

// The files that a pattern names, in order.
std::vector<std::string> expand(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> files;
  if (::glob(pattern.c_str(), 0, nullptr, &found) == 0) files.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  ::globfree(&found);
  return files;
}

class Loader {
 public:
  boost::system::result<Config, ConfigErrors> load(const std::filesystem::path& shiftd_yaml) {
    auto text = read_whole_file(shiftd_yaml);
    if (!text) return ConfigErrors{{{shiftd_yaml.string(), 1, 1, text.error().what}}};
    yaml::Document document(shiftd_yaml, *text);
    config_.daemon = read_daemon_file(document);
    find_services(document);
    take_errors(document);
    for (const auto& file : config_.daemon.services) load_service(file);
    check_tested_in();
    if (!errors_.empty()) return ConfigErrors{std::move(errors_)};
    return std::move(config_);
  }

 private:
  void find_services(yaml::Document& document) {
    auto patterns = std::exchange(config_.daemon.services, {});
    std::set<std::string> seen;
    for (std::size_t i = 0; i < patterns.size(); ++i) {
      if (patterns[i].empty()) continue;  // could not be read
      auto files = expand(patterns[i]);
      if (files.empty()) {
        document.refuse_at("services[" + std::to_string(i) + "]",
                           "there is no file " + in_quotes(patterns[i]) + ": write a path or a pattern such as services/*.yaml");
      }
      for (auto& file : files) {
        if (seen.insert(file).second) config_.daemon.services.push_back(std::move(file));
      }
    }
  }

  void load_service(const std::string& file) {
    auto text = read_whole_file(file);
    if (!text) {
      errors_.push_back({file, 1, 1, text.error().what});
      return;
    }
    auto document = std::make_unique<yaml::Document>(file, *text);
    auto service = read_service_file(*document);
    auto [first, is_new] = service_files_.emplace(service.name, file);
    if (!is_new && !service.name.empty()) {
      document->refuse_at("service", in_quotes(service.name) + " is the service of " + first->second + " too: give each its own name");
    }
    if (service.tested_in.empty())
      take_errors(*document);
    else
      tested_in_.push_back({service.name, service.tested_in, std::move(document)});
    config_.services.push_back(std::move(service));
  }

  // Once every service is known.
  void check_tested_in() {
    for (auto& [name, where, document] : tested_in_) {
      if (name == where || !service_files_.contains(where))
        document->refuse_at("tested_in", in_quotes(where) + " is no other service of this shiftd: write the name of one");
      take_errors(*document);
    }
  }

  void take_errors(const yaml::Document& document) {
    auto found = document.errors();
    errors_.insert(errors_.end(), found.begin(), found.end());
  }

  Config config_;
  std::vector<ConfigError> errors_;
  std::map<std::string, std::string> service_files_;
  struct TestedIn {
    std::string service;
    std::string where;
    std::unique_ptr<yaml::Document> document;
  };
  std::vector<TestedIn> tested_in_;
};

}  // namespace

Result<std::string> read_whole_file(const std::filesystem::path& file) {
  auto refuse = [](std::string_view why) { return Failure{Errc::not_found, "cannot read this file: " + std::string(why)}; };
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0) return refuse(std::strerror(errno));
  if (!S_ISREG(about.st_mode)) return refuse("it is no regular file");  // opening a pipe would wait
  std::ifstream input(file, std::ios::binary);
  if (!input) return refuse(std::strerror(errno));
  std::string text(std::min<std::size_t>(static_cast<std::size_t>(about.st_size), largest_file) + 1, '\0');
  input.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(input.gcount()));
  if (input.bad()) return refuse("reading it failed");
  if (text.size() > largest_file) return refuse("it is larger than 8 MiB, which is no configuration");
  return text;
}

std::string name_of(const PoolConfig& pool) {
  if (const auto* conftool = std::get_if<ConftoolPool>(&pool))
    return conftool->options.dc + "/" + conftool->options.cluster + "/" + conftool->options.service;
  const auto& haproxy = std::get<HaproxyPool>(pool);
  return haproxy.options.name + "/" + haproxy.options.backend;
}

std::string to_string(const ConfigError& error) {
  return error.file + ":" + std::to_string(error.line) + ":" + std::to_string(error.column) + ": " + error.text;
}

std::string to_string(const ConfigErrors& errors) {
  std::string lines;
  for (const auto& error : errors.all) lines += to_string(error) + "\n";
  return lines;
}

void throw_exception_from_error(const ConfigErrors& errors, const boost::source_location&) { throw std::runtime_error(to_string(errors)); }

boost::system::result<Config, ConfigErrors> load_config(const std::filesystem::path& shiftd_yaml) { return Loader().load(shiftd_yaml); }

}  // namespace shiftd
