// The tables of docs/engine.md are what the engine does: each phase is brought about, each event is told, and what
// follows is compared with the page. SHIFTD_REWRITE=1 writes the tables.

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>

#include "tests/fakes/engine_world.hpp"
#include "tests/fakes/fleets.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr auto page = SHIFTD_SOURCE_DIR "/docs/engine.md";

Plan plan_for_tables(bool cuts_connections = false) {
  FleetSpec fleet;
  fleet.hosts = 14;
  fleet.capabilities.cuts_connections = cuts_connections;
  Strategy strategy;
  strategy.stages = stages_of("10%,50%!,100%");
  strategy.max_failed = HostQuota{9, {}};
  return make_plan(request_for(), strategy, fleet_of(fleet)).value();
}

void write_all(EngineWorld& world) {
  while (!world.writes().empty()) world.write(*world.writes().begin());
}

struct Stood {
  EngineWorld world;
  HostIndex host = 0;
};

// A world in which a host stands in the phase, with nothing waiting to be written.
Stood stand(HostPhase phase) {
  bool quiet = phase == HostPhase::quiescing || phase == HostPhase::requiescing;
  Stood stood{EngineWorld(plan_for_tables(quiet))};
  auto& world = stood.world;
  auto& rollout = world.rollout;
  auto in = [&] { return rollout.hosts[stood.host].phase; };
  auto walk_to = [&](HostPhase there) {
    for (int step = 0; step < 200 && in() != there; ++step) {
      if (world.writes().empty() && in() == HostPhase::depooling && there == HostPhase::draining) world.busy.insert(stood.host);
      if (world.writes().empty() && in() == HostPhase::withdrawing && there == HostPhase::emptying) world.busy.insert(stood.host);
      if (!world.answer()) world.wait();
    }
    write_all(world);
  };
  switch (phase) {
    case HostPhase::pooled_old: stood.host = 13; break;
    case HostPhase::preparing: break;
    case HostPhase::ready: {
      stood.host = 1;
      walk_to(phase);
      break;
    }
    // Its weight is shown: its connections are waited for.
    case HostPhase::quiescing:
      walk_to(phase);
      world.see(0);
      break;
    case HostPhase::requiescing:
      walk_to(HostPhase::serving_new);
      world.feed(Command{Verb::roll_back, 0, "ada", "because"});
      walk_to(phase);
      world.see(0);
      break;
    case HostPhase::awaiting_health:
      walk_to(HostPhase::verifying);
      world.down.insert(0);
      world.finish(0);
      break;
    case HostPhase::withdrawing:
    case HostPhase::emptying:
    case HostPhase::reverting:
    case HostPhase::reverifying:
    case HostPhase::rejoining:
    case HostPhase::restored:
      walk_to(HostPhase::serving_new);
      world.feed(CheckFailed{0, "HTTP 500"});
      walk_to(phase);
      break;
    case HostPhase::straggler: world.fail(0, "no route to host"); break;
    case HostPhase::out:
      walk_to(HostPhase::upgrading);
      world.fail(0, "exit 1");
      world.fail(0, "no space left");
      break;
    case HostPhase::left:
      stood.host = 13;
      world.meddle(13, {Pooled::yes, 7});
      world.watch(13);
      break;
    default: walk_to(phase); break;
  }
  EXPECT_EQ(to_string(in()), to_string(phase));
  world.busy.clear();
  return stood;
}

// What was decided about the host itself, in words.
std::string next_of(const Stood& stood, const Event& event) {
  if (const auto* command = std::get_if<Command>(&event); command != nullptr && !permits(stood.world.rollout, *command)) return "refused";
  auto now = stood.world.now + (std::holds_alternative<Tick>(event) ? 20min : 0min);
  std::string text;
  for (const auto& record : decide(stood.world.rollout, event, now)) {
    if (const auto* moved = std::get_if<HostMoved>(&record.fact); moved != nullptr && moved->host == stood.host) {
      text += (text.empty() ? "" : ", then ") + std::string(to_string(moved->phase)) + (moved->failed ? " (failed)" : "");
    }
    if (std::holds_alternative<LateResult>(record.fact)) text = "late";
  }
  return text.empty() ? "kept" : text;
}

std::vector<Shown> all_shown(const Stood& stood, Shown shown) {
  return std::vector<Shown>(stood.world.rollout.plan.hosts[stood.host].members, shown);
}

struct Column {
  const char* name;
  std::function<Event(const Stood&)> event;
};

const Shown out_and_well{Traffic::none, false, Health::up, 0, {}};
const Shown out_and_down{Traffic::none, false, Health::down, 0, {}};
const Shown busy{Traffic::draining, false, Health::up, 0, {}};
const Shown flowing{Traffic::flowing, true, Health::up, 1, {}};
const Shown unknown{Traffic::cannot_tell, false, Health::unknown, 0, "no answer"};

const EffectId no_longer_current = 1'000'000;
EffectId effect_of(const Stood& stood) {
  auto effect = stood.world.rollout.hosts[stood.host].effect;
  return effect == 0 ? no_longer_current : effect;
}

std::vector<Column> columns_of_steps() {
  return {
      {"step done",
       [](const Stood& s) {
         return StepDone{s.host, effect_of(s), all_shown(s, out_and_well)};
       }},
      {"done, but down",
       [](const Stood& s) {
         return StepDone{s.host, effect_of(s), all_shown(s, out_and_down)};
       }},
      {"step failed",
       [](const Stood& s) {
         return StepFailed{s.host, effect_of(s), "exit 1"};
       }},
      {"older result",
       [](const Stood& s) {
         return StepDone{s.host, no_longer_current, {}};
       }},
      {"check failed",
       [](const Stood& s) {
         return CheckFailed{s.host, "HTTP 500"};
       }},
      {"limit passed", [](const Stood&) { return Tick{}; }},
  };
}

std::vector<Column> columns_of_views() {
  return {
      {"out, idle",
       [](const Stood& s) {
         return HostSeen{s.host, all_shown(s, out_and_well)};
       }},
      {"out, busy",
       [](const Stood& s) {
         return HostSeen{s.host, all_shown(s, busy)};
       }},
      {"in traffic",
       [](const Stood& s) {
         return HostSeen{s.host, all_shown(s, flowing)};
       }},
      {"down",
       [](const Stood& s) {
         return HostSeen{s.host, all_shown(s, out_and_down)};
       }},
      {"cannot tell",
       [](const Stood& s) {
         return HostSeen{s.host, all_shown(s, unknown)};
       }},
  };
}

std::vector<Column> columns_of_others() {
  auto command = [](Verb verb) { return [verb](const Stood& s) { return Command{verb, s.host, "ada", ""}; }; };
  return {
      {"changed by someone",
       [](const Stood& s) {
         return MemberChanged{s.host, 0, observed({Pooled::yes, 55}, "x")};
       }},
      {"store forgot",
       [](const Stood& s) {
         auto member = s.world.rollout.plan.hosts[s.host].first_member;
         return StoreForgot{0, {{member, s.world.rollout.plan.members[member].original}}};
       }},
      {"roll back", command(Verb::roll_back)},
      {"abort", command(Verb::abort)},
      {"take", command(Verb::take)},
      {"release-hold", command(Verb::release_hold)},
  };
}

std::string table_of_hosts(const std::vector<Column>& columns) {
  std::string text = "| host phase |";
  std::string line = "|---|";
  for (const auto& column : columns) {
    text += std::string(" ") + column.name + " |";
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (std::size_t phase = 0; phase < host_phases; ++phase) {
    text += "| " + std::string(to_string(static_cast<HostPhase>(phase))) + " |";
    auto stood = stand(static_cast<HostPhase>(phase));
    for (const auto& column : columns) text += " " + next_of(stood, column.event(stood)) + " |";
    text += "\n";
  }
  return text;
}

// A rollout in the phase.
Rollout rollout_in(Phase phase) {
  if (phase == Phase::queued) return asked_for(request_for(), Instant(Duration(1)));
  EngineWorld world(plan_for_tables());
  auto until = [&](Phase there) {
    while (world.rollout.phase != there && (world.answer() || world.wait())) {
    }
  };
  auto say = [&](Verb verb) { world.feed(Command{verb, 0, "ada", "because"}); };
  switch (phase) {
    case Phase::shifting: break;
    case Phase::baking: until(Phase::baking); break;
    case Phase::gated: until(Phase::gated); break;
    case Phase::finishing: {
      // A straggler is being taken out.
      world.fail(1, "no route to host");
      until(Phase::gated);
      say(Verb::promote);
      until(Phase::finishing);
      break;
    }
    case Phase::rolling_back:
      until(Phase::baking);
      say(Verb::roll_back);
      break;
    case Phase::aborting:
      while (world.rollout.hosts[0].phase != HostPhase::upgrading) world.answer();
      say(Verb::abort);
      break;
    case Phase::ended:
      until(Phase::baking);
      say(Verb::abort);
      break;
    case Phase::quarantined: {
      auto rollout = world.rollout;
      apply(rollout, {world.now, Quarantined{"a broken invariant"}});
      return rollout;
    }
    case Phase::queued: break;
  }
  EXPECT_EQ(to_string(world.rollout.phase), to_string(phase));
  return world.rollout;
}

std::string next_of(Rollout rollout, const Event& event) {
  if (const auto* command = std::get_if<Command>(&event); command != nullptr && !permits(rollout, *command)) return "refused";
  auto before = rollout.phase;
  auto now = rollout.now + (std::holds_alternative<Tick>(event) || std::holds_alternative<Judged>(event) ? 20min : 0min);
  std::string text;
  for (const auto& record : decide(rollout, event, now)) {
    apply(rollout, record);
    if (std::holds_alternative<Paused>(record.fact)) text = "paused";
    if (std::holds_alternative<Held>(record.fact)) text = "held";
    if (std::holds_alternative<ClockJumped>(record.fact)) text = "recorded";
    if (std::holds_alternative<StageBaking>(record.fact)) text = "bake anew";
    if (std::holds_alternative<SourceLost>(record.fact)) text = "recorded";
  }
  return rollout.phase != before ? std::string(to_string(rollout.phase)) : text.empty() ? "kept" : text;
}

std::string table_of_rollouts() {
  auto command = [](Verb verb) { return [verb](const Rollout&) -> Event { return Command{verb, 0, "ada", ""}; }; };
  struct RolloutColumn {
    const char* name;
    std::function<Event(const Rollout&)> event;
  };
  const RolloutColumn columns[] = {
      {"plan made", [](const Rollout&) { return PlanMade{plan_for_tables()}; }},
      {"plan refused", [](const Rollout&) { return PlanRefused{"no"}; }},
      {"bake over", [](const Rollout&) { return Tick{}; }},
      {"verdict: promote",
       [](const Rollout& r) {
         return Judged{r.stage, Judgement::promote, "good"};
       }},
      {"verdict: roll back",
       [](const Rollout& r) {
         return Judged{r.stage, Judgement::roll_back, "bad"};
       }},
      {"clock jumped", [](const Rollout&) { return TimeJumped{2min}; }},
      {"source silent",
       [](const Rollout&) {
         return SourceSilent{"view lb1", "no answer"};
       }},
      {"pause", command(Verb::pause)},
      {"resume", command(Verb::resume)},
      {"promote", command(Verb::promote)},
      {"promote, override",
       [](const Rollout&) -> Event {
         return Command{Verb::promote, 0, "ada", "because", true};
       }},
      {"roll back", command(Verb::roll_back)},
      {"abort", command(Verb::abort)},
  };
  std::string text = "| rollout phase |";
  std::string line = "|---|";
  for (const auto& column : columns) {
    text += std::string(" ") + column.name + " |";
    line += "---|";
  }
  text += "\n" + line + "\n";
  for (std::size_t phase = 0; phase < rollout_phases; ++phase) {
    auto rollout = rollout_in(static_cast<Phase>(phase));
    text += "| " + std::string(to_string(static_cast<Phase>(phase))) + " |";
    for (const auto& column : columns) text += " " + next_of(rollout, column.event(rollout)) + " |";
    text += "\n";
  }
  return text;
}

// The page's text between <!-- name --> and the next empty line is the table.
void hold_against_page(const std::string& name, const std::string& table) {
  std::ifstream file(page);
  std::string text(std::istreambuf_iterator<char>(file), {});
  auto mark = "<!-- " + name + " -->\n";
  auto from = text.find(mark);
  ASSERT_NE(from, std::string::npos) << page << " has no table '" << name << "'";
  from += mark.size();
  auto to = std::min(text.size(), text.find("\n\n", from) + 1);
  if (std::getenv("SHIFTD_REWRITE") != nullptr) {
    std::ofstream(page) << text.substr(0, from) << table << text.substr(to);
    return;
  }
  EXPECT_EQ(text.substr(from, to - from), table) << "docs/engine.md says otherwise; SHIFTD_REWRITE=1 writes what the engine does";
}

TEST(EngineTables, StepsAndTimeAreAsThePageSays) { hold_against_page("steps", table_of_hosts(columns_of_steps())); }
TEST(EngineTables, ViewsAreAsThePageSays) { hold_against_page("views", table_of_hosts(columns_of_views())); }
TEST(EngineTables, PeopleAndStoresAreAsThePageSays) { hold_against_page("people", table_of_hosts(columns_of_others())); }
TEST(EngineTables, RolloutPhasesAreAsThePageSays) { hold_against_page("rollout", table_of_rollouts()); }

}  // namespace
}  // namespace shiftd
