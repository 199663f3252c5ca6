// The front end that counts from `show stat`: every row of one exchange is of one instant.

#include <utility>

#include "lb-adapters/haproxy/counts.hpp"
#include "lb-adapters/haproxy/haproxy.hpp"
#include "lb-adapters/haproxy/runtime_reply.hpp"
#include "lb-adapters/haproxy/runtime_socket.hpp"
#include "lb-adapters/haproxy/stat_csv.hpp"

namespace shiftd {
namespace {

using namespace haproxy;

class HaproxyFrontEnd final : public FrontEnd {
 public:
  HaproxyFrontEnd(Clock& clock, HaproxyOptions options)
      : options_(std::move(options)), socket_(clock, options_.socket, options_.timeout), name_(options_.name + "/" + options_.backend) {}

  const std::string& name() const override { return name_; }

  Task<Result<CountsReading>> poll() override {
    auto reading = co_await count();
    if (!reading) co_return std::move(reading).error().during("counts of " + name_);
    co_return std::move(*reading);
  }

  std::string checkpoint() const override { return counts_.checkpoint(); }
  Result<void> restore(const std::string& checkpoint) override { return counts_.restore(checkpoint); }

 private:
  Task<Result<CountsReading>> count() {
    if (!is_name(options_.backend)) co_return Failure{Errc::bad_input, in_quotes(options_.backend) + " cannot be the name of a backend"};
    std::vector<std::string> commands{"show info", "show stat " + options_.backend + " 6 -1"};
    auto replies = co_await socket_.ask(std::move(commands));
    if (!replies) co_return std::move(replies).error();
    auto process = parse_info((*replies)[0]);
    if (!process) co_return std::move(process).error();
    auto rows = parse_stat((*replies)[1]);
    if (!rows) co_return std::move(rows).error();
    co_return counts_.advance(process->epoch(), *rows);
  }

  HaproxyOptions options_;
  RuntimeSocket socket_;
  std::string name_;
  RequestCounts counts_;
};

}  // namespace

std::unique_ptr<FrontEnd> make_haproxy_front_end(Clock& clock, HaproxyOptions options) {
  return std::make_unique<HaproxyFrontEnd>(clock, std::move(options));
}

}  // namespace shiftd
