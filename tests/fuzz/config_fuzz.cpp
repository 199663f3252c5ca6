// Any bytes, as shiftd.yaml and as a service's file: errors are found or not, and nothing else happens.

#include <cstddef>
#include <cstdint>
#include <string>

#include "daemon/config/sections.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  shiftd::yaml::Document daemon("/nonexistent/shiftd.yaml", text);
  shiftd::read_daemon_file(daemon);
  shiftd::yaml::Document service("/nonexistent/web.yaml", text);
  shiftd::read_service_file(service);
  for (const auto& error : daemon.errors()) {
    if (error.line < 1 || error.column < 1 || error.text.empty()) __builtin_trap();
  }
  for (const auto& error : service.errors()) {
    if (error.line < 1 || error.column < 1 || error.text.empty()) __builtin_trap();
  }
  return 0;
}
