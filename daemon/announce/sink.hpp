#pragma once

// Where announcements are told.

#include <memory>
#include <string>
#include <variant>

#include "daemon/announce/announcing.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

// conftool's tcpircbot, which passes on to IRC, where the Server Admin Log listens: one connection for each line.
struct TcpircbotOptions {
  std::string address;  // "icinga1.example.org:9200"
  bool operator==(const TcpircbotOptions&) const = default;
};
// An HTTP POST of JSON for each announcement.
struct WebhookOptions {
  std::string url;         // http or https; never shown beyond its host: the path may be a secret
  std::string token_file;  // read for each request, sent as a bearer token; empty: none
  std::string ca;          // who may have signed the other side's certificate; empty: whom the system trusts
  bool operator==(const WebhookOptions&) const = default;
};
// A line for each announcement, at the end of a file on a local disk. It is opened for each: rotate it as you like.
struct FileOptions {
  std::string path;
  bool operator==(const FileOptions&) const = default;
};

enum class Told : std::uint8_t { everything, rollouts };  // rollouts: no changes of single members

struct SinkOptions {
  std::string name;  // unique; under it the journal keeps how far it has come
  Told what = Told::everything;
  std::variant<TcpircbotOptions, WebhookOptions, FileOptions> to;
  bool operator==(const SinkOptions&) const = default;
};

class Sink {
 public:
  virtual ~Sink() = default;
  [[nodiscard]] virtual const SinkOptions& options() const = 0;
  // Tells one announcement, once; bounded by ten seconds.
  // Fails with bad_input: this one will never be taken. All else may succeed later; it may have been told all the same.
  // Cancelled: unwinds; it may have been told.
  virtual Task<Result<void>> tell(Announcement announcement) = 0;
};

// `from`: who tells, "shiftd@deploy1". `clock` outlives the sink. Opens nothing yet.
std::unique_ptr<Sink> make_sink(Clock& clock, SinkOptions options, std::string from);

std::unique_ptr<Sink> make_tcpircbot(Clock& clock, SinkOptions options, std::string from);
std::unique_ptr<Sink> make_webhook(Clock& clock, SinkOptions options, std::string from);
std::unique_ptr<Sink> make_file_sink(SinkOptions options, std::string from);

// What a line of IRC says: "!log shiftd@deploy1 conftool action : ..."; one that comes late says of when it is.
std::string log_line(const Announcement& announcement, const std::string& from, Instant now);
// What a webhook is sent.
std::string to_json(const Announcement& announcement, const std::string& from);

}  // namespace shiftd
