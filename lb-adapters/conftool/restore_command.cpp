#include "lb-adapters/conftool/restore_command.hpp"

#include <algorithm>
#include <cstdio>

#include "daemon/base/shell.hpp"

namespace shiftd::conftool {
namespace {

// Readable where that is exact on one line.
std::string form_value(std::string_view value) {
  bool plain = std::all_of(value.begin(), value.end(), [](unsigned char c) { return c >= ' ' && c != 0x7f; });
  if (plain) return "--data-urlencode " + shell_quote("value=" + std::string(value));
  std::string encoded;
  for (unsigned char c : value) {
    char escape[4];
    std::snprintf(escape, sizeof escape, "%%%02X", c);
    encoded += escape;
  }
  return "--data 'value=" + encoded + "'";
}

}  // namespace

std::string restore_command(const ConftoolOptions& options, std::string_view key, std::string_view value) {
  std::string command;
  if (!options.credentials.empty()) {
    command += R"~(sed -nE 's/^username: *"?([^"]*)"?$/u=\1/p; s/^password: *"?([^"]*)"?$/p=\1/p' )~" + shell_quote(options.credentials) +
               R"~( | awk '/^u=/ {u = substr($0, 3)} /^p=/ {p = substr($0, 3)} END {print "user = \"" u ":" p "\""}' | )~";
  }
  command += options.credentials.empty() ? "curl -sS --fail-with-body -X PUT" : "curl -K - -sS --fail-with-body -X PUT";
  auto endpoint = options.endpoints.empty() ? std::string() : options.endpoints.front();
  if (endpoint.starts_with("https://")) {
    if (!options.tls.ca.empty()) command += " --cacert " + shell_quote(options.tls.ca);
    if (!options.tls.certificate.empty())
      command += " --cert " + shell_quote(options.tls.certificate) + " --key " + shell_quote(options.tls.key);
  }
  return command + " " + form_value(value) + " " + shell_quote(endpoint + "/v2/keys" + std::string(key) + "?prevExist=true");
}

}  // namespace shiftd::conftool
