#pragma once

// What etcd's v2 keys API answers, from bytes to values. Pure; nothing from the socket is trusted.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"

namespace shiftd::conftool {

struct EtcdNode {
  std::string key;
  std::optional<std::string> value;  // none: a directory
  std::uint64_t index = 0;           // modifiedIndex

  bool operator==(const EtcdNode&) const = default;
};

// `node` of the answer, and for a directory what lies directly in it.
struct EtcdReply {
  EtcdNode node;
  std::vector<EtcdNode> children;
};

// The body of a 200 or 201.
// Fails with unexpected_reply.
Result<EtcdReply> parse_keys(std::string_view body);

// What any other answer says.
// not_found, conflict (the comparison failed), unauthenticated, refused: etcd has done nothing. unavailable: it cannot
// serve now, and whether a write was done is unknown. unexpected_reply.
Failure failure_of(int status, std::string_view body);

// A header that counts: X-Etcd-Index.
std::optional<std::uint64_t> parse_index(std::string_view text);

}  // namespace shiftd::conftool
