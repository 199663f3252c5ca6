// shiftctl: asks shiftd, over HTTP and nothing else. (`rescue` reads a journal and `verdict replay` traces instead: both
// need no shiftd.)

#include <algorithm>
#include <iostream>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "daemon/shiftctl/commands.hpp"
#include "daemon/shiftctl/rescue.hpp"
#include "daemon/shiftctl/verdict_replay.hpp"
#include "daemon/shiftctl/words.hpp"

namespace {

// A failure may name several things, one a line; each line is shown as words only.
void complain(std::string_view what) {
  std::cerr << "shiftctl: ";
  for (std::size_t end = 0; !what.empty(); what.remove_prefix(std::min(end + 1, what.size()))) {
    end = std::min(what.find('\n'), what.size());
    std::cerr << shiftd::clean(what.substr(0, end)) << "\n";
  }
}

int fail(const shiftd::Failure& failure) {
  complain(failure.what);
  return static_cast<int>(shiftd::exit_code_of(failure));
}

int rescue(const shiftd::Options& options) {
  auto text = shiftd::rescue(options.journal, options.rollout);
  if (!text) return fail(text.error());
  std::cout << *text;
  return 0;
}

int replay(const shiftd::Options& options) {
  auto done = shiftd::replay_files({options.files, options.settings, options.explain, options.ticks}, std::cout);
  return done ? 0 : fail(done.error());
}

int ask(shiftd::Options options) {
  bool plans = options.command == "plan";
  auto wrong = [plans](const shiftd::Failure& failure) {
    return plans ? (complain(failure.what), static_cast<int>(shiftd::PlanCode::error)) : fail(failure);
  };
  auto daemon = shiftd::daemon_of(options);
  if (!daemon) return wrong(daemon.error());
  boost::asio::io_context loop(1);
  auto clock = shiftd::make_system_clock();
  shiftd::DaemonClient client(*clock, std::move(*daemon));
  std::optional<shiftd::Result<shiftd::ExitCode>> ended;
  auto on_end = [&](std::exception_ptr thrown, shiftd::Result<shiftd::ExitCode> result) {
    if (thrown) std::rethrow_exception(thrown);
    ended.emplace(std::move(result));
  };
  boost::asio::co_spawn(loop, shiftd::run_command(client, std::move(options)), on_end);
  loop.run();
  if (!ended) return static_cast<int>(shiftd::ExitCode::failed);
  return *ended ? static_cast<int>(**ended) : wrong(ended->error());
}

}  // namespace

int main(int count, char** words) {
  int ending = 0;
  auto options = shiftd::parse_options(count, words, ending);
  if (!options) return ending;
  if (options->command == "verdict replay") return replay(*options);
  return options->command == "rescue" ? rescue(*options) : ask(std::move(*options));
}
