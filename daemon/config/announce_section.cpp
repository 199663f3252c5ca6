#include "daemon/config/sections.hpp"
#include "daemon/config/values.hpp"
#include "daemon/io/http_url.hpp"

namespace shiftd {
namespace {

// No error shows it: where there is no token, its path is often the secret.
std::optional<std::string> webhook_url(const yaml::Value& value) {
  auto given = text(value);
  if (!given) return std::nullopt;
  if (auto request = http_request_to(*given); !request) return value.refuse(request.error().what);
  return given;
}

void read_common(yaml::Section& at, SinkOptions& sink) {
  at.optional("name", sink.name, name);
  at.optional("what", sink.what, word<Told>({{"everything", Told::everything}, {"rollouts", Told::rollouts}}));
}

void read_tcpircbot(yaml::Section& at, SinkOptions& sink) {
  TcpircbotOptions to;
  sink.name = "tcpircbot";
  at.required("address", to.address, plain_address, "address: \"icinga1:9200\"");
  read_common(at, sink);
  sink.to = std::move(to);
}

void read_webhook(yaml::Section& at, SinkOptions& sink) {
  WebhookOptions to;
  sink.name = "webhook";
  at.required("url", to.url, webhook_url, "url: \"https://hooks.example.org/deploys\"");
  at.optional("token_file", to.token_file, secret_file);
  at.optional("ca", to.ca, readable_file);
  if (to.url.starts_with("http://") && at.has("token_file"))
    at.refuse("'token_file' would be sent in the clear: write a url with https://, or leave it out");
  read_common(at, sink);
  sink.to = std::move(to);
}

void read_file_sink(yaml::Section& at, SinkOptions& sink) {
  FileOptions to;
  sink.name = "file";
  at.required("path", to.path, path, "path: /var/log/shiftd/announcements.log");
  read_common(at, sink);
  sink.to = std::move(to);
}

}  // namespace

std::optional<SinkOptions> read_sink(const yaml::Value& value) {
  return yaml::one_of<SinkOptions>("sink",
                                   {yaml::kind<SinkOptions>("tcpircbot", read_tcpircbot), yaml::kind<SinkOptions>("webhook", read_webhook),
                                    yaml::kind<SinkOptions>("file", read_file_sink)})(value);
}

}  // namespace shiftd
