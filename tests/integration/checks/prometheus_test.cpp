// A real Prometheus that scrapes two hosts' counters.

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>

#include "checks/metric_source.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

class PrometheusServer : public testing::Test {
 protected:
  PrometheusServer() : port_(free_port()) {
    for (auto* port : {&web1_, &web2_}) *port = free_port();
    tell(web1_, 7, 1000);
    tell(web2_, 3, 900);
    for (auto port : {web1_, web2_}) {
      auto number = std::to_string(port);
      exporters_.push_back(std::make_unique<Process>(Process::Start{
          {"python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", directory_.path() + "/" + number, number}, {}, {}}));
    }
    write_text(directory_.path() + "/prometheus.yml",
               "global: {scrape_interval: 200ms}\nscrape_configs:\n- job_name: web\n  static_configs: [{targets: ['" + target(web1_) +
                   "', '" + target(web2_) + "']}]\n");
    prometheus_ = std::make_unique<Process>(Process::Start{
        {"prometheus", "--config.file=" + directory_.path() + "/prometheus.yml", "--storage.tsdb.path=" + directory_.path() + "/data",
         "--web.listen-address=127.0.0.1:" + std::to_string(port_), "--log.level=error"},
        {},
        directory_.path() + "/prometheus.log"});
    options_.address = target(port_);
    source_ = make_prometheus(*clock_, options_);
  }

  static std::string target(int port) { return "127.0.0.1:" + std::to_string(port); }

  void tell(int port, int slow, int all) {
    auto folder = directory_.path() + "/" + std::to_string(port);
    std::filesystem::create_directories(folder);
    write_text(folder + "/new", "# TYPE slow_total counter\nslow_total{path=\"/a b\"} " + std::to_string(slow) +
                                    "\n# TYPE all_total counter\nall_total{path=\"/a b\"} " + std::to_string(all) + "\n");
    std::filesystem::rename(folder + "/new", folder + "/metrics");
  }

  Result<std::map<std::string, double>> ask(const std::string& query) { return run_task(source_->ask(query)); }

  // A process stands still, or is gone, a moment after it was told.
  bool fails_with(Errc code) {
    return eventually([&] {
      auto values = ask("up");
      return !values && values.error().code == code;
    });
  }

  TemporaryDirectory directory_;
  int port_ = 0;
  int web1_ = 0;
  int web2_ = 0;
  std::vector<std::unique_ptr<Process>> exporters_;
  std::unique_ptr<Process> prometheus_;
  std::unique_ptr<Clock> clock_ = make_system_clock();
  PrometheusOptions options_;
  std::unique_ptr<MetricSource> source_;
};

TEST_F(PrometheusServer, GivesWhatItsHostsCount) {
  const std::string query = "sum by (instance) (slow_total{path=\"/a b\"})";
  ASSERT_TRUE(eventually([&] {
    auto values = ask(query);
    return values && values->size() == 2;
  })) << read_text(directory_.path() + "/prometheus.log");
  EXPECT_EQ(*ask(query), (std::map<std::string, double>{{target(web1_), 7}, {target(web2_), 3}}));
  tell(web1_, 8, 1010);
  EXPECT_TRUE(eventually([&] { return ask(query)->at(target(web1_)) == 8; }));

  auto nobody = ask("no_such_metric");
  ASSERT_TRUE(nobody) << nobody.error();
  EXPECT_TRUE(nobody->empty());
  auto wrong = ask("sum by (instance) (slow_total");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::bad_input);
  EXPECT_NE(wrong.error().what.find("parse error"), std::string::npos) << wrong.error();
  EXPECT_EQ(ask("sum(slow_total)").error().code, Errc::bad_input);
  EXPECT_EQ(ask("slow_total[1m]").error().code, Errc::bad_input);

  // A host that is not scraped any more is not known: never zero.
  exporters_.front()->signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return ask(query)->count(target(web1_)) == 0; }));
}

TEST_F(PrometheusServer, ThatIsGoneOrStandsStillIsAFailure) {
  ASSERT_TRUE(eventually([&] { return ask("up").has_value(); }));
  prometheus_->freeze();
  options_.timeout = 200ms;
  source_ = make_prometheus(*clock_, options_);
  EXPECT_TRUE(fails_with(Errc::timed_out));
  prometheus_->signal(SIGCONT);
  prometheus_->signal(SIGKILL);
  EXPECT_TRUE(fails_with(Errc::unreachable));
}

}  // namespace
}  // namespace shiftd
