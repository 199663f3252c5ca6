#pragma once

// What was asked on the command line.

#include <optional>
#include <string>
#include <vector>

namespace shiftd {

struct Options {
  std::string command;  // "start", "release-hold" ...
  std::string socket;
  std::string url;  // wins over the socket
  std::string token_file;
  bool json = false;

  std::string service;
  std::string release;
  std::string source;
  std::string sha256;
  std::string config;
  std::vector<std::string> limit;
  std::string out;   // plan: a file to save it in
  std::string plan;  // start: a saved plan
  std::string reason;
  bool instead_of_verdict = false;  // promote --override
  bool instead_of_views = false;    // rollback --force
  bool no_watch = false;
  bool untested = false;
  bool irreversible = false;
  bool reboot = false;  // restart --reboot
  bool wait = false;

  std::string rollout;  // empty: the newest
  std::string host;
  std::string metric;
  bool follow = false;
  bool watch = false;
  std::string journal;

  // verdict replay and calibrate
  std::vector<std::string> files;
  std::vector<std::string> settings;
  bool explain = false;
  bool ticks = false;
  int canaries = 0;
};

// The options, or what to end with at once: help and mistakes have been printed by then.
std::optional<Options> parse_options(int count, const char* const* words, int& ending);

}  // namespace shiftd
