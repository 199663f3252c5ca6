// The pool store: one backend's servers, their state and weight, written one at a time and read back.

#include <algorithm>
#include <utility>

#include "daemon/base/shell.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/haproxy/member_value.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/runtime_socket.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd {
namespace {

using namespace haproxy;

struct Snapshot {
  ProcessInfo process;
  std::vector<ServerState> servers;

  [[nodiscard]] Result<ServerState> find(std::string_view server) const {
    for (const auto& known : servers) {
      if (known.server == server) return known;
    }
    return Failure{Errc::not_found, "HAProxy has no server " + in_quotes(server)};
  }
};

class HaproxyPoolStore final : public PoolStore {
 public:
  HaproxyPoolStore(Clock& clock, HaproxyOptions options)
      : clock_(clock),
        options_(std::move(options)),
        socket_(clock, options_.socket, options_.timeout),
        name_(options_.name + "/" + options_.backend) {
    capabilities_.weight_most = weight_most;
  }

  const std::string& name() const override { return name_; }
  const Capabilities& capabilities() const override { return capabilities_; }

  Task<Result<PoolReading>> read() override {
    auto reading = co_await read_pool();
    if (!reading) co_return std::move(reading).error().during("read pool " + name_);
    co_return std::move(*reading);
  }

  Task<Result<WriteOutcome>> write(MemberWrite wanted) override {
    auto activity = "write " + name_ + "/" + wanted.member;
    auto outcome = co_await write_member(std::move(wanted));
    if (!outcome) co_return std::move(outcome).error().during(activity);
    co_return std::move(*outcome);
  }

  Task<Result<PoolReading>> watch(PoolReading last, Duration at_most) override {
    auto until = clock_.steady() + at_most;
    while (true) {
      auto now = co_await read();
      if (!now || now->epoch != last.epoch || now->members != last.members || clock_.steady() >= until) co_return now;
      co_await clock_.sleep_until(std::min(until, clock_.steady() + options_.poll_interval));
    }
  }

  std::string restore_command(std::string_view member, const Observed& original) const override {
    auto value = parse_member_value(original.bytes);
    auto fallback = value_for(original.setting);
    if (!is_name(member) || (!value && !fallback)) return "# " + name_ + ": nothing is known to restore for " + in_quotes(member);
    auto server = options_.backend + "/" + std::string(member);
    const auto& to = value ? *value : *fallback;
    auto weight = "set weight " + server + " " + std::to_string(to.weight);
    auto state = "set server " + server + " state " + std::string(to_string(to.state));
    auto commands = to.state == AdminState::ready ? weight + "; " + state : state + "; " + weight;
    auto address = (options_.socket.starts_with('/') ? "unix-connect:" : "tcp:") + options_.socket;
    return "echo " + shell_quote(commands) + " | socat stdio " + shell_quote(address);
  }

 private:
  Result<void> check_names(std::string_view member) const {
    if (!is_name(options_.backend)) return Failure{Errc::bad_input, in_quotes(options_.backend) + " cannot be the name of a backend"};
    if (!is_name(member)) return Failure{Errc::bad_input, in_quotes(member) + " cannot be the name of a server"};
    return {};
  }

  Result<Snapshot> snapshot(const std::string& info, const std::string& state) const {
    auto process = parse_info(info);
    if (!process) return std::move(process).error();
    auto servers = parse_servers_state(state);
    if (!servers) return std::move(servers).error();
    std::sort(servers->begin(), servers->end(), [](const auto& a, const auto& b) { return a.server < b.server; });
    return Snapshot{*process, std::move(*servers)};
  }

  Task<Result<PoolReading>> read_pool() {
    if (auto named = check_names("-"); !named) co_return named.error();
    std::vector<std::string> commands{"show info", show_state(), "show stat " + options_.backend + " 2 -1"};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error();
    auto now = snapshot((*replies)[0], (*replies)[1]);
    if (!now) co_return std::move(now).error();
    auto backend = parse_stat((*replies)[2]);
    if (!backend) co_return std::move(backend).error();
    if (!backend->empty()) learn(backend->front());
    PoolReading reading;
    reading.epoch = now->process.epoch();
    for (const auto& server : now->servers) {
      PoolReading::Member member{server.server, observed(reading.epoch, value_of(server)), "", as_configured(server)};
      if (server.weight > weight_most) member.malformed = "impossible weight " + std::to_string(server.weight);
      reading.members.push_back(std::move(member));
    }
    co_return reading;
  }

  // Static algorithms take only 0% and 100%. Of the dynamic ones only round robin gives each server its share of the
  // requests (measured: docs/haproxy.md), and only where HAProxy balances requests and not connections.
  void learn(const StatRow& backend) {
    if (backend.algorithm.empty()) return;
    auto is = [&](std::string_view name) { return backend.algorithm == name; };
    capabilities_.weights_steer = is("roundrobin") || is("leastconn") || is("random");
    capabilities_.shares_requests = is("roundrobin") && backend.mode == "http";
  }

  std::string show_state() const { return "show servers state " + options_.backend; }

  Task<Result<Snapshot>> look() {
    std::vector<std::string> commands{"show info", show_state()};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error();
    co_return snapshot((*replies)[0], (*replies)[1]);
  }

  // One `set`, and what the same process then holds.
  Task<Result<Snapshot>> set(std::string command) {
    std::vector<std::string> commands{command, "show info", show_state()};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error().during(command);
    if (auto done = accepted((*replies)[0]); !done) co_return std::move(done).error().during(command);
    auto after = snapshot((*replies)[1], (*replies)[2]);
    // The command has run, whatever became of the reading.
    if (!after) co_return Failure{Errc::timed_out, after.error().what}.during("read back after " + command);
    co_return after;
  }

  Task<Result<WriteOutcome>> write_member(MemberWrite write) {
    if (auto named = check_names(write.member); !named) co_return named.error();
    auto based_on = parse_revision(write.based_on);
    if (!based_on) co_return std::move(based_on).error();

    auto before = co_await look();
    if (!before) {
      auto failure = std::move(before).error();
      if (failure.code == Errc::timed_out) failure.code = Errc::unreachable;  // nothing but a question was sent
      co_return failure;
    }
    auto server = before->find(write.member);
    if (!server) co_return std::move(server).error();
    auto current = value_of(*server);
    auto epoch = before->process.epoch();
    if (write.bytes.empty() ? setting_of(current) == write.setting : to_string(current) == write.bytes) {
      co_return Written{observed(epoch, current), based_on->epoch == epoch && based_on->value != current};
    }
    auto wanted = write.bytes.empty() ? value_for(write.setting) : parse_member_value(write.bytes);
    if (!wanted) co_return std::move(wanted).error();
    if (wanted->state == AdminState::maint) co_return Failure{Errc::bad_input, "HAProxy's maint state is never written"};
    // A new process has forgotten what was set. That is nobody's wish, so it is no reason to leave the server alone; what somebody
    // has set since then is.
    bool forgotten = based_on->epoch != epoch && as_configured(*server);
    if (!forgotten && based_on->value != current) co_return ForeignChange{observed(epoch, current)};

    co_return co_await set_and_compare(std::move(write.member), current, *wanted, std::move(*before));
  }

  // One command at a time: when the weight is refused, the server must not become ready with another one. The weight
  // is changed while the server is out, whichever way it goes.
  Task<Result<WriteOutcome>> set_and_compare(std::string member, MemberValue current, MemberValue wanted, Snapshot seen) {
    auto server = options_.backend + "/" + member;
    std::vector<std::string> commands;
    if (wanted.weight != current.weight) commands.push_back("set weight " + server + " " + std::to_string(wanted.weight));
    if (wanted.state != current.state) commands.push_back("set server " + server + " state " + std::string(to_string(wanted.state)));
    if (wanted.state != AdminState::ready) std::reverse(commands.begin(), commands.end());
    bool some_done = false;
    for (auto& command : commands) {
      auto after = co_await set(std::move(command));
      if (!after) {
        auto failure = std::move(after).error();
        // Half done is not nothing: only a later write settles it.
        if (some_done) failure.code = Errc::timed_out;
        co_return failure;
      }
      seen = std::move(*after);
      some_done = true;
    }
    auto found = seen.find(member);
    if (!found) co_return Failure{Errc::unexpected_reply, "the server is gone after the write"};
    auto value = value_of(*found);
    if (value != wanted) {
      co_return Failure{Errc::unexpected_reply, "wrote '" + to_string(wanted) + "' and read back '" + to_string(value) + "'"};
    }
    co_return Written{observed(seen.process.epoch(), value)};
  }

  Clock& clock_;
  HaproxyOptions options_;
  RuntimeSocket socket_;
  std::string name_;
  Capabilities capabilities_;
};

}  // namespace

std::unique_ptr<PoolStore> make_haproxy_pool_store(Clock& clock, HaproxyOptions options) {
  return std::make_unique<HaproxyPoolStore>(clock, std::move(options));
}

}  // namespace shiftd
