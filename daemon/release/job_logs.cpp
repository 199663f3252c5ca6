#include "daemon/release/job_logs.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "daemon/base/shell.hpp"

namespace shiftd {
namespace {

constexpr std::string_view show_jobs = R"sh(
for script in $(ls -tr); do
  case $script in "$rollout"-*.script) job=${script%.script} ;; *) continue ;; esac
  [ -s "$job.result" ] || continue
  echo "== $job, $(date -u -r "$script" +%Y-%m-%dT%H:%M:%SZ)"
  [ "$(stat -c %s "$job.out" 2>/dev/null || echo 0)" -le "$most" ] || echo "(its last $most bytes)"
  tail -c "$most" "$job.out" 2>/dev/null | tr -d '\000'
  [ -z "$(tail -c 1 "$job.out" 2>/dev/null)" ] || echo
  result=; read -r result <"$job.result"
  case $result in
    done*) echo "-- ended with ${result#done }" ;;
    limit*) echo "-- was ended at its limit" ;;
    *) read -r holder _ <../lock; if [ "$holder" != "$job" ] || flock -n -s ../lock true; then echo "-- vanished"; fi ;;
  esac
done
exit 0
)sh";

constexpr std::array<std::string_view, 7> secret_names = {"password", "passwd", "passphrase", "secret", "token", "apikey", "api_key"};

bool same_letters(char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; }
bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Where the value after a secret's name begins; npos: no name is followed by one here. `at` comes to stand behind the name.
std::size_t value_after_name(std::string_view line, std::size_t& at) {
  for (auto name : secret_names) {
    if (line.size() - at < name.size() || !std::equal(name.begin(), name.end(), line.begin() + static_cast<std::ptrdiff_t>(at),
                                                      [](char n, char c) { return same_letters(c, n); }))
      continue;
    auto next = at + name.size();
    while (next < line.size() && (line[next] == '"' || line[next] == '\'' || is_blank(line[next]))) ++next;
    if (next >= line.size() || (line[next] != '=' && line[next] != ':')) continue;
    ++next;
    while (next < line.size() && is_blank(line[next])) ++next;
    if (next < line.size()) return next;
  }
  return std::string_view::npos;
}

std::string masked_line(std::string_view line) {
  std::string text;
  for (std::size_t at = 0; at < line.size();) {
    auto value = value_after_name(line, at);
    if (value != std::string_view::npos) {
      text.append(line.substr(at, value - at)).append("***");
      auto quote = line[value];
      bool quoted = quote == '"' || quote == '\'';
      auto end = quoted ? line.find(quote, value + 1) : line.find_first_of(" \t,;&", value);
      at = end == std::string_view::npos ? line.size() : end + (quoted ? 1 : 0);
      continue;
    }
    // scheme://user:password@host
    if (line.substr(at).starts_with("://")) {
      auto end = std::min(line.find_first_of(" \t/\"'?#", at + 3), line.size());
      auto authority = line.substr(at + 3, end - at - 3);
      auto sign = authority.rfind('@');
      auto colon = authority.find(':');
      if (sign != std::string_view::npos && colon < sign) {
        text.append("://").append(authority.substr(0, colon + 1)).append("***").append(authority.substr(sign));
        at = end;
        continue;
      }
    }
    text += line[at++];
  }
  return text;
}

}  // namespace

std::string masked(std::string_view text) {
  std::string all;
  while (!text.empty()) {
    auto end = std::min(text.find('\n'), text.size());
    all += masked_line(text.substr(0, end));
    if (end < text.size()) all += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return all;
}

std::string job_logs_script(const std::string& base, const std::string& rollout) {
  return fmt::format("LC_ALL=C; rollout={}; most={}; cd {} 2>/dev/null || exit 0\n{}", shell_quote(rollout), job_log_most,
                     shell_quote(base + "/.shiftd/jobs"), show_jobs);
}

Task<Result<std::string>> job_logs(Executor& host, std::string base, std::string rollout) {
  auto result = co_await host.run(job_logs_script(base, rollout));
  if (!result) co_return std::move(result).error();
  auto text = masked(result->out);
  co_return result->truncated ? text + "\n... and more\n" : text;
}

}  // namespace shiftd
