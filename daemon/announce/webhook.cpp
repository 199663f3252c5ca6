// An HTTP POST of JSON for each announcement; 2xx is success.

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "daemon/announce/sink.hpp"
#include "daemon/io/http_url.hpp"

namespace shiftd {
namespace {

constexpr Duration hook_patience = std::chrono::seconds(10);
constexpr std::size_t most_token_bytes = 4096;

Result<std::string> read_token(const std::string& path) {
  struct stat about {};
  std::ifstream file(path, std::ios::binary);
  if (!file || ::stat(path.c_str(), &about) != 0) return Failure{Errc::unauthenticated, "token file " + path + " cannot be read"};
  if ((about.st_mode & S_IRWXO) != 0)
    return Failure{Errc::unauthenticated, "token file " + path + " is open to everybody: chmod o= " + path};
  std::string token(most_token_bytes + 1, '\0');
  file.read(token.data(), static_cast<std::streamsize>(token.size()));
  token.resize(static_cast<std::size_t>(file.gcount()));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  auto visible = [](char c) { return c > 0x20 && c < 0x7f; };
  if (token.empty() || token.size() > most_token_bytes || !std::all_of(token.begin(), token.end(), visible))
    return Failure{Errc::unauthenticated, "token file " + path + " must hold one line of printable characters without spaces"};
  return token;
}

// What the other side would say again to the same announcement; all else is between it and whoever set it up.
bool is_about_what_was_sent(int status) { return status == 400 || status == 413 || status == 415 || status == 422; }

class Webhook final : public Sink {
 public:
  Webhook(Clock& clock, SinkOptions options, std::string from) : clock_(clock), options_(std::move(options)), from_(std::move(from)) {}

  const SinkOptions& options() const override { return options_; }

  Task<Result<void>> tell(Announcement announcement) override {
    const auto& to = std::get<WebhookOptions>(options_.to);
    auto request = http_request_to(to.url);
    if (!request) co_return Failure{Errc::unavailable, "its url cannot be asked"};
    request->method = "POST";
    if (request->tls) request->tls->ca = to.ca;
    request->headers.emplace_back("Content-Type", "application/json");
    if (!to.token_file.empty()) {
      auto token = read_token(to.token_file);
      if (!token) co_return std::move(token).error();
      request->headers.emplace_back("Authorization", "Bearer " + *token);
    }
    request->body = to_json(announcement, from_);
    auto reply = co_await http_exchange(clock_, std::move(*request), hook_patience);
    if (!reply) co_return std::move(reply).error();
    if (reply->status >= 200 && reply->status < 300) co_return Result<void>{};
    auto code = is_about_what_was_sent(reply->status) ? Errc::bad_input : Errc::refused;
    co_return Failure{code, fmt::format("it answers with status {}", reply->status)};
  }

 private:
  Clock& clock_;
  SinkOptions options_;
  std::string from_;
};

}  // namespace

std::unique_ptr<Sink> make_webhook(Clock& clock, SinkOptions options, std::string from) {
  return std::make_unique<Webhook>(clock, std::move(options), std::move(from));
}

}  // namespace shiftd
