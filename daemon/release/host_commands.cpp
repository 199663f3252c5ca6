#include "daemon/release/host_commands.hpp"

#include <utility>

#include "daemon/base/invariant.hpp"
#include "daemon/release/job_logs.hpp"
#include "daemon/release/placeholders.hpp"
#include "daemon/release/release_scripts.hpp"
#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

// No placeholder passes for an id.
constexpr const char* any_job = "shiftd-any-job";

// `text` with the one place where `value` stands as a placeholder.
std::string with_place(std::string text, std::string_view value, std::string_view place) {
  auto at = text.find(value);
  INVARIANT(at != std::string::npos, "the program holds the value that it was made with");
  return text.replace(at, value.size(), place);
}

std::string in_any_epoch(std::string text) { return with_place(std::move(text), "epoch=0", "epoch={{epoch}}"); }

class Listing {
 public:
  Listing(const ReleaseOptions& options, std::string base, const HostPlace& host)
      : options_(options), base_(std::move(base)), values_{{"host", host.name}, {"address", host.address}, {"path", base_}} {
    values_["release"] = options.custom ? "{{version}}" : "{{release}}";
    values_["version"] = "{{version}}";
  }

  Result<void> tarball() {
    command("inspect", current_script(base_));
    auto brings = [&](std::optional<std::int64_t> room, const char* url) {
      return in_any_epoch(prepare_script(base_, "{{digest}}", room, options_.keep, 0, url));
    };
    command("prepare", with_place(brings(std::nullopt, ""), "room=", "room={{kilobytes}}"));
    command("fetch", with_place(brings(0, "{{url}}"), "room=0", "room={{kilobytes}}"));
    command("note", note_script(base_, "{{release}}", "{{rollout}}"));
    auto restart = fill_placeholders(options_.restart, values_);
    if (!restart) return std::move(restart).error().during("restart command");
    return job("swap", swap_script(base_, "{{release}}", *restart), options_.restart_limit);
  }

  Result<void> custom(const CustomSteps& steps) {
    command("make-directory", directory_script(base_));
    for (const auto& [name, text] : {std::pair("prepare", steps.prepare), std::pair("dry-run", steps.dry_run)}) {
      if (auto added = own(name, text); !added) return added;
    }
    auto restart = fill_placeholders(options_.restart, values_);
    if (!restart) return std::move(restart).error().during("restart command");
    for (const auto& [name, text] : {std::pair("run", steps.run), std::pair("revert", steps.revert)}) {
      auto filled = fill_placeholders(text, values_);
      if (!filled) return std::move(filled).error().during(name);
      if (auto added = job(name, steps_script(*filled, *restart), options_.restart_limit); !added) return added;
    }
    return {};
  }

  Result<void> reboot() {
    auto reboot = fill_placeholders(options_.reboot, values_);
    if (!reboot) return std::move(reboot).error().during("reboot command");
    auto boot_id = fill_placeholders(options_.boot_id, values_);
    if (!boot_id) return std::move(boot_id).error().during("boot_id");
    command("boot", with_place(boot_question(base_, any_job, *boot_id), any_job, "{{job}}"));
    return job("reboot", reboot_script(*boot_id, *reboot), options_.reboot_limit);
  }

  Result<std::vector<HostCommand>> finish() && {
    if (auto added = own("version", options_.version_url.empty() ? options_.version_command : ""); !added) return added.error();
    if (options_.custom && options_.custom->where == CustomSteps::Where::shiftd) return std::move(commands_);
    command("logs", job_logs_script(base_, "{{rollout}}"));
    auto question = job_question(work(), any_job);
    if (!question) return std::move(question).error();
    commands_.push_back({"look", true, with_place(*question, any_job, "{{job}}")});
    return std::move(commands_);
  }

 private:
  [[nodiscard]] std::string work() const { return base_ + "/.shiftd"; }
  void command(std::string name, std::string text) { commands_.push_back({std::move(name), false, std::move(text)}); }

  // A command of the service's own; it need not be given.
  Result<void> own(const char* name, const std::string& text) {
    auto filled = fill_placeholders(text, values_);
    if (!filled) return std::move(filled).error().during(name);
    if (!filled->empty()) command(name, std::move(*filled));
    return {};
  }

  Result<void> job(std::string name, std::string script, Duration limit) {
    auto program = job_program({any_job, std::move(script), work(), limit, 0});
    if (!program) return std::move(program).error();
    commands_.push_back({std::move(name), true, in_any_epoch(with_place(*program, any_job, "{{job}}"))});
    return {};
  }

  const ReleaseOptions& options_;
  std::string base_;
  Placeholders values_;
  std::vector<HostCommand> commands_;
};

}  // namespace

Result<std::vector<HostCommand>> release_commands(const ReleaseOptions& options, const HostPlace& host) {
  auto base = release_base(options, host);
  if (!base) return base.error();
  Listing listing(options, std::move(*base), host);
  bool elsewhere = options.custom && options.custom->where == CustomSteps::Where::shiftd;
  auto listed = elsewhere ? Result<void>{} : options.custom ? listing.custom(*options.custom) : listing.tarball();
  if (listed && !options.reboot.empty()) listed = listing.reboot();
  if (!listed) return std::move(listed).error();
  return std::move(listing).finish();
}

std::string list_of(const std::vector<HostCommand>& commands) {
  std::string list;
  for (const auto& [name, by_input, text] : commands) {
    list += (by_input ? "input " : "command ") + name + "\n\t";
    for (char c : text) list += c == '\n' ? std::string("\n\t") : std::string(1, c);
    list += '\n';
  }
  return list;
}

}  // namespace shiftd
