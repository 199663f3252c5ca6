// shiftd: upgrades fleets behind load balancers without their users noticing.

#include <cstdlib>
#include <iostream>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "daemon/api/server.hpp"
#include "daemon/config/config.hpp"
#include "daemon/config/configuration_file.hpp"
#include "daemon/driver/supervisor.hpp"
#include "daemon/io/log.hpp"
#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"
#include "daemon/wiring.hpp"

namespace shiftd {
namespace {

namespace asio = boost::asio;

// What keeps the daemon from starting; main prints it.
struct CannotStart : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
T or_cannot_start(Result<T> made) {
  if (!made) throw CannotStart(made.error().what);
  return std::move(*made);
}

log::Level level_of(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return log::Level::debug;
    case LogLevel::info: return log::Level::info;
    case LogLevel::warning: return log::Level::warning;
    case LogLevel::error: return log::Level::error;
  }
  return log::Level::info;
}

ApiOptions api_options(const ApiConfig& config) {
  ApiOptions options;
  options.socket = config.socket;
  options.listen = config.listen;
  options.token_file = config.token_file;
  options.desired_token_file = config.desired_token_file;
  return options;
}

// Ends the group at the first SIGTERM or SIGINT. Rollouts stay where they are; the next start takes them up.
Task<> stop_on_signal(TaskGroup& tasks) {
  asio::signal_set signals(co_await asio::this_coro::executor, SIGTERM, SIGINT);
  auto number = co_await signals.async_wait(asio::use_awaitable);
  log::info("signal {}: stopping; rollouts under way are taken up at the next start", number);
  tasks.stop();
}

// People wait in the listening sockets' queues until every rollout is known: a start must not overlook one.
Task<> answer_people(Supervisor& supervisor, ApiServer& api) {
  co_await supervisor.recovered();
  co_await api.serve();
}

Task<> serve(Clock& clock, const Config& config, Journal& journal) {
  auto executor = co_await asio::this_coro::executor;
  std::vector<std::unique_ptr<Service>> services;
  auto configurations = std::make_shared<ConfigurationStore>(config.daemon.configurations, read_configuration);
  auto epoch = journal.stats().epoch;
  for (const auto& service : config.services) services.push_back(or_cannot_start(make_service(clock, service, configurations, epoch)));
  std::vector<FrontEnd*> front_ends;
  for (auto& service : services) {
    for (auto& pool : service->pools) {
      if (pool.front_end) front_ends.push_back(pool.front_end.get());
    }
  }
  auto count = services.size();
  Supervisor supervisor(executor, clock, journal, std::move(services), static_cast<std::size_t>(config.daemon.keep_rollouts),
                        make_sinks(clock, config.daemon), selectors_of(config.services));
  auto api = or_cannot_start(ApiServer::open(executor, clock, supervisor, api_options(config.daemon.api)));
  // Nothing that can fail stands between the first of these and the join.
  TaskGroup tasks(executor);
  for (auto* front_end : front_ends) tasks.start("front end " + front_end->name(), front_end->serve());
  tasks.start("rollouts", supervisor.run());
  tasks.start("api", answer_people(supervisor, *api));
  tasks.start("signals", stop_on_signal(tasks));
  log::info("shiftd {} serves {} {} on {}", SHIFTD_VERSION, count, count == 1 ? "service" : "services", config.daemon.api.socket);
  co_await tasks.join();
}

int run(const std::string& config_file, bool only_check, const std::vector<std::string>& list_for) {
  auto config = load_config(config_file);
  if (!config) {
    std::cerr << to_string(config.error());
    return EXIT_FAILURE;
  }
  if (only_check) {
    std::cout << config_file << ": good\n";
    return EXIT_SUCCESS;
  }
  if (!list_for.empty()) {
    std::cout << or_cannot_start(host_commands(*config, list_for.at(0), list_for.at(1)));
    return EXIT_SUCCESS;
  }
  log::set_level(level_of(config->daemon.log.level));
  asio::io_context loop(1);
  auto clock = make_system_clock();
  auto journal = or_cannot_start(open_sqlite_journal(config->daemon.journal));
  if (auto notice = journal->stats().notice; !notice.empty()) log::warning("{}", notice);
  std::exception_ptr error;
  asio::co_spawn(loop, serve(*clock, *config, *journal), [&error](std::exception_ptr thrown) { error = std::move(thrown); });
  loop.run();
  if (error) std::rethrow_exception(error);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace shiftd

int main(int argc, char** argv) {
  CLI::App app("Upgrades fleets behind load balancers without their users noticing.", "shiftd");
  std::string config_file = "/etc/shiftd/shiftd.yaml";
  bool only_check = false;
  app.add_option("--config", config_file, "The daemon's configuration")->capture_default_str();
  app.add_flag("--check-config", only_check, "Check the configuration and all services, and exit");
  std::vector<std::string> list_for;
  app.add_option("--host-commands", list_for, "Print all that a service asks of one of its hosts, for conf/hosts/shiftd-only, and exit")
      ->expected(2)
      ->type_name("SERVICE HOST");
  app.set_version_flag("--version", "shiftd " SHIFTD_VERSION);
  CLI11_PARSE(app, argc, argv);
  try {
    return shiftd::run(config_file, only_check, list_for);
  } catch (const std::exception& error) {
    std::cerr << "shiftd: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
