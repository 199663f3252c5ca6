#include <algorithm>
#include <cctype>

#include "checks/checks.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

constexpr std::string_view host_place = "{{host}}";
constexpr std::string_view address_place = "{{address}}";

std::string replace_all(std::string text, std::string_view place, std::string_view with) {
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place, at + with.size())) text.replace(at, place.size(), with);
  return text;
}

// What may stand anywhere in a shell command, in quotes or without, and mean only itself.
bool means_itself(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || std::string_view("._-:/[]").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

// The contract of the Monitoring Plugins Development Guidelines, "Plugin Output" and "Plugin Return Codes".
CheckResult judge(const CommandResult& command) {
  auto status = CheckStatus::unknown;
  switch (command.exit_status) {
    case 0: status = CheckStatus::ok; break;
    case 1: status = CheckStatus::warning; break;
    case 2: status = CheckStatus::critical; break;
    default: break;
  }
  auto text = one_line(std::string_view(command.out).substr(0, command.out.find('|')));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  if (text.empty()) {
    text = "exit status " + std::to_string(command.exit_status);
    if (!command.err.empty()) text += ", " + one_line(command.err);
  }
  return {status, text};
}

class Command final : public Check {
 public:
  Command(Clock& clock, CommandCheck spec) : clock_(clock), spec_(std::move(spec)) {}

  [[nodiscard]] const std::string& name() const override { return spec_.name; }

  Task<CheckResult> ask(CheckTarget target) override {
    if (target.executor == nullptr) co_return CheckResult{CheckStatus::unknown, "no way to run commands on " + target.host};
    if (!means_itself(target.host) || !means_itself(target.address))
      co_return CheckResult{CheckStatus::unknown, "'" + one_line(target.host) + "' or its address cannot be put into a command"};
    auto result = co_await within(clock_, spec_.timeout, target.executor->run(command_on(spec_, target.host, target.address)));
    if (result) co_return judge(*result);
    auto status = result.error().code == Errc::timed_out ? CheckStatus::critical : CheckStatus::unknown;
    co_return CheckResult{status, one_line(result.error().what)};
  }

 private:
  Clock& clock_;
  CommandCheck spec_;
};

}  // namespace

std::string command_on(const CommandCheck& check, const std::string& host, const std::string& address) {
  return replace_all(replace_all(check.run, host_place, host), address_place, address);
}

Result<std::shared_ptr<Check>> make_check(Clock& clock, CommandCheck spec) {
  if (spec.run.empty()) return Failure{Errc::bad_input, "run names no command"};
  if (spec.timeout <= Duration::zero()) return Failure{Errc::bad_input, "timeout must be more than 0"};
  auto without = replace_all(replace_all(spec.run, host_place, ""), address_place, "");
  if (without.find("{{") != std::string::npos)
    return Failure{Errc::bad_input, "'" + spec.run + "': only {{host}} and {{address}} are replaced"};
  if (spec.name.empty()) spec.name = "command";
  return std::shared_ptr<Check>(std::make_shared<Command>(clock, std::move(spec)));
}

}  // namespace shiftd
