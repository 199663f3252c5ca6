#pragma once

// The stable JSON form of records, as the journal keeps them and the API shows them:
//
//   {"v":1,"at":1764000000007,"is":"host_moved","host":"web3","phase":"draining"}
//
// Hosts, pools and members go by name, so that a record can be read without the plan; times are milliseconds since 1970, UTC.
// Fields that say nothing (empty, 0, false) are left out. What a store holds is kept byte for byte: as text, or as
// {"hex":"ff00"} where it is no UTF-8; in every other text what is no UTF-8 is replaced. Unknown fields are ignored, so that an older
// reader can follow; a record of a newer version or an unknown kind is refused.

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/engine/record.hpp"

namespace shiftd {

inline constexpr int record_version = 1;

// Encodes and decodes the records of one rollout, in their order: the plan, once seen, gives hosts and members their
// names. Copyable; one thread at a time.
class Codec {
 public:
  std::string encode(const Record& record);
  // Fails with bad_input: what is wrong, and in which field.
  Result<Record> decode(std::string_view text);

  struct Names {
    std::vector<std::string> hosts;
    std::vector<std::string> members;  // "lb1/app/web3": pool and name
    std::vector<std::string> pools;
    std::unordered_map<std::string, PoolIndex> pool_index;
    std::unordered_map<std::string, HostIndex> host_index;
    std::unordered_map<std::string, MemberIndex> member_index;
    std::size_t stages = 0;
  };

 private:
  void learn(const Record& record);

  Names names_;
};

// Folds a rollout from its journal. Fails with bad_input, naming the record.
Result<Rollout> fold(const std::vector<std::string>& records, Codec& codec);

// The plan alone, as the API shows it.
std::string to_json(const Plan& plan);

}  // namespace shiftd
