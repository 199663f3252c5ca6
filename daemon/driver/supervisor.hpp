#pragma once

// All rollouts of the daemon: starts them, keeps two from acting on one pool or host, recovers those that a restart
// interrupted, and answers people.

#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "daemon/announce/sink.hpp"
#include "daemon/driver/announcer.hpp"
#include "daemon/driver/control.hpp"
#include "daemon/driver/desired.hpp"
#include "daemon/driver/driver.hpp"
#include "daemon/driver/service.hpp"
#include "daemon/driver/stragglers.hpp"
#include "daemon/io/signal.hpp"
#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"

namespace shiftd {

class Supervisor final : public Control {
 public:
  // `keep`: how many ended rollouts stay in the journal. `sinks` are told what happens; `selectors` as announcing.hpp has it.
  Supervisor(boost::asio::any_io_executor executor, Clock& clock, Journal& journal, std::vector<std::unique_ptr<Service>> services,
             std::size_t keep, std::vector<std::unique_ptr<Sink>> sinks = {}, const Selectors& selectors = {});
  ~Supervisor() override;

  // Takes up what the journal says is under way, then drives rollouts until it is cancelled. Everything is left where it
  // is then; the next run takes it up.
  // Throws when the journal cannot be read.
  Task<> run();
  // Returns once run() knows every rollout of the journal. Whoever asks earlier gets wrong answers.
  Task<> recovered();

  [[nodiscard]] std::vector<std::string> services() const override;
  Task<Result<std::vector<PoolStatus>>> pools(std::string service) override;
  Task<Result<Proposal>> plan(StartRequest request) override;
  Task<Result<std::string>> start(StartRequest request) override;
  Task<Result<void>> command(std::string rollout, CommandRequest request) override;
  Task<Result<std::vector<RolloutBrief>>> list(std::size_t most) override;
  Task<Result<RolloutStatus>> show(std::string rollout) override;
  Task<Result<std::string>> logs(std::string rollout, std::string host) override;
  Task<Result<FeedPart>> follow(std::string rollout, std::uint64_t from, Duration at_most) override;
  Task<Result<std::string>> trace(std::string rollout) override;
  Task<Result<std::string>> history(std::string service) override;
  Task<Result<std::string>> desired(std::string service) override;
  [[nodiscard]] DaemonStats stats() const override;
  [[nodiscard]] std::vector<RunningRollout> running() const override;
  [[nodiscard]] Result<void> ready() const override;

 private:
  struct Running {
    Service* service = nullptr;
    std::unique_ptr<Driver> driver;
    std::shared_ptr<Signal> committed;
  };
  // Holds a service's claims between the look at its fleet and the first record.
  struct Reservation;

  // Under way by the journal, and not driven by this daemon. `service`: whose hosts and pools it holds all the same,
  // because somebody else drives it; null: nobody does.
  struct Stopped {
    RolloutBrief brief;  // its reason says why
    Service* service = nullptr;
  };

  Task<> recover();
  Task<> drive(std::string rollout);
  Task<> announce(Announcer& announcer);
  Task<> note_success(Service& service, Rollout rollout);
  void remember_end(const Rollout& rollout);
  void leave_stopped(RolloutBrief brief, std::string why, Service* held);
  Task<> drop_old();
  Task<> count_idle_services();
  Task<> drop_old_recording(std::string service);
  Task<> start_queued();
  Task<> start_next();
  Task<> watch_journal();
  Task<> bring_back_stragglers(Service& service);
  Task<> bring_back(Service& service, Straggler straggler);
  void launch(Service& service, Rollout rollout, Codec codec);
  Service* find_service(const std::string& name);
  // Who acts, or is about to act, on anything that the service claims, as a sentence; empty: nobody.
  // `reserved`: its own start does not count.
  [[nodiscard]] std::string held_by(const Service& service, bool reserved = false) const;
  // Who waits for anything of it already, as a sentence; empty: nobody.
  [[nodiscard]] std::string waited_for_by(const Service& service) const;
  static Request request_of(const StartRequest& asked, std::string rollout);
  [[nodiscard]] Result<std::string> test_of(const Service& service, const Request& request) const;
  Task<Result<Plan>> make_plan_for(Service& service, Request request);
  std::string new_id(const Service& service);

  boost::asio::any_io_executor executor_;
  Clock& clock_;
  Journal& journal_;
  std::vector<std::unique_ptr<Service>> services_;
  std::size_t keep_;
  std::map<std::string, Running> running_;
  std::map<std::string, Stopped> stopped_;
  std::map<std::string, RolloutBrief> ended_;
  std::map<std::string, Live> ended_live_;  // of those that ended in this life of the daemon
  Desired desired_;
  Stragglers stragglers_;
  // What was tried for them in this life of the daemon, by service and host.
  struct Return {
    int pauses = 0;  // 0: not yet
    Steady not_before;
  };
  std::map<std::pair<std::string, std::string>, Return> returns_;
  std::vector<const Service*> reserved_;
  std::list<Announcer> announcers_;
  TaskGroup drivers_;
  Signal changed_;
  bool recovered_ = false;
  Signal recovered_signal_;
  DaemonStats counted_;  // of rollouts that have ended, and of all that were started
  std::uint64_t ids_given_ = 0;
  std::string journal_trouble_;  // found while no rollout was there to find it
};

}  // namespace shiftd
