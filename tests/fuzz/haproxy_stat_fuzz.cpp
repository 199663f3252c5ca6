// Whatever a runtime socket answers: the parsers return, and what they accept can be counted. Nothing here throws.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lb-adapters/haproxy/counts.hpp"
#include "lb-adapters/haproxy/log_line.hpp"
#include "lb-adapters/haproxy/member_value.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"
#include "lb-adapters/haproxy/view_rules.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shiftd::haproxy;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)split_replies(text, 3);
  (void)accepted(text);
  (void)parse_info(text);
  (void)parse_old_workers(text);
  (void)parse_log_line(text);
  if (auto value = parse_member_value(text); value && to_string(*value).size() > size) std::abort();
  if (auto revision = parse_revision(text); revision && revision->epoch.size() >= size) std::abort();

  auto rows = parse_stat(text);
  if (rows) {
    RequestCounts counts;
    (void)counts.advance("1:1", {});
    (void)counts.advance("1:1", *rows);
    (void)counts.advance("2:1", *rows);
    RequestCounts restored;
    if (!restored.restore(counts.checkpoint())) std::abort();
    for (const auto& row : *rows) (void)view_of(row, {}, 0);
  }
  RequestCounts counts;
  (void)counts.restore(std::string(text));
  auto servers = parse_servers_state(text);
  if (servers) {
    for (const auto& server : *servers) (void)setting_of(value_of(server));
  }
  return 0;
}
