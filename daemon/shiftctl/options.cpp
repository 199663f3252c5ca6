#include "daemon/shiftctl/options.hpp"

#include <CLI/CLI.hpp>

#include "daemon/shiftctl/exit_code.hpp"

namespace shiftd {
namespace {

constexpr const char* exit_codes =
    "Exit codes: 0 succeeded, or the command was accepted; 1 failed; 2 bad usage; 3 rolled back; 4 aborted;\n"
    "5 cannot reach the daemon; 6 refused (conflict, no such thing, not allowed).\n"
    "Of plan: 0 nothing to do; 2 changes; 1 any error.";

CLI::App* on_rollout(CLI::App& app, Options& options, const char* name, const char* what, bool with_reason) {
  auto* command = app.add_subcommand(name, what);
  command->add_option("ROLLOUT", options.rollout, "the newest when it is not named");
  if (with_reason) command->add_option("--reason", options.reason, "kept in the journal");
  return command;
}

void on_part(CLI::App& command, Options& options) {
  command.add_flag("--no-watch", options.no_watch, "do not wait until enough of the hosts' history is known");
  command.add_option("--limit", options.limit, "only these hosts");
  command.add_option("--reason", options.reason, "kept in the journal");
}

void on_release(CLI::App& command, Options& options) {
  command.add_option("SERVICE", options.service);
  command.add_option("--release", options.release, "the version's name");
  command.add_option("--code,--source", options.source, "the tarball: a file on the daemon's machine, or a URL that the hosts fetch");
  command.add_option("--sha256", options.sha256, "of the tarball; read from the file when it is not given");
  command.add_option("--config", options.config, "the configuration: a directory on the daemon's machine, a digest, or none");
  command.add_flag("--untested", options.untested, "although it has not succeeded where the service wants it to have; needs --reason");
  command.add_flag("--irreversible", options.irreversible,
                   "nothing brings the former release back: a roll back takes its hosts out, and stops");
  on_part(command, options);
}

void on_restart(CLI::App& command, Options& options) {
  command.add_option("SERVICE", options.service)->required();
  command.add_flag("--reboot", options.reboot, "the hosts themselves, as the service's release.reboot says");
  on_part(command, options);
  command.add_flag("--wait", options.wait, "until it has ended; its outcome is the exit code");
}

void on_host(CLI::App& command, Options& options) {
  command.add_option("HOST", options.host)->required();
  command.add_option("--rollout", options.rollout, "the newest when it is not named");
}

void on_held_host(CLI::App& command, Options& options, bool reason_required) {
  on_host(command, options);
  command.add_option("--reason", options.reason, "kept in the journal")->required(reason_required);
}

void on_replay(CLI::App& command, Options& options) {
  command.add_option("FILE", options.files, "a trace (shiftd-trace 1); - reads standard input")->required();
  command.add_option("--tune", options.settings, "NAME=VALUE, as in the service file's verdict: tolerate=1.3x")->allow_extra_args(false);
  auto* explain = command.add_flag("--explain", options.explain, "tell the run in the terminal");
  command.add_flag("--ticks", options.ticks, "a JSON line for each tick")->excludes(explain);
}

void on_calibrate(CLI::App& command, Options& options) {
  command.add_option("SERVICE", options.service)->required();
  command.add_option("--tune", options.settings, "NAME=VALUE: other settings than the service's present ones")->allow_extra_args(false);
  command.add_option("--canary", options.canaries, "hosts that are called the canary; a tenth of them when it is not given")
      ->check(CLI::Range(1, 10'000));
}

}  // namespace

// A saved plan has in it what else has to be said.
void require_release(const CLI::App& command, const Options& options) {
  if (!options.plan.empty()) {
    for (const auto* name : {"SERVICE", "--release", "--code", "--sha256", "--config", "--limit"})
      if (command.count(name) > 0) throw CLI::ExcludesError("--plan", name);
    return;
  }
  if (options.service.empty()) throw CLI::RequiredError("SERVICE");
  bool configuration_alone = !options.config.empty() && options.source.empty() && options.sha256.empty();
  if (options.release.empty() && !configuration_alone) throw CLI::RequiredError("--release");
}

std::optional<Options> parse_options(int count, const char* const* words, int& ending) {
  Options options;
  CLI::App app{"Asks shiftd to upgrade a fleet, and shows what it does."};
  app.footer(exit_codes);
  app.require_subcommand(1);
  app.fallthrough();
  std::string output = "text";
  app.add_option("--socket", options.socket, "shiftd's unix socket")->envname("SHIFTD_SOCKET")->default_val("/run/shiftd/shiftd.sock");
  auto* url = app.add_option("--url", options.url, "http://127.0.0.1:PORT, instead of the socket; needs --token-file");
  auto* token = app.add_option("--token-file", options.token_file, "a file with the token and nothing else");
  url->needs(token);
  app.add_option("-o,--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));

  auto* plan = app.add_subcommand("plan", "say what a rollout would do; changes nothing");
  on_release(*plan, options);
  plan->add_option("--out", options.out, "save it, for `start --plan`");
  auto* start = app.add_subcommand("start", "begin a rollout");
  on_release(*start, options);
  start->add_option("--plan", options.plan, "run exactly this saved plan, or nothing when it is not what would be done now");
  start->add_flag("--wait", options.wait, "until it has ended; its outcome is the exit code");
  auto* pool = app.add_subcommand("pool", "a service's pools as they are now: stores, load balancers, whose hands they are in");
  pool->add_option("SERVICE", options.service)->required();
  pool->add_flag("--watch", options.watch, "again and again, until Ctrl-C");
  app.add_subcommand("desired", "which release each of a service's hosts is to run")->add_option("SERVICE", options.service)->required();
  on_restart(*app.add_subcommand("restart", "a rollout that restarts every host on the release that it has"), options);
  app.add_subcommand("list", "the rollouts, the newest first");
  on_rollout(app, options, "status", "where a rollout stands", false);
  on_rollout(app, options, "watch", "a rollout, live; its outcome is the exit code", false);
  on_rollout(app, options, "events", "what happened, in words", false)
      ->add_flag("-f,--follow", options.follow, "and what will, until it has ended");
  auto* logs = app.add_subcommand("logs", "what a rollout's jobs have said on a host");
  on_host(*logs, options);
  logs->add_flag("-f,--follow", options.follow, "and what they say until the rollout has ended");
  on_rollout(app, options, "pause", "start nothing more until `resume`", true);
  on_rollout(app, options, "resume", "go on after `pause`", true);
  on_rollout(app, options, "promote", "pass the gate that the rollout waits at", true)
      ->add_flag("--override", options.instead_of_verdict, "pass the stage in place of its verdict; needs --reason")
      ->needs("--reason");
  on_rollout(app, options, "rollback", "put everything back", true)
      ->add_flag("--force", options.instead_of_views, "also where a load balancer cannot tell; needs --reason")
      ->needs("--reason");
  on_rollout(app, options, "abort", "start nothing more and end", true);
  auto* ignore = app.add_subcommand("ignore-metric", "take a metric out of a rollout's verdict, until it ends");
  ignore->add_option("METRIC", options.metric)->required();
  ignore->add_option("--rollout", options.rollout, "the newest when it is not named");
  ignore->add_option("--reason", options.reason, "kept in the journal")->required();
  on_held_host(*app.add_subcommand("release-hold", "go on with a host that somebody changed, as they left it"), options, false);
  on_held_host(*app.add_subcommand("take", "take a host back from whoever changed it"), options, true);
  auto* rescue = app.add_subcommand("rescue", "without a daemon: the commands that restore every original");
  rescue->add_option("--journal", options.journal, "shiftd's journal, or a copy of it")->required();
  rescue->add_option("--rollout", options.rollout, "only this one");
  auto* verdict = app.add_subcommand("verdict", "the canary verdict: what it would have said of what was recorded");
  verdict->require_subcommand(1);
  on_replay(*verdict->add_subcommand("replay", "judge recorded rollouts, without a daemon; prints JSON lines"), options);
  verdict->add_subcommand("export", "print a rollout as a trace, for `verdict replay`")
      ->add_option("ROLLOUT", options.rollout, "the newest when it is not named");
  on_calibrate(*verdict->add_subcommand("calibrate", "how often it would have cried wolf on a service's own hosts"), options);

  try {
    app.parse(count, words);
    for (const auto* command : {plan, start})
      if (command->parsed()) require_release(*command, options);
  } catch (const CLI::ParseError& error) {
    auto wrong = plan->parsed() ? static_cast<int>(PlanCode::error) : static_cast<int>(ExitCode::bad_usage);
    ending = app.exit(error) == 0 ? 0 : wrong;
    return std::nullopt;
  }
  options.command = app.get_subcommands().front()->get_name();
  if (options.command == "verdict") options.command += " " + verdict->get_subcommands().front()->get_name();
  options.json = output == "json";
  return options;
}

}  // namespace shiftd
