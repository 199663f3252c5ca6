#pragma once

// A configuration as part of a release: a manifest that names the files of a host, their mustache templates, and the
// variables that they are rendered with. It is known by the digest of all these files.

#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace shiftd {

// What stands for a name in a template. A flag opens or closes a section; everything else may stand for itself.
struct Variable {
  struct Field;  // (a std::pair would want to know too early what it holds)
  using List = std::vector<Variable>;
  using Fields = std::vector<Field>;
  std::variant<std::string, bool, List, Fields> value;
};
struct Variable::Field {
  std::string name;
  Variable value;
};
using Variables = std::map<std::string, Variable, std::less<>>;

// The variables of a configuration; what is more particular wins: all, environment, dc, cluster, host.
struct Scopes {
  Variables all;
  std::map<std::string, Variables, std::less<>> environments;
  std::map<std::string, Variables, std::less<>> dcs;
  std::map<std::string, Variables, std::less<>> clusters;
  std::map<std::string, Variables, std::less<>> hosts;
};

struct ConfigurationFile {
  std::string template_name;  // in the configuration's directory
  std::string text;           // of the template
  std::string path;           // on the host; {{host}} and its kind allowed
  std::string mode = "0644";
  std::string owner;     // "web" or "web:web"; empty: whoever the SSH user is
  std::string validate;  // command on the host that says whether {{file}} is good; empty: not asked
  bool secret = false;   // its contents are never shown
};

struct Configuration {
  std::string directory;  // where it was read, for messages
  std::vector<ConfigurationFile> files;
  Scopes scopes;
  std::map<std::string, std::string> contents;  // every file that it consists of, by its name in the directory
};

// What every template may name of the host it is rendered for. Empty ones are unknown.
struct HostFacts {
  std::string service;
  std::string environment;
  std::string dc;
  std::string cluster;
  std::string host;
  std::string address;
};

// 64 lower case hex digits over the names and bytes of all contents.
std::string digest_of(const Configuration& configuration);

// A release's name on the hosts: its code's digest, and its configuration's when it has one.
struct ReleaseParts {
  std::string code;
  std::string configuration;  // empty: none
};
ReleaseParts parts_of(const std::string& release);
std::string name_of(const ReleaseParts& parts);

}  // namespace shiftd
