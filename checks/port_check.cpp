#include "checks/checks.hpp"
#include "checks/target_address.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

Task<Result<void>> can_connect(Address address) {
  auto socket = co_await connect_to(std::move(address));
  if (!socket) co_return std::move(socket).error();
  co_return Result<void>{};
}

class Port final : public Check {
 public:
  Port(Clock& clock, PortCheck spec) : clock_(clock), spec_(std::move(spec)) {}

  [[nodiscard]] const std::string& name() const override { return spec_.name; }

  Task<CheckResult> ask(CheckTarget target) override {
    auto address = address_of(target, spec_.port);
    if (!address) co_return CheckResult{CheckStatus::unknown, address.error().what};
    auto connected = co_await within(clock_, spec_.timeout, can_connect(*address));
    if (connected) co_return CheckResult{CheckStatus::ok, "connected to " + to_string(*address)};
    if (connected.error().code != Errc::timed_out) co_return CheckResult{CheckStatus::critical, connected.error().what};
    co_return CheckResult{CheckStatus::critical, connected.error().during("connect " + to_string(*address)).what};
  }

 private:
  Clock& clock_;
  PortCheck spec_;
};

}  // namespace

Result<std::shared_ptr<Check>> make_check(Clock& clock, PortCheck spec) {
  if (!is_port_or_none(spec.port)) return Failure{Errc::bad_input, "port must be 1..65535, not " + std::to_string(spec.port)};
  if (spec.timeout <= Duration::zero()) return Failure{Errc::bad_input, "timeout must be more than 0"};
  if (spec.name.empty()) spec.name = spec.port == 0 ? "port" : "port " + std::to_string(spec.port);
  return std::shared_ptr<Check>(std::make_shared<Port>(clock, std::move(spec)));
}

}  // namespace shiftd
