#include "daemon/shiftctl/screen.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "daemon/base/basis_points.hpp"
#include "daemon/base/time.hpp"
#include "daemon/shiftctl/table.hpp"

namespace shiftd {
namespace {

using nlohmann::json;

struct Cell {
  std::string_view phase;
  char letter;
  std::string_view colour;  // SGR parameters
};
// Lower case on the way out, upper case while out, '#' upgraded.
constexpr std::array cells = {
    Cell{"pooled_old", '.', "37"},  Cell{"preparing", 'p', "36"},         Cell{"ready", ':', "36"},       Cell{"quiescing", 'q', "33"},
    Cell{"requiescing", 'q', "35"}, Cell{"depooling", 'd', "33"},         Cell{"draining", 'd', "33"},    Cell{"upgrading", 'U', "1;33"},
    Cell{"verifying", 'V', "1;33"}, Cell{"awaiting_health", 'V', "1;33"}, Cell{"joining", 'j', "32"},     Cell{"serving_new", '#', "1;32"},
    Cell{"withdrawing", 'w', "35"}, Cell{"emptying", 'w', "35"},          Cell{"reverting", 'R', "1;35"}, Cell{"reverifying", 'R', "1;35"},
    Cell{"rejoining", 'r', "35"},   Cell{"restored", 'o', "34"},          Cell{"straggler", 's', "31"},   Cell{"out", 'X', "1;31"},
    Cell{"left", '!', "1;31"},
};

Cell cell_of(std::string_view phase) {
  auto found = std::find_if(cells.begin(), cells.end(), [&](const auto& cell) { return cell.phase == phase; });
  return found == cells.end() ? Cell{phase, '?', "31"} : *found;
}

constexpr std::size_t label_width = 10;

bool begins_a_column(char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }

// As many whole words as fit into `room` columns; where not even one fits and `cut` is set, as much of it as does.
std::string_view fitting(std::string_view text, std::size_t room, bool cut) {
  std::size_t columns = 0;
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if (begins_a_column(text[end]) && ++columns > room) break;
  }
  if (end == text.size()) return text;
  auto space = text.substr(0, end + 1).rfind(' ');
  if (space != std::string_view::npos) return text.substr(0, space);
  return cut ? text.substr(0, end) : std::string_view();
}

// Lines that are cut to the screen's width. Columns are counted as code points.
class Page {
 public:
  explicit Page(Look look) : look_(look) {}

  void add(std::string_view text, std::string_view colour = "") {
    if (look_.colour && !colour.empty()) text_ += fmt::format("\x1b[{}m", colour);
    for (char c : text) {
      if (begins_a_column(c) && column_ >= look_.width) break;
      column_ += begins_a_column(c) ? 1 : 0;
      text_ += c;
    }
    if (look_.colour && !colour.empty()) text_ += "\x1b[0m";
  }
  void end() {
    text_ += '\n';
    column_ = 0;
    ++lines_;
  }
  // A sentence that goes on in further lines, below where most sentences begin.
  void sentence(std::string_view text, std::string_view colour = "") {
    const std::string indent(look_.width > 2 * label_width ? label_width : 0, ' ');
    for (bool fresh = column_ == 0;; fresh = true) {
      auto piece = fitting(text, left(), fresh);
      add(piece, colour);
      text.remove_prefix(piece.size());
      text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
      end();
      if (text.empty()) return;
      add(indent);
    }
  }
  void line(std::string_view text, std::string_view colour = "") {
    add(text, colour);
    end();
  }
  [[nodiscard]] std::size_t left() const { return look_.width > column_ ? look_.width - column_ : 0; }
  [[nodiscard]] std::size_t lines() const { return lines_; }
  void append(Page page) {
    lines_ += page.lines_;
    text_ += page.text_;
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  Look look_;
  std::string text_;
  std::size_t column_ = 0;
  std::size_t lines_ = 0;
};

std::string_view tone_colour(Tone tone) {
  switch (tone) {
    case Tone::plain: return "";
    case Tone::good: return "32";
    case Tone::warning: return "33";
    case Tone::bad: return "31";
  }
  return "";
}

std::string state_words(const json& status) {
  auto outcome = field(status, "outcome");
  auto words = outcome == "none" ? field(status, "phase") : outcome;
  if (status.value("paused", false)) words += ", paused";
  if (auto held = field(status, "held"); !held.empty()) words += ", held: " + held;
  if (auto reason = field(status, "reason"); !reason.empty()) words += ": " + reason;
  return words;
}

void head(Page& page, const json& status) {
  page.add(fmt::format("{} to {}  ", field(status, "service"), field(status, "version")), "1");
  page.add(field(status, "rollout") + "  ");
  auto outcome = field(status, "outcome");
  bool bad = outcome == "rolled_back" || outcome == "failed" || outcome == "aborted" || status.value("condemned", false);
  bool waits = status.value("paused", false) || !field(status, "held").empty() || field(status, "phase") == "gated";
  page.sentence(state_words(status), bad ? "1;31" : waits ? "1;33" : "1;32");
  const auto& request = status.at("request");
  auto reason = field(request, "reason");
  page.sentence(fmt::format("by {}{}{}", field(request, "by"), reason.empty() ? "" : ": ", reason));
}

void stages(Page& page, const json& status) {
  page.add("stages    ");
  auto now = status.value("stage", 0U);
  bool over = field(status, "outcome") != "none";
  std::size_t index = 0;
  for (const auto& stage : status.at("stages")) {
    auto share = to_string(BasisPoints{stage.value("asked_bp", 0)});
    bool current = index == now && !over;
    page.add(current ? fmt::format("[{}]", share) : fmt::format(" {} ", share), current ? "1;7" : index < now || over ? "32" : "");
    ++index;
  }
  auto rest = status.value("bake_remaining_ms", std::int64_t{0});
  if (rest > 0) page.add(fmt::format("  bakes for another {}", to_string(Duration((rest + 999) / 1000 * 1000))));
  page.end();
}

void share(Page& page, const json& status) {
  const auto& share = status.at("share");
  double asked = BasisPoints{share.value("asked_bp", 0)}.fraction();
  double served = std::clamp(share.value("served", 0.0), 0.0, 1.0);
  auto words = fmt::format(" asked {}, achievable {}, served {}", to_string(BasisPoints{share.value("asked_bp", 0)}),
                           percent(share.value("achievable", 0.0)), percent(served));
  page.add("share     ");
  auto room = page.left();
  auto wide = room > words.size() + 12 ? std::min<std::size_t>(room - words.size() - 2, 50) : 10;
  auto columns = [&](double part) { return static_cast<std::size_t>(std::lround(part * static_cast<double>(wide))); };
  auto filled = std::max<std::size_t>(columns(served), served > 0 ? 1 : 0);
  auto mark = asked > 0 ? std::max<std::size_t>(columns(asked), 1) - 1 : wide;
  std::string bar(wide, '.');
  std::fill_n(bar.begin(), std::min(filled, wide), '#');
  if (mark < wide) bar[mark] = '|';
  page.add("[" + bar + "]", "36");
  page.line(words);
}

void hosts(Page& page, const json& status) {
  std::map<std::string, std::size_t> count;
  page.add("hosts     ");
  for (const auto& host : status.at("hosts")) {
    auto phase = field(host, "phase");
    if (page.left() == 0) page.end(), page.add("          ");
    auto cell = field(host, "role") == "upgrade" ? cell_of(phase) : Cell{phase, field(host, "role") == "already_there" ? '=' : '-', "2"};
    page.add(std::string_view(&cell.letter, 1), cell.colour);
    ++count[field(host, "role") == "upgrade" ? phase : field(host, "role")];
  }
  page.end();
  page.add("          ");
  bool first = true;
  for (const auto& [phase, many] : count) {
    auto letter = phase == "already_there" ? '=' : phase == "outside" ? '-' : cell_of(phase).letter;
    page.add(fmt::format("{}{} {} {}", first ? "" : ", ", letter, many, phase));
    first = false;
  }
  page.end();
}

void cohort(Page& page, const json& verdict, const std::string& name) {
  auto requests = verdict.value(name + "_requests", std::uint64_t{0});
  auto failures = verdict.value(name + "_failures", std::uint64_t{0});
  auto rate = requests > 0 ? percent(static_cast<double>(failures) / static_cast<double>(requests)) : "-";
  page.line(fmt::format("{:<9} {:>10} requests {:>8} 5xx {:>8}", name, requests, failures, rate),
            failures > 0 && name == "canary" ? "31" : "");
}

void evidence(Page& page, const json& status) {
  const auto& verdict = status.at("verdict");
  cohort(page, verdict, "canary");
  cohort(page, verdict, "baseline");
  if (auto words = field(verdict, "evidence"); !words.empty()) page.sentence("verdict   " + words);
  for (const auto& metric : status.value("metrics", json::array())) {
    auto trouble = field(metric, "trouble");
    bool ignored = metric.value("ignored", false);
    bool bad = metric.value("speaks_against", false) && !ignored;
    page.line(fmt::format("{:<9} {}{} (may {})", field(metric, "name"), ignored ? "ignored: " : "",
                          trouble.empty() ? field(metric, "text") : trouble, field(metric, "may")),
              bad               ? "31"
              : trouble.empty() ? ""
                                : "33");
  }
  if (auto wanted = verdict.value("watch_ms", std::int64_t{0}); wanted > 0 && field(status, "outcome") == "none") {
    auto known = Duration(verdict.value("watched_ms", std::int64_t{0}) / 1000 * 1000);
    page.line(fmt::format("history   {} of the {} that the verdict wants are known", to_string(known), to_string(Duration(wanted))), "33");
  }
  for (const auto& closed : status.value("closed", json::array()))
    page.sentence(fmt::format("closed    {}: {}", field(closed, "pool"), field(closed, "why")), "33");
  for (const auto& sink : status.value("unannounced", json::array()))
    page.sentence(fmt::format("untold    {}: {}", field(sink, "sink"), field(sink, "why")), "33");
  for (const auto& lost : status.at("lost"))
    page.sentence(fmt::format("lost      {}: {}", field(lost, "source"), field(lost, "why")), "31");
}

// As many of the last events as there is room for.
void latest(Page& page, std::span<const Sentence> events, Look look) {
  std::vector<Page> shown;
  auto lines = page.lines();
  for (; !events.empty(); events = events.first(events.size() - 1)) {
    Page event(look);
    event.sentence(events.back().time + "  " + events.back().text, tone_colour(events.back().tone));
    lines += event.lines();
    if (lines > look.rows) break;
    shown.push_back(std::move(event));
  }
  for (auto event = shown.rbegin(); event != shown.rend(); ++event) page.append(std::move(*event));
}

std::string member_words(const json& member) {
  auto words = fmt::format("{}/{} {} {}", field(member, "pool"), field(member, "name"), field(member, "pooled"), member.value("weight", 0));
  if (member.value("weight", 0) != member.value("original_weight", 0))
    words += fmt::format(" (was {})", member.value("original_weight", 0));
  if (field(member, "holder") == "theirs") words += " held by somebody else";
  if (!member.value("confirmed", true)) words += " unconfirmed";
  return words;
}

void host_lines(Page& page, const json& status) {
  std::size_t widest = 4;
  for (const auto& host : status.at("hosts")) widest = std::max(widest, field(host, "name").size());
  for (const auto& host : status.at("hosts")) {
    auto phase = field(host, "role") == "upgrade" ? field(host, "phase") : field(host, "role");
    auto line = fmt::format("{:<{}}  {:<15} {:<7} {:>9} requests {:>6} 5xx ", field(host, "name"), widest, phase, field(host, "release"),
                            host.value("requests", std::uint64_t{0}), host.value("failures", std::uint64_t{0}));
    for (const auto& member : host.at("members")) line += " " + member_words(member);
    if (auto why = field(host, "why"); !why.empty()) line += "  " + why;
    page.sentence(line, host.value("failed", false) ? "31" : "");
  }
}

template <class Write>
Result<std::string> text_of(std::string_view given, Write write) {
  auto value = json::parse(given, nullptr, false);
  try {
    if (!value.is_object()) return Failure{Errc::unexpected_reply, "shiftd answered something that is no status"};
    return write(value);
  } catch (const json::exception& error) {
    return Failure{Errc::unexpected_reply, std::string("shiftd answered something that is no status: ") + error.what()};
  }
}

template <class Write>
Result<std::string> page_of(std::string_view given, Look look, Write write) {
  return text_of(given, [&](const json& value) {
    Page page(look);
    write(page, value);
    return page.take();
  });
}

}  // namespace

Result<std::string> draw(std::string_view status, std::span<const Sentence> events, std::string_view notice, Look look) {
  return page_of(status, look, [&](Page& page, const json& value) {
    if (!notice.empty()) page.sentence(clean(notice), "1;31");
    head(page, value);
    stages(page, value);
    share(page, value);
    hosts(page, value);
    evidence(page, value);
    page.end();
    latest(page, events, look);
  });
}

Result<std::string> draw_status(std::string_view status, Look look) {
  return page_of(status, look, [&](Page& page, const json& value) {
    head(page, value);
    stages(page, value);
    share(page, value);
    evidence(page, value);
    page.end();
    host_lines(page, value);
  });
}

Result<std::string> draw_list(std::string_view list) {
  return text_of(list, [](const json& value) {
    std::vector<Row> rows;
    for (const auto& brief : value.at("rollouts")) {
      auto outcome = field(brief, "outcome");
      rows.push_back({to_string(Instant(Duration(brief.value("created", std::int64_t{0})))).substr(0, 19), field(brief, "rollout"),
                      field(brief, "service"), field(brief, "version"), outcome == "none" ? field(brief, "phase") : outcome,
                      field(brief, "reason")});
    }
    return table_of(rows, "");
  });
}

}  // namespace shiftd
