#include "tests/fakes/fake_executor.hpp"

#include <utility>

#include <boost/asio/this_coro.hpp>

#include "daemon/io/within.hpp"
#include "tests/fakes/process.hpp"

namespace shiftd {

void FakeExecutor::on(std::string text, CommandResult result, Duration takes) {
  on(
      std::move(text), [result](const std::string&, const std::string&) -> Result<CommandResult> { return result; }, takes);
}

void FakeExecutor::on(std::string text, Answer answer, Duration takes) { scripts_.push_back({std::move(text), std::move(answer), takes}); }

void FakeExecutor::go_down(Failure why) {
  down_ = std::move(why);
  drop_connection();
}

void FakeExecutor::drop_connection() {
  connected_ = false;
  if (dropped_) dropped_->notify();
}

void FakeExecutor::close() { drop_connection(); }

const FakeExecutor::Script* FakeExecutor::script_for(const std::string& command) const {
  for (auto script = scripts_.rbegin(); script != scripts_.rend(); ++script) {
    if (command.find(script->text) != command.npos) return &*script;
  }
  return nullptr;
}

Task<Result<void>> FakeExecutor::open() {
  if (!dropped_) dropped_.emplace(co_await boost::asio::this_coro::executor);
  if (down_) co_return *down_;
  if (!std::exchange(connected_, true)) ++opened;
  co_return Result<void>{};
}

// Until `when`, unless the connection goes first.
Task<Result<void>> FakeExecutor::wait_until(Steady when) {
  auto now = clock_.steady();
  if (when <= now) co_return Result<void>{};
  auto wait = [](Moved& dropped, std::uint64_t seen) -> Task<Result<void>> {
    co_await dropped.since(seen);
    co_return Result<void>{};
  };
  auto lost = co_await within(clock_, when - now, wait(*dropped_, dropped_->count()));
  if (lost) co_return Failure{Errc::timed_out, "connection lost during the command, which may have run"};
  co_return Result<void>{};
}

Task<Result<CommandResult>> FakeExecutor::run(std::string command, std::string input) {
  auto opened_now = co_await open();
  if (!opened_now) co_return opened_now.error();
  commands.push_back(command);
  const auto* script = script_for(command);
  if (script == nullptr) co_return CommandResult{.exit_status = 127, .out = {}, .err = command + ": not found", .truncated = false};
  auto answer = script->answer;
  auto waited = co_await wait_until(clock_.steady() + script->takes);
  if (!waited) co_return waited.error();
  co_return answer(command, input);
}

Task<Result<CommandResult>> FakeExecutor::send(std::string local_path, std::string command, Duration) {
  auto text = read_text(local_path);
  if (text.empty()) co_return Failure{Errc::bad_input, "cannot read " + local_path};
  co_return co_await run(std::move(command), std::move(text));
}

Task<Result<CommandResult>> FakeExecutor::job(RemoteJob job) {
  auto opened_now = co_await open();
  if (!opened_now) co_return opened_now.error();
  auto now = clock_.steady();
  if (!jobs_.contains(job.id)) {
    for (const auto& [id, other] : jobs_) {
      if (other.dir == job.dir && other.ends > now) {
        co_return Failure{Errc::refused, "job " + job.id + ": the lock is held by job " + id};
      }
    }
    commands.push_back(job.script);
    const auto* script = script_for(job.script);
    Result<CommandResult> result = CommandResult{.exit_status = 127, .out = "not found", .err = {}, .truncated = false};
    if (script != nullptr) result = script->answer(job.script, {});
    auto takes = script == nullptr ? Duration(0) : script->takes;
    if (takes > job.limit) {
      result = Failure{Errc::exhausted, "job " + job.id + " was ended after its limit of " + to_string(job.limit)};
      takes = job.limit;
    }
    jobs_.insert({job.id, Job{job.dir, now + takes, std::move(result)}});
  }
  auto& mine = jobs_.at(job.id);
  auto waited = co_await wait_until(mine.ends);
  if (!waited) co_return waited.error();
  co_return mine.result;
}

Task<Result<std::optional<CommandResult>>> FakeExecutor::job_result(std::string, std::string id) {
  auto opened_now = co_await open();
  if (!opened_now) co_return opened_now.error();
  auto found = jobs_.find(id);
  if (found == jobs_.end()) co_return std::optional<CommandResult>();
  if (found->second.ends > clock_.steady()) co_return Failure{Errc::unavailable, "job " + id + " runs still"};
  if (!found->second.result) co_return found->second.result.error();
  co_return std::optional<CommandResult>(*found->second.result);
}

}  // namespace shiftd
