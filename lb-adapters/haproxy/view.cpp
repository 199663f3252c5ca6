// The traffic view: what HAProxy does with the servers of one backend, all read in one exchange.

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/runtime_socket.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"
#include "lb-adapters/haproxy/view_rules.hpp"

namespace shiftd {
namespace {

using namespace haproxy;

class HaproxyView final : public TrafficView {
 public:
  HaproxyView(Clock& clock, HaproxyOptions options)
      : options_(std::move(options)), socket_(clock, options_.socket, options_.timeout), name_(options_.name + "/" + options_.backend) {
    if (!options_.master_socket.empty()) master_.emplace(clock, options_.master_socket, options_.timeout);
  }

  const std::string& name() const override { return name_; }

  Task<Result<ViewReading>> read() override {
    auto reading = co_await look();
    if (!reading) co_return std::move(reading).error().during("view " + name_);
    co_return std::move(*reading);
  }

 private:
  Task<Result<std::size_t>> old_workers() {
    if (!master_) co_return std::size_t{0};
    auto processes = co_await master_->ask_master("show proc");
    if (!processes) co_return std::move(processes).error();
    co_return parse_old_workers(*processes);
  }

  Task<Result<ViewReading>> look() {
    if (!is_name(options_.backend)) co_return Failure{Errc::bad_input, in_quotes(options_.backend) + " cannot be the name of a backend"};
    // Asked before the workers: a reload in between is then seen as a new epoch, not missed.
    auto old = co_await old_workers();
    if (!old) co_return std::move(old).error();
    std::vector<std::string> commands{"show info", "show stat " + options_.backend + " 4 -1", "show servers state " + options_.backend};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error();
    auto process = parse_info((*replies)[0]);
    if (!process) co_return std::move(process).error();
    auto rows = parse_stat((*replies)[1]);
    if (!rows) co_return std::move(rows).error();
    auto servers = parse_servers_state((*replies)[2]);
    if (!servers) co_return std::move(servers).error();

    std::map<std::string, StatRow> row_of;
    for (auto& row : *rows) {
      auto server = row.server;
      row_of.insert_or_assign(std::move(server), std::move(row));
    }
    ViewReading reading;
    reading.epoch = process->epoch();
    for (const auto& server : *servers) {
      auto found = row_of.find(server.server);
      MemberView view;
      if (found == row_of.end()) {
        view.why = "HAProxy lists the server and has no statistics of it";
      } else {
        view = view_of(found->second, server, *old);
      }
      reading.members.emplace_back(server.server, std::move(view));
    }
    std::sort(reading.members.begin(), reading.members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    co_return reading;
  }

  HaproxyOptions options_;
  RuntimeSocket socket_;
  std::optional<RuntimeSocket> master_;
  std::string name_;
};

}  // namespace

std::unique_ptr<TrafficView> make_haproxy_view(Clock& clock, HaproxyOptions options) {
  return std::make_unique<HaproxyView>(clock, std::move(options));
}

}  // namespace shiftd
