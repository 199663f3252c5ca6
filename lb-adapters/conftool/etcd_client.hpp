#pragma once

// etcd's v2 keys API over several endpoints. An attempt that fails goes on at the next endpoint; a definite answer,
// also a no, is the answer.

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/io/clock.hpp"
#include "daemon/io/http_client.hpp"
#include "daemon/io/task.hpp"
#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/conftool/etcd_reply.hpp"

namespace shiftd::conftool {

class EtcdClient {
 public:
  EtcdClient(Clock& clock, const ConftoolOptions& options);

  // What etcd said, and the moment of its store at which it said it.
  struct Answer {
    EtcdReply reply;
    std::uint64_t index = 0;  // X-Etcd-Index
  };

  // Agreed on by a quorum, so never the past.
  // Fails with: not_found; unreachable, timed_out, unauthenticated, refused, unavailable, unexpected_reply.
  Task<Result<Answer>> get(std::string key);

  // Sets `key` if it is still at `index`. Repeated at the next endpoint it cannot be done twice, because whichever
  // attempt lands first moves the index.
  // Fails with: conflict, not_found, unauthenticated, refused, unreachable: this call has not written, and will not.
  //             timed_out: it may have, or still may.
  Task<Result<Answer>> compare_and_swap(std::string key, std::uint64_t index, std::string value);

  // Returns when anything under `key` has changed at `index` or later, when `at_most` has passed, or when this cannot be
  // waited for (then false, soon). What has changed has to be read.
  Task<bool> wait(std::string key, std::uint64_t index, Duration at_most);

  // Names the cluster that answered first; empty until one did.
  [[nodiscard]] const std::string& cluster() const { return cluster_; }

 private:
  Task<Result<Answer>> ask(HttpRequest request, bool writes);
  Task<Result<Answer>> ask_one(HttpRequest request, std::string endpoint, Duration limit);
  Result<HttpRequest> addressed(HttpRequest request, const std::string& endpoint) const;

  Clock& clock_;
  std::vector<std::string> endpoints_;
  std::string credentials_;
  TlsFiles tls_;
  Duration attempt_limit_;
  std::size_t current_ = 0;  // the endpoint that answered last
  std::string cluster_;
};

}  // namespace shiftd::conftool
