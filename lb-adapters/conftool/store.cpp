// The pool store: the objects of one conftool service, read through a quorum and written by compare-and-swap.

#include <algorithm>
#include <utility>

#include "lb-adapters/conftool/conftool.hpp"
#include "lb-adapters/conftool/etcd_client.hpp"
#include "lb-adapters/conftool/member_value.hpp"
#include "lb-adapters/conftool/restore_command.hpp"

namespace shiftd {
namespace {

using namespace conftool;

class ConftoolPoolStore final : public PoolStore {
 public:
  ConftoolPoolStore(Clock& clock, ConftoolOptions options)
      : clock_(clock),
        options_(std::move(options)),
        etcd_(clock, options_),
        name_(options_.dc + "/" + options_.cluster + "/" + options_.service),
        folder_(options_.prefix + "/" + name_) {
    capabilities_.weight_most = options_.weight_most;
    capabilities_.shares_requests = options_.shares_requests;
    capabilities_.cuts_connections = options_.cuts_connections;
    capabilities_.writes_per_second = options_.writes_per_second;
    capabilities_.conditional_writes = true;
    capabilities_.survives_restart = true;
  }

  const std::string& name() const override { return name_; }
  const Capabilities& capabilities() const override { return capabilities_; }

  Task<Result<PoolReading>> read() override {
    auto answer = co_await etcd_.get(folder_);
    if (!answer) co_return std::move(answer).error().during("read pool " + name_);
    if (answer->reply.node.value) co_return Failure{Errc::unexpected_reply, "read pool " + name_ + ": " + folder_ + " is no directory"};
    PoolReading reading;
    reading.epoch = etcd_.cluster();
    reading.cursor = std::to_string(answer->index + 1);
    for (const auto& node : answer->reply.children) {
      auto name = node.key.substr(node.key.rfind('/') + 1);
      if (!node.value || !is_key_part(name)) continue;  // a directory is no host
      auto setting = parse_value(*node.value, options_.weight_most);
      auto malformed = setting ? std::string() : setting.error().what;
      reading.members.push_back({std::move(name), observed(node, setting ? *setting : Setting{}), std::move(malformed)});
    }
    std::sort(reading.members.begin(), reading.members.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    co_return reading;
  }

  // An event only wakes us: what has changed is always read anew, so a lost or an outdated watch costs time and nothing
  // else.
  Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) override {
    auto until = clock_.steady() + at_most;
    auto from = parse_index(last.cursor);
    while (true) {
      if (from) co_await wait_for_change(*from, until);
      auto now = co_await read();
      if (!now || now->epoch != last.epoch || now->members != last.members || clock_.steady() >= until) co_return now;
      from = parse_index(now->cursor);
    }
  }

  Task<Result<WriteOutcome>> write(MemberWrite wanted) override {
    auto activity = "write " + name_ + "/" + wanted.member;
    auto outcome = co_await write_member(std::move(wanted));
    if (!outcome) co_return std::move(outcome).error().during(activity);
    co_return std::move(*outcome);
  }

  std::string restore_command(std::string_view member, const Observed& original) const override {
    if (!is_key_part(member)) return "# " + name_ + ": '" + std::string(member) + "' cannot be the name of a host";
    return conftool::restore_command(options_, key_of(member), original.bytes.empty() ? value_for(original.setting) : original.bytes);
  }

 private:
  [[nodiscard]] std::string key_of(std::string_view member) const { return folder_ + "/" + std::string(member); }

  [[nodiscard]] Observed observed(const EtcdNode& node, const Setting& setting) const {
    return {setting, node.value.value_or(std::string()), to_string(Revision{etcd_.cluster(), node.index})};
  }

  // What the store holds, as long as it can be understood.
  Result<Observed> understood(const EtcdNode& node) const {
    if (!node.value) return Failure{Errc::refused, node.key + " is a directory"};
    auto setting = parse_value(*node.value, options_.weight_most);
    if (!setting) {
      return Failure{Errc::refused, "it holds a value that cannot be understood and is never overwritten: " + setting.error().what};
    }
    return observed(node, *setting);
  }

  Task<> wait_for_change(std::uint64_t from, Steady until) {
    auto left = until - clock_.steady();
    if (left <= Duration(0)) co_return;
    bool waited = co_await etcd_.wait(folder_, from, left);
    if (!waited) co_await clock_.sleep_until(std::min(until, clock_.steady() + options_.poll_interval));
  }

  // Fails with bad_input for what is never written: a deploy says `no`, and IPVS has no weight 0.
  Result<void> check(const MemberWrite& wanted) const {
    if (!is_key_part(wanted.member)) return Failure{Errc::bad_input, "'" + wanted.member + "' cannot be the name of a host"};
    auto setting = wanted.bytes.empty() ? wanted.setting : Setting{};
    if (!wanted.bytes.empty()) {
      auto parsed = parse_value(wanted.bytes, options_.weight_most);
      if (!parsed) return std::move(parsed).error();
      setting = *parsed;
    }
    if (setting.pooled == Pooled::inactive) return Failure{Errc::bad_input, "inactive is never written: use no"};
    bool verbatim = !wanted.bytes.empty();  // an original of `no` may have weight 0
    if (setting.weight < (verbatim ? 0 : 1) || setting.weight > options_.weight_most) {
      return Failure{Errc::bad_input,
                     "weight " + std::to_string(setting.weight) + ": weights are 1 to " + std::to_string(options_.weight_most)};
    }
    return {};
  }

  // Verbatim, unless another of its fields has been changed meanwhile: that stays as it is.
  static std::string value_of(const MemberWrite& wanted, const std::string& now) {
    auto set = with_setting(now, wanted.setting);
    bool verbatim = !wanted.bytes.empty() && set == with_setting(wanted.bytes, wanted.setting);
    return verbatim ? wanted.bytes : set;
  }

  Task<Result<WriteOutcome>> write_member(MemberWrite wanted) {
    if (auto possible = check(wanted); !possible) co_return possible.error();
    auto based_on = parse_revision(wanted.based_on);
    if (!based_on) co_return std::move(based_on).error();

    auto key = key_of(wanted.member);
    auto before = co_await etcd_.get(key);
    if (!before) {
      auto failure = std::move(before).error();
      if (failure.code == Errc::timed_out) failure.code = Errc::unreachable;  // nothing but a question was sent
      co_return failure;
    }
    const auto& node = before->reply.node;
    auto current = understood(node);
    if (!current) co_return std::move(current).error();

    // The index has moved: no write of ours that was based on it can land any more. At the same index one still could,
    // so there what is wanted is written even if it is there already: that is what settles it.
    bool moved = based_on->epoch != etcd_.cluster() || based_on->index != node.index;
    auto bytes = value_of(wanted, *node.value);
    if (moved && current->bytes == bytes) co_return Written{std::move(*current), based_on->epoch == etcd_.cluster()};
    // Another cluster's index says nothing. Whoever filled that etcd has not changed this member since we knew it.
    if (moved && based_on->epoch == etcd_.cluster()) co_return ForeignChange{std::move(*current)};

    auto index = node.index;
    co_return co_await swap(std::move(key), index, std::move(bytes));
  }

  Task<Result<WriteOutcome>> swap(std::string key, std::uint64_t index, std::string bytes) {
    auto swapped = co_await etcd_.compare_and_swap(key, index, bytes);
    if (!swapped && swapped.error().code == Errc::conflict) co_return co_await after_conflict(std::move(key), std::move(bytes));
    if (!swapped) co_return std::move(swapped).error();
    const auto& node = swapped->reply.node;
    auto now = understood(node);
    if (!now || now->bytes != bytes) co_return Failure{Errc::timed_out, "etcd says that it has written something else than it was given"};
    co_return Written{std::move(*now)};
  }

  // Somebody was faster: we ourselves, when an attempt that was given up has landed, or somebody else.
  Task<Result<WriteOutcome>> after_conflict(std::string key, std::string bytes) {
    auto after = co_await etcd_.get(std::move(key));
    if (!after) co_return Failure{Errc::timed_out, after.error().what};
    auto found = understood(after->reply.node);
    if (!found) co_return std::move(found).error();
    if (found->bytes == bytes) co_return Written{std::move(*found)};
    co_return ForeignChange{std::move(*found)};
  }

  Clock& clock_;
  ConftoolOptions options_;
  EtcdClient etcd_;
  std::string name_;
  std::string folder_;
  Capabilities capabilities_;
};

}  // namespace

std::unique_ptr<PoolStore> make_conftool_pool_store(Clock& clock, ConftoolOptions options) {
  return std::make_unique<ConftoolPoolStore>(clock, std::move(options));
}

}  // namespace shiftd
