#pragma once

// Where shiftd keeps each configuration that was ever started, by its digest, so that what a rollout began with can be
// rendered until its end: whoever changes the files meanwhile changes nothing.
//
// One process and one thread use a store. Its calls read and write small local files and do not wait.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/base/failure.hpp"
#include "daemon/release/configuration.hpp"

namespace shiftd {

// Reads the configuration in a directory. Fails with bad_input: what is wrong, with file and line.
using ReadConfiguration = std::function<Result<Configuration>(const std::string& directory)>;

class ConfigurationStore {
 public:
  // `folder` is made when it is first needed, with everybody else kept out: configurations may hold secrets.
  ConfigurationStore(std::string folder, ReadConfiguration read) : folder_(std::move(folder)), read_(std::move(read)) {}

  // Keeps a copy of what is in `directory` now, and returns its digest.
  // Fails with bad_input (as reading it does), unavailable (the copy cannot be written).
  Result<std::string> keep(const std::string& directory);

  // The copy with this digest. Fails with bad_input: there is none, or it is not what was kept.
  Result<std::shared_ptr<const Configuration>> find(const std::string& digest);

 private:
  std::string folder_;
  ReadConfiguration read_;
  std::map<std::string, std::shared_ptr<const Configuration>> read_already_;
};

}  // namespace shiftd
