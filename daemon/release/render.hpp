#pragma once

// A configuration's files for one host: mustache templates (mustache(5)), with nothing left open. A name that nobody gave
// a value is an error, not an empty text, and no character is escaped: these are no web pages.

#include <string>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/release/configuration.hpp"

namespace shiftd {

struct RenderedFile {
  std::string key;   // of its path: 16 hex digits
  std::string path;  // on the host
  std::string text;
  std::string digest;  // of the text
  std::string mode;
  std::string owner;
  std::string validate;  // {{file}} still in it
  bool secret = false;
};

inline constexpr std::size_t rendered_most = 1 << 20;      // bytes of one file
inline constexpr std::size_t rendered_most_all = 8 << 20;  // of all files of a host

// Fails with bad_input, naming the template and the line: an unknown variable, a template that is no mustache, a file
// that becomes too large, two files with one path.
Result<std::vector<RenderedFile>> render(const Configuration& configuration, const HostFacts& facts);

// What all of a host's files are known by: their paths, modes, owners and texts.
std::string digest_of(const std::vector<RenderedFile>& files);

}  // namespace shiftd
