#include "daemon/shiftctl/commands.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <pwd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/analysis/calibrate.hpp"
#include "daemon/analysis/tune.hpp"
#include "daemon/shiftctl/digest.hpp"
#include "daemon/shiftctl/plan_file.hpp"
#include "daemon/shiftctl/pool_screen.hpp"
#include "daemon/shiftctl/screen.hpp"
#include "daemon/shiftctl/watch.hpp"
#include "daemon/shiftctl/words.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

const std::string rollouts = "/api/v1/rollouts";
constexpr Duration between_looks = std::chrono::seconds(1);  // of `pool --watch`

// Each line at once: whoever reads it through a pipe wants to see it when it happens.
void print(std::FILE* out, const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), out);
  if (text.empty() || text.back() != '\n') std::fputc('\n', out);
  std::fflush(out);
}

std::string escaped(std::string_view name) {
  std::string text;
  for (unsigned char c : name) {
    bool plain = c < 0x80 && (std::isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~');
    text += plain ? std::string(1, static_cast<char>(c)) : fmt::format("%{:02X}", c);
  }
  return text;
}

std::string path_of(const std::string& rollout) { return rollouts + "/" + escaped(rollout); }

Look terminal_look() {
  winsize size{};
  bool terminal = ::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return terminal ? Look{size.ws_col, true} : Look{1000, false};
}

// The source as the daemon will read it, with its digest.
Result<json> tarball_of(const Options& options) {
  if (options.source.starts_with("http://") || options.source.starts_with("https://")) {
    if (options.sha256.empty()) return Failure{Errc::bad_input, "--code is a URL: give its --sha256 as well"};
    return Result<json>(boost::system::in_place_value, json{{"source", options.source}, {"sha256", options.sha256}});
  }
  std::error_code error;
  auto source = std::filesystem::absolute(options.source, error);
  if (error) return Failure{Errc::bad_input, options.source + ": " + error.message()};
  auto digest = options.sha256;
  if (digest.empty()) {
    auto computed = sha256_of_file(source.string());
    if (!computed) return std::move(computed).error().during("--sha256 is not given");
    digest = std::move(*computed);
  }
  return Result<json>(boost::system::in_place_value, json{{"source", source.string()}, {"sha256", digest}});
}

// A release without a tarball is known by its version alone, or by a digest that the hosts know.
Result<json> release_of(const Options& options) {
  json release = json::object();
  if (!options.source.empty()) {
    auto tarball = tarball_of(options);
    if (!tarball) return std::move(tarball).error();
    release = std::move(*tarball);
  } else if (!options.sha256.empty()) {
    release["sha256"] = options.sha256;
  }
  release["version"] = options.release;
  if (!options.config.empty()) {
    auto named = options.config == "none" || (options.config.size() == 64 && options.config.find('/') == std::string::npos);
    std::error_code error;
    auto directory = std::filesystem::absolute(options.config, error).lexically_normal();
    if (error) return Failure{Errc::bad_input, options.config + ": " + error.message()};
    if (!directory.has_filename()) directory = directory.parent_path();  // it was written with a / behind it
    release["config"] = named ? options.config : directory.string();
    if (options.release.empty()) release["version"] = "config " + directory.filename().string();
  }
  return Result<json>(boost::system::in_place_value, std::move(release));
}

Result<json> release_request(const Options& options) {
  auto release = release_of(options);
  if (!release) return std::move(release).error();
  json request{{"service", options.service}, {"release", std::move(*release)}, {"limit", options.limit}, {"reason", options.reason}};
  if (options.no_watch) request["no_watch"] = true;
  if (options.untested) request["untested"] = true;
  if (options.irreversible) request["release"]["irreversible"] = true;
  return Result<json>(boost::system::in_place_value, std::move(request));
}

std::string to_json(const Calibration& found) {
  return json{{"history_ms", found.history.count()},
              {"hosts", found.hosts},
              {"canaries", found.canaries},
              {"stretch_ms", found.stretch.count()},
              {"stretches", found.stretches},
              {"rollouts", found.rollouts},
              {"false_alarms", found.false_alarms},
              {"alarmed", found.alarmed},
              {"proven", found.proven},
              {"at_most", found.at_most},
              {"too_little", found.too_little}}
      .dump();
}

std::string field_of(const std::string& body, const char* name) {
  auto value = json::parse(body, nullptr, false);
  return value.is_object() && value.contains(name) && value[name].is_string() ? value[name].get<std::string>() : "";
}

Task<Result<ExitCode>> plan(DaemonClient& client, Options options) {
  auto request = release_request(options);
  if (!request) co_return std::move(request).error();
  auto body = co_await client.ask("POST", "/api/v1/plan", request->dump());
  if (!body) co_return std::move(body).error();
  auto changes = has_changes(*body);
  if (!changes) co_return std::move(changes).error();
  if (!options.out.empty()) {
    if (auto saved = save_plan(options.out, *body); !saved) co_return std::move(saved).error();
  }
  auto text = options.json ? std::move(*body) : field_of(*body, "text");
  print(stdout, !options.json && ::isatty(STDOUT_FILENO) != 0 ? coloured_plan(text) : text);
  co_return static_cast<ExitCode>(*changes ? PlanCode::changes : PlanCode::nothing_to_do);
}

// The same plan as was saved, or nothing: then what differs is named.
Task<Result<std::string>> start_saved(DaemonClient& client, Options options) {
  auto saved = read_plan(options.plan);
  if (!saved) co_return std::move(saved).error();
  auto body = co_await client.ask("POST", rollouts, start_of(*saved, options.reason));
  if (body || body.error().code != Errc::conflict) co_return body;
  auto refused = std::move(body).error();
  if (auto now = co_await client.ask("POST", "/api/v1/plan", saved->request))
    for (const auto& line : plan_differences(saved->answer, *now)) refused.what += "\n  " + line;
  co_return refused;
}

Task<Result<std::string>> start_release(DaemonClient& client, Options options) {
  auto request = release_request(options);
  if (!request) co_return std::move(request).error();
  co_return co_await client.ask("POST", rollouts, request->dump());
}

Task<Result<ExitCode>> start(DaemonClient& client, Options options) {
  auto starting = options.plan.empty() ? start_release(client, options) : start_saved(client, options);
  auto body = co_await std::move(starting);
  if (!body) co_return std::move(body).error();
  auto rollout = field_of(*body, "rollout");
  if (rollout.empty()) co_return Failure{Errc::unexpected_reply, "shiftd answered without naming the rollout"};
  if (!options.wait) {
    print(stdout, options.json ? *body : rollout + " started");
    co_return ExitCode::succeeded;
  }
  print(options.json ? stderr : stdout, rollout + " started");
  Telling telling{rollout, 0, false, options.json, options.json};
  co_return co_await tell(client, std::move(telling));
}

Task<Result<ExitCode>> list(DaemonClient& client, Options options) {
  auto body = co_await client.ask("GET", rollouts);
  if (!body) co_return std::move(body).error();
  if (options.json) {
    print(stdout, *body);
    co_return ExitCode::succeeded;
  }
  auto text = draw_list(*body);
  if (!text) co_return std::move(text).error();
  print(stdout, text->empty() ? "no rollouts yet" : *text);
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> pool(DaemonClient& client, Options options) {
  auto path = "/api/v1/services/" + escaped(options.service) + "/pools";
  if (options.watch && !options.json && ::isatty(STDOUT_FILENO) != 0) co_return co_await watch_pools(client, std::move(path));
  std::string last;
  do {
    auto body = co_await client.ask("GET", path);
    if (!body) co_return std::move(body).error();
    auto page = options.json ? std::move(body) : draw_pools(*body);
    if (!page) co_return std::move(page).error();
    if (*page != last) print(stdout, *page);
    last = std::move(*page);
    if (options.watch) co_await client.clock().sleep_for(between_looks);
  } while (options.watch);
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> status(DaemonClient& client, Options options) {
  auto body = co_await client.ask("GET", path_of(options.rollout));
  if (!body) co_return std::move(body).error();
  if (options.json) {
    print(stdout, *body);
    co_return ExitCode::succeeded;
  }
  auto text = draw_status(*body, terminal_look());
  if (!text) co_return std::move(text).error();
  print(stdout, *text);
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> export_trace(DaemonClient& client, Options options) {
  auto body = co_await client.ask("GET", path_of(options.rollout) + "/trace");
  if (!body) co_return std::move(body).error();
  print(stdout, *body);
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> calibrate_on(DaemonClient& client, Options options) {
  auto body = co_await client.ask("GET", "/api/v1/services/" + escaped(options.service) + "/history");
  if (!body) co_return std::move(body).error();
  std::istringstream text(std::move(*body));
  auto history = read_trace(text);
  if (!history) co_return std::move(history).error().during("the history of " + options.service);
  for (const auto& setting : options.settings) {
    if (auto tuned = tune(history->options, setting); !tuned) co_return std::move(tuned).error().during("--tune");
  }
  CalibrationWishes wishes;
  wishes.canaries = static_cast<std::size_t>(options.canaries);
  auto found = calibrate(*history, history->options, wishes);
  print(stdout, options.json ? to_json(found) : to_string(found));
  co_return found.too_little.empty() ? ExitCode::succeeded : ExitCode::failed;
}

// The records that there are now, without waiting for more.
Task<Result<ExitCode>> past_events(DaemonClient& client, Options options) {
  auto body = co_await client.ask("GET", path_of(options.rollout));
  if (!body) co_return std::move(body).error();
  auto status = json::parse(*body, nullptr, false);
  auto records = status.is_object() ? status.value("records", std::uint64_t{0}) : 0;
  if (records == 0) co_return ExitCode::succeeded;
  DaemonClient::Following following;
  following.rollout = options.rollout;
  following.record = [&](std::uint64_t number, std::string record) {
    auto sentence = sentence_of(record);
    print(stdout, options.json ? record : sentence.time + "  " + sentence.text);
    return number + 1 < records;
  };
  auto done = co_await client.follow(std::move(following));
  if (!done) co_return std::move(done).error();
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> events(DaemonClient& client, Options options) {
  if (!options.follow) co_return co_await past_events(client, std::move(options));
  Telling telling{options.rollout, 0, true, false, options.json};
  co_return co_await tell(client, std::move(telling));
}

bool has_ended(const std::string& status) { return field_of(status, "phase") == "ended"; }

// What a host said may hold anything: it is shown as text.
std::string clean_lines(std::string_view text) {
  std::string all;
  for (std::size_t end = 0; !text.empty(); text.remove_prefix(std::min(end + 1, text.size()))) {
    end = std::min(text.find('\n'), text.size());
    std::string line(text.substr(0, end));
    std::replace(line.begin(), line.end(), '\t', ' ');
    all += clean(line) + "\n";
  }
  return all;
}

// Where the text has grown only what is new is printed; else all of it: a job's log shows its end when it is long.
Task<Result<ExitCode>> logs(DaemonClient& client, Options options) {
  auto path = path_of(options.rollout) + "/logs?host=" + escaped(options.host);
  std::string last;
  while (true) {
    auto status = co_await client.ask("GET", path_of(options.rollout));
    if (!status) co_return std::move(status).error();
    auto text = co_await client.ask("GET", path);
    if (!text) co_return std::move(text).error();
    if (*text != last) {
      auto fresh = text->starts_with(last) ? std::string_view(*text).substr(last.size()) : std::string_view(*text);
      print(stdout, clean_lines(fresh));
    }
    last = std::move(*text);
    if (!options.follow || has_ended(*status)) co_return ExitCode::succeeded;
    co_await client.clock().sleep_for(between_looks);
  }
}

Task<Result<ExitCode>> desired(DaemonClient& client, Options options) {
  auto text = co_await client.ask("GET", "/api/v1/services/" + escaped(options.service) + "/desired");
  if (!text) co_return std::move(text).error();
  print(stdout, clean_lines(*text));
  co_return ExitCode::succeeded;
}

Task<Result<ExitCode>> command(DaemonClient& client, Options options) {
  json request{{"reason", options.reason}};
  if (!options.host.empty()) request["host"] = options.host;
  if (!options.metric.empty()) request["metric"] = options.metric;
  if (options.instead_of_verdict) request["override"] = true;
  if (options.instead_of_views) request["force"] = true;
  auto body = co_await client.ask("POST", path_of(options.rollout) + "/" + options.command, request.dump());
  if (!body) co_return std::move(body).error();
  auto what = options.host + options.metric;
  auto on = what.empty() ? options.rollout : what + " in " + options.rollout;
  print(stdout, options.json ? *body : options.command + " " + on + ": accepted");
  co_return ExitCode::succeeded;
}

Result<std::string> token_in(const std::string& path) {
  std::ifstream file(path);
  std::string token;
  if (!std::getline(file, token) || token.empty()) return Failure{Errc::bad_input, "token file " + path + " cannot be read, or is empty"};
  if (token.size() > 4096) return Failure{Errc::bad_input, "token file " + path + " holds no token"};
  return token;
}

}  // namespace

Result<Daemon> daemon_of(const Options& options) {
  if (options.url.empty()) {
    std::error_code error;
    auto path = std::filesystem::absolute(options.socket, error);
    if (error || options.socket.empty()) return Failure{Errc::bad_input, "--socket '" + options.socket + "' is no path"};
    return Daemon{path.string(), "", ""};
  }
  constexpr std::string_view scheme = "http://";
  auto address = std::string_view(options.url);
  if (!address.starts_with(scheme)) return Failure{Errc::bad_input, "--url must be http://HOST:PORT, not '" + options.url + "'"};
  address.remove_prefix(scheme.size());
  if (address.ends_with('/')) address.remove_suffix(1);
  auto token = token_in(options.token_file);
  if (!token) return std::move(token).error();
  auto* user = ::getpwuid(::getuid());
  return Daemon{std::string(address), std::move(*token), user != nullptr ? user->pw_name : "uid-" + std::to_string(::getuid())};
}

Task<Result<std::string>> named_or_newest(DaemonClient& client, std::string rollout) {
  if (!rollout.empty()) co_return rollout;
  auto body = co_await client.ask("GET", rollouts + "?most=1");
  if (!body) co_return std::move(body).error();
  auto list = json::parse(*body, nullptr, false);
  if (list.is_object() && list.contains("rollouts") && list["rollouts"].is_array() && !list["rollouts"].empty()) {
    auto newest = field_of(list["rollouts"][0].dump(), "rollout");
    if (!newest.empty()) co_return newest;
  }
  co_return Failure{Errc::not_found, "there is no rollout yet"};
}

Task<Result<ExitCode>> tell(DaemonClient& client, Telling telling) {
  auto* out = telling.to_error ? stderr : stdout;
  bool silent = false;
  auto code = ExitCode::failed;
  std::string outcome;
  DaemonClient::Following following;
  following.rollout = telling.rollout;
  following.from = telling.from;
  following.record = [&](std::uint64_t, std::string record) {
    silent = false;
    auto is = field_of(record.size() < 4096 ? record : "", "is");
    auto sentence = sentence_of(record);
    if (telling.all && telling.json) {
      print(stdout, record);
    } else if (telling.all || sentence.important) {
      print(out, sentence.time + "  " + sentence.text);
    }
    if (is == "ended") outcome = field_of(record, "outcome");
    if (is == "ended" && telling.json && !telling.all)
      print(stdout, json{{"rollout", telling.rollout}, {"outcome", outcome}, {"reason", field_of(record, "reason")}}.dump());
    code = exit_code_of(outcome);
    return is != "ended" && is != "quarantined";
  };
  following.lost = [&](const Failure& failure) {
    if (!silent) print(stderr, "shiftctl: " + clean(failure.what) + "; trying again for a minute");
    silent = true;
  };
  auto done = co_await client.follow(std::move(following));
  if (!done) co_return std::move(done).error();
  co_return code;
}

Task<Result<ExitCode>> run_command(DaemonClient& client, Options options) {
  if (options.command == "plan") co_return co_await plan(client, std::move(options));
  if (options.command == "start") co_return co_await start(client, std::move(options));
  if (options.command == "pool") co_return co_await pool(client, std::move(options));
  if (options.command == "desired") co_return co_await desired(client, std::move(options));
  if (options.command == "restart") {
    options.release = options.reboot ? "reboot" : "restart";
    co_return co_await start(client, std::move(options));
  }
  if (options.command == "list") co_return co_await list(client, std::move(options));
  if (options.command == "verdict calibrate") co_return co_await calibrate_on(client, std::move(options));
  auto rollout = co_await named_or_newest(client, options.rollout);
  if (!rollout) co_return std::move(rollout).error();
  options.rollout = std::move(*rollout);
  if (options.command == "status") co_return co_await status(client, std::move(options));
  if (options.command == "verdict export") co_return co_await export_trace(client, std::move(options));
  if (options.command == "events") co_return co_await events(client, std::move(options));
  if (options.command == "logs") co_return co_await logs(client, std::move(options));
  if (options.command == "watch") {
    if (::isatty(STDOUT_FILENO) != 0 && !options.json) co_return co_await watch(client, options.rollout);
    Telling telling{options.rollout, 0, false, false, options.json};
    co_return co_await tell(client, std::move(telling));
  }
  co_return co_await command(client, std::move(options));
}

}  // namespace shiftd
