#include <algorithm>

#include "checks/checks.hpp"
#include "checks/pattern.hpp"
#include "checks/target_address.hpp"
#include "daemon/io/http_client.hpp"
#include "daemon/io/within.hpp"

namespace shiftd {
namespace {

struct WantedHeader {
  std::string name;
  Pattern pattern;
};

// The reply, with as much of its body as is searched. Larger bodies, and endless ones, are left there.
Task<Result<HttpReply>> get(Clock& clock, HttpRequest request, Duration limit) {
  std::string body;
  auto take = [&body](std::string_view chunk) {
    body += chunk.substr(0, Pattern::searched_most - body.size());
    return body.size() < Pattern::searched_most;
  };
  auto reply = co_await http_stream(clock, std::move(request), std::ref(take), limit);
  if (reply && reply->body.empty()) reply->body = std::move(body);
  co_return reply;
}

class Http final : public Check {
 public:
  Http(Clock& clock, HttpCheck spec, std::vector<Pattern> body, std::vector<WantedHeader> headers)
      : clock_(clock), spec_(std::move(spec)), body_(std::move(body)), headers_(std::move(headers)) {}

  [[nodiscard]] const std::string& name() const override { return spec_.name; }

  Task<CheckResult> ask(CheckTarget target) override {
    auto address = address_of(target, spec_.port);
    if (!address) co_return CheckResult{CheckStatus::unknown, address.error().what};
    HttpRequest request;
    request.address = to_string(*address);
    request.target = spec_.path;
    request.headers = spec_.headers;
    if (!spec_.host_header.empty()) request.headers.emplace_back("Host", spec_.host_header);
    auto reply = co_await within(clock_, spec_.timeout, get(clock_, std::move(request), spec_.timeout));
    auto result = reply ? judge(*reply) : failed(reply.error());
    result.text.insert(0, "GET " + spec_.path + ": ");
    co_return result;
  }

 private:
  static CheckResult failed(const Failure& failure) {
    return {failure.code == Errc::bad_input ? CheckStatus::unknown : CheckStatus::critical, failure.what};
  }

  [[nodiscard]] CheckResult judge(const HttpReply& reply) const {
    auto got = std::to_string(reply.status);
    if (std::find(spec_.statuses.begin(), spec_.statuses.end(), reply.status) == spec_.statuses.end())
      return {CheckStatus::critical, got + ", wanted " + accepted()};
    for (const auto& wanted : headers_) {
      const auto* value = reply.header(wanted.name);
      if (value == nullptr) return {CheckStatus::critical, got + ", without the header '" + wanted.name + "'"};
      if (!wanted.pattern.found_in(*value))
        return {CheckStatus::critical,
                got + ", header '" + wanted.name + "' is '" + one_line(*value, 80) + "', wanted '" + wanted.pattern.text() + "'"};
    }
    for (const auto& wanted : body_)
      if (!wanted.found_in(reply.body))
        return {CheckStatus::critical, got + ", body '" + one_line(reply.body, 80) + "', wanted '" + wanted.text() + "'"};
    return {CheckStatus::ok, got};
  }

  [[nodiscard]] std::string accepted() const {
    std::string text;
    for (auto status : spec_.statuses) text += (text.empty() ? "" : " or ") + std::to_string(status);
    return text;
  }

  Clock& clock_;
  HttpCheck spec_;
  std::vector<Pattern> body_;  // one or none
  std::vector<WantedHeader> headers_;
};

bool has_control_character(const std::string& text) {
  return std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

Result<void> validate(const HttpCheck& spec) {
  if (!is_port_or_none(spec.port)) return Failure{Errc::bad_input, "port must be 1..65535, not " + std::to_string(spec.port)};
  if (spec.timeout <= Duration::zero()) return Failure{Errc::bad_input, "timeout must be more than 0"};
  if (spec.path.empty() || spec.path.front() != '/' || spec.path.find(' ') != std::string::npos || has_control_character(spec.path))
    return Failure{Errc::bad_input, "path must begin with '/' and have no spaces, not '" + spec.path + "'"};
  if (spec.statuses.empty()) return Failure{Errc::bad_input, "at least one status must be accepted"};
  for (auto status : spec.statuses)
    if (status < 200 || status > 599) return Failure{Errc::bad_input, "status must be 200..599, not " + std::to_string(status)};
  if (has_control_character(spec.host_header)) return Failure{Errc::bad_input, "the host header has a control character in it"};
  for (const auto& [name, value] : spec.headers)
    if (name.empty() || name.find_first_of(": \t") != std::string::npos || has_control_character(name + value))
      return Failure{Errc::bad_input, "'" + name + ": " + value + "' is no header"};
  return {};
}

}  // namespace

Result<std::shared_ptr<Check>> make_check(Clock& clock, HttpCheck spec) {
  if (auto valid = validate(spec); !valid) return std::move(valid).error();
  std::vector<Pattern> body;
  if (!spec.body_pattern.empty()) {
    auto pattern = Pattern::parse(spec.body_pattern);
    if (!pattern) return std::move(pattern).error().during("body");
    body.push_back(std::move(*pattern));
  }
  std::vector<WantedHeader> headers;
  for (const auto& [name, text] : spec.wanted_headers) {
    auto pattern = Pattern::parse(text);
    if (!pattern) return std::move(pattern).error().during("header '" + name + "'");
    headers.push_back({name, std::move(*pattern)});
  }
  if (spec.name.empty()) spec.name = "http";
  return std::shared_ptr<Check>(std::make_shared<Http>(clock, std::move(spec), std::move(body), std::move(headers)));
}

}  // namespace shiftd
