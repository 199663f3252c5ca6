#pragma once

// Drives one rollout: event -> decide -> save -> perform.
//
// Events wait in one queue. Those that wait together are decided on a scratch state and appended in one commit; only then
// does the committed state follow, are effects performed and commands answered. When the journal refuses, the scratch
// state is dropped and the same events are decided again.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/container/flat_map.hpp>

#include "daemon/analysis/metric.hpp"
#include "daemon/analysis/stage_judge.hpp"
#include "daemon/analysis/trace.hpp"
#include "daemon/driver/control.hpp"
#include "daemon/driver/rollout_time.hpp"
#include "daemon/driver/service.hpp"
#include "daemon/driver/write_pace.hpp"
#include "daemon/engine/codec.hpp"
#include "daemon/io/signal.hpp"
#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

class Driver {
 public:
  // `rollout` is the fold of what the journal holds; it may be queued, or under way before a restart. `committed` is woken
  // after each commit.
  Driver(boost::asio::any_io_executor executor, Clock& clock, Journal& journal, Service& service, Rollout rollout, Codec codec,
         std::shared_ptr<Signal> committed);

  ~Driver();

  // Drives until the rollout has ended or stopped() says why it goes on without us; returns with nothing left running.
  // Cancelled: stops where it is; a later Driver on the same journal goes on.
  Task<> run();

  // Puts an event into the queue. It may wait as long as `patience` for what else there is to say of its host, to share a
  // commit.
  void post(Event event, Duration patience = Duration(0));

  // Fails as Control::command. Cancelled: the command may still be carried out.
  Task<Result<void>> command(Command command);

  [[nodiscard]] const Rollout& rollout() const { return committed_; }
  [[nodiscard]] const Live& live() const { return live_; }
  [[nodiscard]] std::uint64_t effects_performed() const { return effects_performed_; }
  // Empty while the journal takes records.
  [[nodiscard]] const std::string& journal_trouble() const { return journal_trouble_; }
  // Why this driver does nothing any more, although the rollout has not ended; empty: it drives.
  [[nodiscard]] const std::string& stopped() const { return stopped_; }

 private:
  // A command waits for its answer in its caller's frame; the caller leaves word when it stops waiting.
  struct Answer {
    explicit Answer(boost::asio::any_io_executor executor) : given(std::move(executor)) {}
    Signal given;
    bool ready = false;
    Result<void> result;

    void give(Result<void> answered);
  };
  struct Queued {
    Event event;
    std::shared_ptr<Answer> answer;  // none: nobody waits
    Steady patient_until{};
  };

  // driver.cpp: the one loop that decides and saves.
  Task<> decide_loop();
  Task<Result<void>> decided(Event event);
  std::vector<Queued> take_queued();
  Task<> tick_loop();
  Task<> recover();
  Decision decide_all(std::vector<Queued>& events);
  Decision quarantine(const std::string& why);
  Task<Result<void>> save(const std::vector<std::string>& texts);
  Task<Result<void>> was_saved(const std::vector<std::string>& texts, std::string why);
  void give_up(std::vector<Queued> events, const std::string& why);
  void tell_again();
  [[nodiscard]] std::string why_over() const;
  void commit(const Decision& decision, const std::vector<std::string>& texts);
  void bind_plan();
  void watch_stores();
  void watch_the_rest();
  Task<> guarded(std::string name, Task<> work);

  // perform.cpp: what an effect is.
  struct StepLane;
  void perform(const Effect& effect);
  void drop_superseded(const Record& record);
  Task<> step_lane(HostIndex host);
  Task<> perform_step(HostIndex host, EffectId effect, Step step);
  Task<> out_of_traffic(HostIndex host, EffectId effect);
  Task<Result<void>> try_step(HostIndex host, EffectId effect, Step step, StepDone& done);
  Task<Result<void>> verify(HostIndex host, std::string digest, std::string* note);
  Task<std::string> fail_elsewhere(HostIndex host);
  Task<std::vector<bool>> failing_checks(HostIndex host);
  Task<Result<void>> await_idle(HostIndex host, Duration grace);
  Task<> write_lane(MemberIndex member);
  MemberWrite wanted_write(MemberIndex member) const;
  [[nodiscard]] bool takes_traffic_off(MemberIndex member) const;
  [[nodiscard]] std::string why_not_sent(MemberIndex member) const;

  // watch.cpp: what the world shows without being asked to change.
  Task<> watch_store(PoolIndex pool);
  Task<> watch_views(PoolIndex pool);
  Task<> watch_served_hosts();
  Task<> look(PoolIndex pool);
  Task<> look_again(HostIndex host);
  Task<bool> heard_of(HostIndex host, bool again);
  Task<> caught_up();
  Task<> look_at(PoolIndex pool, std::size_t view);
  Task<> check_served_host(HostIndex host);
  void tell_changes(PoolIndex pool, const PoolReading& reading);
  void tell_views(PoolIndex pool);
  void tell_seen(PoolIndex pool);
  bool tell_closed(PoolIndex pool);
  void tell_threshold(PoolIndex pool);
  void compare(PoolIndex pool, std::size_t view);
  std::vector<Shown> shown(HostIndex host) const;
  bool flows(HostIndex host) const;
  bool written_since_asked(HostIndex host) const;
  void source_answer(const std::string& source, const std::string& trouble);

  // count.cpp: requests and failures, and the verdict.
  Task<> count_loop();
  Task<Result<void>> count_once();
  void judge(Duration length);
  void tell_shares(Duration length);
  void tell_erring(Duration length);
  [[nodiscard]] double next_share() const;
  void act_on(const Ruling& ruling);
  Task<> learn_from_history();
  [[nodiscard]] int generation(HostIndex host) const;
  // metrics.cpp: what is judged beside 5xx.
  void make_metrics();
  Task<> metric_loop();
  Task<Result<std::vector<std::optional<MetricReading>>>> read_metric(const ServiceMetric& metric);
  void tell_metrics();

  void record(const TickFrame& frame, bool anew);
  Task<> keep_checkpoint();
  Task<> keep_recording();
  Task<> load_checkpoint();

  [[nodiscard]] const ServiceHost& place_of(HostIndex host) const { return *places_.at(host); }
  [[nodiscard]] std::string job_id(EffectId effect) const { return committed_.request.rollout + "-" + std::to_string(effect); }

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Journal& journal_;
  Service& service_;
  RolloutTime time_;
  Codec codec_;

  Rollout committed_;
  Rollout scratch_;
  std::deque<Queued> queue_;
  Signal queue_signal_;
  bool asked_;        // nothing is decided before every store was (recover)
  Steady decided_{};  // when what was last committed was decided
  std::string journal_trouble_;
  std::string stopped_;
  std::string broken_;  // a part of the driver that threw: the rollout is quarantined with it
  std::shared_ptr<Signal> committed_signal_;
  std::uint64_t effects_performed_ = 0;

  // By the plan's indices; empty until there is a plan.
  std::vector<const ServiceHost*> places_;
  std::vector<ServicePool*> pools_;
  std::vector<boost::container::flat_map<std::string, MemberIndex, std::less<>>> member_of_;  // by pool: name in the pool

  struct ViewState {
    std::uint64_t asked = 0;  // look_serial_ when it was last asked
    bool answered = false;    // ever
    std::string trouble = "not asked yet";
    ViewReading reading;
    Duration took{};               // the last answer
    std::optional<Steady> agreed;  // when it last showed what its store held
    Steady compared{};
    std::string disagreement;  // one that has lasted
  };
  std::vector<std::vector<ViewState>> views_;      // by pool, by view
  std::vector<std::unique_ptr<WritePace>> paces_;  // by pool
  std::vector<std::unique_ptr<Signal>> look_now_;  // by pool
  std::vector<std::unique_ptr<Signal>> looked_;    // by pool
  std::vector<PoolReading> stores_;                // by pool: what the store last held; empty until it was read
  // By pool: why nothing may be written to it now, as the last look found; unset until it was looked at.
  std::vector<std::optional<std::string>> closed_;
  std::vector<bool> read_;                          // by pool: whether its store was asked since we began, whatever it answered
  bool informed_ = true;                            // what all of them told at the start has been decided on
  std::vector<std::uint64_t> written_;              // by member: a view that was asked before shows the past
  std::vector<EffectId> sent_;                      // by member: the write that its store was asked for last
  EffectId first_effect_ = committed_.next_effect;  // of this life: what an earlier one has asked for is not known
  std::uint64_t look_serial_ = 1;

  std::map<HostIndex, std::unique_ptr<StepLane>> step_lanes_;
  std::map<MemberIndex, bool> write_lanes_;
  TaskGroup* tasks_ = nullptr;

  CanaryTest test_;
  StageIndex judged_stage_ = 0;
  std::uint32_t judged_serving_ = 0;
  Season season_ = Season::before;
  StageJudge stage_judge_;
  bool restored_ = false;                     // from a checkpoint: the history is in it
  std::uint64_t unanswered_ = 0;              // failures of the present tick that no host answered for
  std::vector<HostLive> old_release_counts_;  // by host, since the last checkpoint, while it served its old release
  std::vector<int> generations_;              // by host, at the last count
  std::vector<HostTick> ticks_;               // by host, of the present tick
  // By pool: the served share, counted since its weights last changed.
  struct ShareCount {
    PoolFlow flow;
    int fresh = 0;  // readings to come that may hold requests from before
    double tick_canary = 0;
    double tick_all = 0;
    Served counted;
  };
  std::vector<ShareCount> shares_;
  // By host: what it answered of late, on one release and in traffic.
  struct Answers {
    int generation = 0;
    double requests = 0;
    double failures = 0;
  };
  std::vector<Answers> answers_;
  double recent_canary_ = 0;
  double recent_all_ = 0;
  Live live_;
  std::vector<Metric> metrics_;                                   // as in the service
  std::map<std::string, HostIndex, std::less<>> hosts_by_label_;  // what a metric source may call them

  // What is judged, as rows of a trace: the row under way, and those that are not yet kept.
  TraceRow row_;
  bool rolls_back_ = false;  // by the last tick
  std::string rows_;
};

}  // namespace shiftd
