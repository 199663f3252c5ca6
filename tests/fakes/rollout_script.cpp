#include "tests/fakes/rollout_script.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <memory>
#include <sstream>

#include "tests/fakes/engine_world.hpp"
#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr int rounds_most = 2'000;

// One command: words, with '...' for words that hold spaces; key=value words apart from the others.
class Line {
 public:
  explicit Line(const std::string& text) : text_(text) {
    std::string word;
    bool quoted = false;
    bool any = false;
    for (char c : text + " ") {
      if (c == '\'') {
        quoted = !quoted;
        any = true;
      } else if (c == ' ' && !quoted) {
        if (any || !word.empty()) words_.push_back(std::move(word));
        word.clear();
        any = false;
      } else {
        word += c;
      }
    }
  }

  [[nodiscard]] const std::string& verb() const { return words_.at(0); }
  // The word after the verb at `at`, key=value words not counted.
  [[nodiscard]] std::string word(std::size_t at, const std::string& otherwise = {}) const {
    for (std::size_t index = 1; index < words_.size(); ++index) {
      if (words_[index].find('=') != std::string::npos && words_[index].find(' ') == std::string::npos) continue;
      if (at-- == 0) return words_[index];
    }
    return otherwise;
  }
  [[nodiscard]] std::string value(const std::string& key, const std::string& otherwise = {}) const {
    for (const auto& word : words_) {
      if (word.starts_with(key + "=")) return word.substr(key.size() + 1);
    }
    return otherwise;
  }
  [[nodiscard]] bool has(const std::string& word) const { return std::find(words_.begin(), words_.end(), word) != words_.end(); }
  [[noreturn]] void refuse(const std::string& why) const { throw std::invalid_argument("'" + text_ + "': " + why); }

 private:
  std::string text_;
  std::vector<std::string> words_;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

int number(const std::string& text) { return std::stoi(text); }

std::set<int> numbers(const std::string& text) {
  std::set<int> all;
  for (const auto& part : split(text, '+')) all.insert(number(part));
  return all;
}

HostQuota quota(const std::string& text) {
  if (text.ends_with('%')) return {0, parse_share(text).value()};
  return {number(text), {}};
}

class Script {
 public:
  std::string run(const Line& line) {
    out_.clear();
    if (line.verb() == "plan") {
      plan(line);
    } else if (!world_) {
      line.refuse("no plan yet");
    } else {
      happen(line);
    }
    return out_;
  }

 private:
  EngineWorld& world() { return *world_; }
  const Rollout& rollout() { return world_->rollout; }

  void plan(const Line& line) {
    FleetSpec fleet;
    fleet.hosts = number(line.value("hosts", "10"));
    fleet.weights.clear();
    for (const auto& weight : split(line.value("weight", "100"), '/')) fleet.weights.push_back(number(weight));
    fleet.pools = split(line.value("pools", "app"), '+');
    fleet.already = numbers(line.value("already"));
    fleet.depooled = numbers(line.value("depooled"));
    fleet.missed = numbers(line.value("missed"));
    fleet.without = numbers(line.value("without"));
    fleet.capabilities.cuts_connections = line.value("cuts") == "yes";
    if (auto threshold = line.value("threshold"); !threshold.empty()) fleet.threshold = {"lb1/app", std::stod(threshold), 0, 0};
    Strategy strategy;
    strategy.stages = stages_of(line.value("stages", "10%,100%"));
    auto canary = line.value("canary", "1");
    if (std::isdigit(canary.front()) == 0) {
      strategy.canary = split(canary, '+');
    } else {
      strategy.canary = quota(canary);
    }
    strategy.batch = quota(line.value("batch", "1"));
    strategy.max_failed = quota(line.value("max_failed", "10%"));
    if (auto ahead = line.value("prepare_ahead"); !ahead.empty()) strategy.prepare_ahead = ahead == "all" ? every_host : quota(ahead);
    if (auto at_once = line.value("prepare_at_once"); !at_once.empty()) strategy.prepare_at_once = number(at_once);
    if (auto floor = line.value("floor"); !floor.empty()) strategy.floor = parse_share(floor).value();
    if (auto load = line.value("max_load"); !load.empty()) strategy.max_load = std::stod(load);
    strategy.scale_pool = line.value("scale_pool") == "yes";
    strategy.allow_downtime = line.value("allow_downtime") == "yes";
    strategy.on_drain_limit = line.value("on_drain_limit") == "go_on" ? DrainDeadline::go_on : DrainDeadline::give_back;
    strategy.drain_limit = duration_of(line.value("drain_limit", "5m"));
    strategy.drain_grace = duration_of(line.value("drain_grace", "0s"));
    auto limit = split(line.value("limit"), '+');
    auto made = make_plan(request_for(limit), strategy, fleet_of(fleet));
    if (!made) return print("refused: " + made.error().what);
    made->watch = duration_of(line.value("watch", "0s"));
    for (const auto& stage : made->stages) {
      print("stage " + to_string(stage.asked) + ": " + std::to_string(stage.hosts) + " of " + std::to_string(made->hosts.size()) +
            " hosts, gives " + percent(stage.achievable));
    }
    for (const auto& note : made->notes) print("note: " + note);
    world_ = std::make_unique<EngineWorld>(*made);
    began_ = world_->now;
    codec_ = Codec();
    told_state_ = Rollout();
    told_ = 0;
    quiet_ = true;
    tell_journal();
    quiet_ = false;
  }

  void happen(const Line& line) {
    const auto& verb = line.verb();
    auto text = line.word(1, "no reason");
    if (verb == "run") return run_on(line);
    if (verb == "state") return state();
    if (verb == "after") {
      world().now += duration_of(line.word(0));
      return tell(world().feed(Tick{}));
    }
    if (verb == "crash") {
      world().crash();
      for (const auto& effect : outstanding(rollout())) print(text_of(rollout(), effect));
      return;
    }
    if (verb == "done" || verb == "fail") must_be_under_way(line);
    if (verb == "done") return tell(world().finish(host(line), line.word(2)));
    if (verb == "fail") return tell(world().fail(host(line), line.word(2, "exit 1")));
    if (verb == "late") return tell(world().feed(StepDone{host(line), 1, world().shown_of(host(line))}));
    if (verb == "written") {
      each_member(line, [&](MemberIndex member) {
        if (rollout().members[member].effect != 0) tell(world().write(member));
      });
      return;
    }
    if (verb == "seen") return tell(world().feed(HostSeen{host(line), seen(line)}));
    if (verb == "changed") {
      each_member(line, [&](MemberIndex member) {
        const auto& plan = rollout().plan;
        auto in = line.value("in");
        if (!in.empty() && plan.pools[plan.members[member].pool].name != in) return;
        auto setting = world().store[member].setting;
        if (line.value("pooled") == "no") setting.pooled = Pooled::no;
        if (line.value("pooled") == "yes") setting.pooled = Pooled::yes;
        setting.weight = number(line.value("weight", std::to_string(setting.weight)));
        world().meddle(member, setting);
        tell(world().watch(member));
      });
      return;
    }
    if (verb == "forgot") return tell(world().forget(0));
    if (verb == "closed") return tell(world().feed(PoolCloses{pool_named(line), text}));
    if (verb == "opened") return tell(world().feed(PoolOpens{pool_named(line)}));
    if (verb == "threshold") {
      auto counted = static_cast<std::uint32_t>(number(line.value("of", std::to_string(rollout().hosts.size()))));
      return tell(world().feed(ThresholdSeen{pool_named(line), {"lb1/app", std::stod(line.word(1)), counted, 0}}));
    }
    if (verb == "lost") return tell(world().feed(SourceSilent{line.word(0), text}));
    if (verb == "back") return tell(world().feed(SourceAnswers{line.word(0)}));
    if (verb == "check") return tell(world().feed(CheckFailed{host(line), text}));
    if (verb == "down") return world().down.insert(host(line)), tell(world().see(host(line)));
    if (verb == "up") return world().down.erase(host(line)), tell(world().see(host(line)));
    if (verb == "busy") return void(world().busy.insert(host(line)));
    if (verb == "idle") return void(world().busy.erase(host(line)));
    if (verb == "served") {
      auto of = std::stod(line.value("of"));
      return tell(world().feed(
          Served{0, std::stod(line.word(0)), of, duration_of(line.value("without", "0s")), std::stod(line.value("without_of", "0"))}));
    }
    if (verb == "answered") return tell(world().feed(Answered{host(line), std::stod(line.value("of")), std::stod(line.word(1))}));
    if (verb == "history") return tell(world().feed(HistoryGrew{duration_of(line.word(0))}));
    if (verb == "judge") {
      auto call = line.word(0) == "rollback" ? Judgement::roll_back : Judgement::promote;
      return tell(world().feed(Judged{rollout().stage, call, text}));
    }
    if (verb == "jump")
      return tell(
          world().feed(TimeJumped{line.word(0).starts_with('-') ? -duration_of(line.word(0).substr(1)) : duration_of(line.word(0))}));
    if (verb == "command") return command(line);
    line.refuse("no such command");
  }

  void command(const Line& line) {
    const std::array verbs = {Verb::pause, Verb::resume, Verb::promote, Verb::roll_back, Verb::abort, Verb::release_hold, Verb::take};
    auto found = std::find_if(verbs.begin(), verbs.end(), [&](Verb verb) { return to_string(verb) == line.word(0); });
    if (found == verbs.end()) line.refuse("no such command");
    bool of_host = *found == Verb::take || *found == Verb::release_hold;
    auto who = of_host ? host_named(line, line.word(1)) : 0;
    bool overrides = line.value("override") == "yes";
    Command command{*found, who, "ada", line.word(of_host ? 2 : 1), overrides, line.value("force") == "yes"};
    if (auto allowed = permits(rollout(), command); !allowed) return print("refused: " + allowed.error().what);
    tell(world().feed(command));
  }

  void run_on(const Line& line) {
    brief_ = line.has("brief");
    quiet_ = line.has("quiet");
    auto until = line.value("until");
    auto reached = [&] {
      auto colon = until.find(':');
      if (until.empty()) return false;
      if (colon == std::string::npos) return to_string(rollout().phase) == until;
      return to_string(rollout().hosts[host_named(line, until.substr(0, colon))].phase) == until.substr(colon + 1);
    };
    int idle = 0;
    for (int round = 0; round < rounds_most && !reached() && idle < 120; ++round) {
      auto records = world().journal.size();
      if (!world().answer() && !world().wait()) break;
      tell_journal();
      idle = world().journal.size() == records ? idle + 1 : 0;
    }
    brief_ = quiet_ = false;
    if (!until.empty() && !reached()) print("never reached " + until);
    if (until.empty() && rollout().phase != Phase::ended)
      print("waits: " + std::string(to_string(rollout().phase)) + (rollout().paused ? ", paused" : "") +
            (rollout().held.empty() ? "" : ", held"));
  }

  void state() {
    print("phase " + std::string(to_string(rollout().phase)) + ", stage " + std::to_string(rollout().stage + 1));
    for (HostIndex index = 0; index < rollout().hosts.size(); ++index) {
      const auto& planned = rollout().plan.hosts[index];
      std::string text = planned.name;
      text.resize(std::max<std::size_t>(8, text.size() + 1), ' ');
      text += to_string(rollout().hosts[index].phase);
      for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
        text += "; " + to_string(world().store[member].setting);
        if (rollout().members[member].holder == Holder::theirs) text += " (theirs)";
      }
      print(text);
    }
  }

  HostIndex host_named(const Line& line, const std::string& name) {
    const auto& hosts = rollout().plan.hosts;
    auto found = std::find_if(hosts.begin(), hosts.end(), [&](const PlannedHost& each) { return each.name == name; });
    if (found == hosts.end()) line.refuse("no host " + name);
    return static_cast<HostIndex>(found - hosts.begin());
  }
  PoolIndex pool_named(const Line& line) {
    const auto& pools = rollout().plan.pools;
    auto found = std::find_if(pools.begin(), pools.end(), [&](const PlannedPool& each) { return each.name == line.word(0); });
    if (found == pools.end()) line.refuse("no pool " + line.word(0));
    return static_cast<PoolIndex>(found - pools.begin());
  }
  HostIndex host(const Line& line) { return host_named(line, line.word(0)); }

  // The step that the line speaks of is the one under way.
  void must_be_under_way(const Line& line) {
    for (const auto& effect : outstanding(rollout())) {
      const auto* step = std::get_if<HostStep>(&effect.what);
      if (step != nullptr && step->host == host(line) && to_string(step->step) == line.word(1)) return;
    }
    line.refuse("that is not under way");
  }

  template <class F>
  void each_member(const Line& line, F&& do_with) {
    auto pool = line.value("pool");
    const auto& planned = rollout().plan.hosts[host(line)];
    for (auto member = planned.first_member; member < planned.first_member + planned.members; ++member) {
      if (pool.empty() || rollout().plan.pools[rollout().plan.members[member].pool].name == pool) do_with(member);
    }
  }

  std::vector<Shown> seen(const Line& line) {
    auto all = world().shown_of(host(line));
    const std::array traffics = {Traffic::flowing, Traffic::draining, Traffic::none, Traffic::cannot_tell};
    const std::array healths = {Health::up, Health::down, Health::unchecked, Health::unknown};
    std::size_t at = 0;
    auto pool = line.value("pool");
    for (auto& shown : all) {
      auto member = rollout().plan.hosts[host(line)].first_member + at++;
      if (!pool.empty() && rollout().plan.pools[rollout().plan.members[member].pool].name != pool) continue;
      for (auto traffic : traffics) {
        if (line.value("traffic") == to_string(traffic)) shown.traffic = traffic;
      }
      for (auto health : healths) {
        if (line.value("health") == to_string(health)) shown.health = health;
      }
      shown.flows_everywhere = shown.traffic == Traffic::flowing;
      shown.why = line.value("blind");
    }
    return all;
  }

  void tell(const Decision& decision) {
    tell_journal();
    if (decision.records.empty()) print("nothing");
  }

  // What was journalled since the last time, each record followed by the effects that it asks for.
  void tell_journal() {
    for (; told_ < world().journal.size(); ++told_) {
      auto record = codec_.decode(world().journal[told_]).value();
      apply(told_state_, record);
      if (quiet_ || (brief_ && !is_brief(record))) continue;
      std::array<char, 32> time{};
      auto since = std::chrono::duration<double>(record.at - began_).count();
      std::snprintf(time.data(), time.size(), "%7.2fs  ", since);
      print(time.data() + text_of(told_state_, record));
      if (brief_) continue;
      for (const auto& effect : effects_of(told_state_, record)) print("          " + text_of(told_state_, effect));
    }
  }
  // What a person would tell of it later.
  static bool is_brief(const Record& record) {
    if (const auto* moved = std::get_if<HostMoved>(&record.fact))
      return moved->failed || !moved->why.empty() || moved->phase == HostPhase::serving_new || moved->phase == HostPhase::restored;
    return !std::holds_alternative<MemberWanted>(record.fact) && !std::holds_alternative<MemberSet>(record.fact) &&
           !std::holds_alternative<MemberConfirmed>(record.fact);
  }

  void print(const std::string& line) { out_ += line + "\n"; }

  std::unique_ptr<EngineWorld> world_;
  Instant began_;
  Codec codec_;
  Rollout told_state_;
  std::size_t told_ = 0;
  bool brief_ = false;
  bool quiet_ = false;
  std::string out_;
};

}  // namespace

std::string replay(const std::string& transcript) {
  Script script;
  std::string out;
  std::istringstream in(transcript);
  std::size_t number_of_line = 0;
  bool skipping = false;
  for (std::string line; std::getline(in, line);) {
    ++number_of_line;
    if (skipping) {
      skipping = !line.empty();
      if (!skipping) out += "\n";
      continue;
    }
    out += line + "\n";
    if (line == "----") {
      skipping = true;
      continue;
    }
    if (line.empty() || line.starts_with('#')) continue;
    // The command's own `----` comes next; what happened follows it.
    std::string happened;
    try {
      happened = script.run(Line(line));
    } catch (const std::exception& error) {
      throw std::invalid_argument("line " + std::to_string(number_of_line) + ": " + line + ": " + error.what());
    }
    if (auto next = in.peek(); next == '-') {
      std::getline(in, line);
      ++number_of_line;
    }
    out += "----\n" + happened;
    skipping = true;
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

}  // namespace shiftd
