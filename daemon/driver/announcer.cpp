#include "daemon/driver/announcer.hpp"

#include <algorithm>

#include "daemon/io/log.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

constexpr Duration look_every = 500ms;
constexpr Duration first_pause = 1s;
constexpr Duration longest_pause = 1min;
// More than can begin between two looks.
constexpr std::size_t newest = 100;

}  // namespace

Announcer::Announcer(Clock& clock, Journal& journal, Control& control, std::unique_ptr<Sink> sink, Selectors selectors)
    : clock_(clock), journal_(journal), control_(control), sink_(std::move(sink)), selectors_(std::move(selectors)) {
  status_.name = sink_->options().name;
}

Task<> Announcer::run() {
  co_await take_up();
  while (true) {
    co_await find_new();
    for (auto open = open_.begin(); open != open_.end();) {
      bool over = co_await tell_of(*open);
      open = over ? open_.erase(open) : std::next(open);
    }
    co_await clock_.sleep_for(look_every);
  }
}

Task<> Announcer::take_up() {
  auto cursors = co_await journal_.load_cursors(status_.name);
  auto known = co_await journal_.list();
  if (!cursors || !known) {
    auto why = cursors ? known.error().what : cursors.error().what;
    log::error("announcements to {}: how far they had come cannot be read: {}; only rollouts under way are told, anew", status_.name, why);
  }
  if (!known) co_return;
  for (const auto& summary : *known) {
    seen_.insert(summary.rollout);
    auto cursor = cursors ? cursors->find(summary.rollout) : std::map<std::string, std::uint64_t>::iterator();
    bool has_cursor = cursors && cursor != cursors->end();
    bool is_over = summary.ended && (!has_cursor || cursor->second >= summary.records);
    if (!is_over) open_.push_back({summary.rollout, has_cursor ? cursor->second : 0, Announcing(selectors_)});
  }
}

Task<> Announcer::find_new() {
  auto briefs = co_await control_.list(newest);
  if (!briefs) co_return;  // asked again soon
  std::reverse(briefs->begin(), briefs->end());
  for (auto& brief : *briefs) {
    if (!seen_.insert(brief.rollout).second) continue;
    open_.push_back({std::move(brief.rollout), 0, Announcing(selectors_)});
    // From now on it is not one of those that were over before the sink was there.
    co_await save(open_.back());
  }
}

Task<bool> Announcer::tell_of(Open& open) {
  auto part = co_await control_.follow(open.rollout, open.fold.records(), Duration(0));
  if (!part) co_return part.error().code == Errc::not_found;
  for (const auto& record : part->records) {
    auto announcement = open.fold.take(record);
    if (!announcement) {
      log::error("rollout {} is announced no further: {}", open.rollout, announcement.error().what);
      co_return true;
    }
    if (open.fold.records() <= open.done || !*announcement || !is_wanted(**announcement)) continue;
    co_await tell(std::move(**announcement));
    co_await save(open);
  }
  if (open.fold.records() > open.done) co_await save(open);
  co_return part->ended;
}

bool Announcer::is_wanted(const Announcement& announcement) const {
  return sink_->options().what == Told::everything || !announcement.change;
}

Task<> Announcer::tell(Announcement announcement) {
  Backoff pause(first_pause, longest_pause, announcement.record);
  while (true) {
    auto told = co_await sink_->tell(announcement);
    if (told || told.error().code == Errc::bad_input) {
      if (!status_.trouble.empty()) log::info("announcements to {} are taken again", status_.name);
      status_.trouble.clear();
      ++(told ? status_.told : status_.refused);
      if (!told)
        log::warning("{} does not take an announcement: {}: it is left out: {}", status_.name, told.error().what, announcement.action);
      co_return;
    }
    ++status_.failures;
    if (status_.trouble.empty()) {
      status_.since = clock_.wall();
      log::warning("announcements to {} wait: {}", status_.name, told.error().what);
    }
    status_.trouble = told.error().what;
    co_await clock_.sleep_for(pause.next());
  }
}

Task<> Announcer::save(Open& open) {
  open.done = std::max(open.done, open.fold.records());
  auto saved = co_await journal_.save_cursor(status_.name, open.rollout, open.done);
  if (!saved) log::warning("announcements to {}: after a restart the last are told again: {}", status_.name, saved.error().what);
}

}  // namespace shiftd
