// What every journal promises, asked of each of them.

#include <limits>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "daemon/io/task_group.hpp"
#include "daemon/store/journal.hpp"
#include "tests/fakes/run_task.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using Records = std::vector<std::string>;

struct Kind {
  std::string name;
  bool durable;
};

class JournalContract : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (!GetParam().durable) {
      journal_ = make_memory_journal();
      return;
    }
    auto opened = open_sqlite_journal(directory_.path() + "/journal.db");
    ASSERT_TRUE(opened) << opened.error();
    journal_ = std::move(*opened);
  }

  template <class T>
  T run(Task<T> task) {
    return run_task(loop_, std::move(task));
  }

  void create(const std::string& rollout, Records records = {"plan"}) {
    auto created = run(journal_->create(rollout, "web", std::move(records)));
    ASSERT_TRUE(created) << created.error();
  }

  void end(const std::string& rollout, std::uint64_t at = 1) {
    auto ended = run(journal_->append(rollout, at, {"end"}, true));
    ASSERT_TRUE(ended) << ended.error();
  }

  Records all_of(const std::string& rollout) {
    auto records = run(journal_->read(rollout, 0, 1'000));
    EXPECT_TRUE(records) << records.error();
    return records ? *records : Records{};
  }

  std::vector<std::string> names() {
    auto summaries = run(journal_->list());
    EXPECT_TRUE(summaries) << summaries.error();
    std::vector<std::string> names;
    if (summaries) {
      for (auto& summary : *summaries) names.push_back(summary.rollout);
    }
    return names;
  }

  boost::asio::io_context loop_{1};
  TemporaryDirectory directory_;
  std::unique_ptr<Journal> journal_;
};

TEST_P(JournalContract, IsEmptyAtFirst) { EXPECT_EQ(names(), std::vector<std::string>{}); }

TEST_P(JournalContract, GivesBackWhatWasAppendedInItsOrder) {
  create("r1", {"plan", "started"});
  ASSERT_TRUE(run(journal_->append("r1", 2, {"host a drained"}, false)));
  ASSERT_TRUE(run(journal_->append("r1", 3, {"host a upgraded", "host a joined"}, false)));
  EXPECT_EQ(all_of("r1"), (Records{"plan", "started", "host a drained", "host a upgraded", "host a joined"}));
}

TEST_P(JournalContract, KeepsEveryByteOfARecord) {
  auto odd = "{\"quote\": \"'\\\"\", \"nul\": \"\0\", \"utf8\": \"h\xc3\xb6st\"}"s;
  create("r1", {odd, ""});
  EXPECT_EQ(all_of("r1"), (Records{odd, ""}));
}

TEST_P(JournalContract, ListsRolloutsOldestFirstWithTheirCounts) {
  create("zulu", {"plan", "started"});
  create("alpha");
  end("zulu", 2);
  auto listed = run(journal_->list());
  ASSERT_TRUE(listed) << listed.error();
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].rollout, "zulu");
  EXPECT_EQ((*listed)[0].service, "web");
  EXPECT_EQ((*listed)[0].records, 3u);
  EXPECT_TRUE((*listed)[0].ended);
  EXPECT_EQ((*listed)[1].rollout, "alpha");
  EXPECT_EQ((*listed)[1].records, 1u);
  EXPECT_FALSE((*listed)[1].ended);
}

TEST_P(JournalContract, ReadsFromAnyNumberAtMostSoMany) {
  create("r1", {"0", "1", "2", "3", "4"});
  constexpr auto huge = std::numeric_limits<std::uint64_t>::max();
  struct {
    std::string_view name;
    std::uint64_t from;
    std::size_t most;
    Records expected;
  } const cases[] = {
      {"all", 0, 100, {"0", "1", "2", "3", "4"}},
      {"a part", 1, 2, {"1", "2"}},
      {"the last", 4, 10, {"4"}},
      {"beyond the end", 5, 10, {}},
      {"none", 0, 0, {}},
      {"the largest numbers", huge, huge, {}},
      {"everything there is", 3, huge, {"3", "4"}},
  };
  for (const auto& [name, from, most, expected] : cases) {
    SCOPED_TRACE(name);
    auto records = run(journal_->read("r1", from, most));
    ASSERT_TRUE(records) << records.error();
    EXPECT_EQ(*records, expected);
  }
}

TEST_P(JournalContract, RefusesASecondRolloutOfTheSameId) {
  create("r1");
  auto again = run(journal_->create("r1", "other", {"another plan"}));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error(), (Failure{Errc::conflict, "rollout r1 exists already"}));
  EXPECT_EQ(all_of("r1"), (Records{"plan"}));
}

TEST_P(JournalContract, AppendsOnlyAtTheNextNumber) {
  create("r1", {"0", "1"});
  for (std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{3}, std::numeric_limits<std::uint64_t>::max()}) {
    SCOPED_TRACE(wrong);
    auto refused = run(journal_->append("r1", wrong, {"x", "y"}, true));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::conflict);
    EXPECT_NE(refused.error().what.find("rollout r1: the next record is number 2, not "), std::string::npos) << refused.error();
  }
  EXPECT_EQ(all_of("r1"), (Records{"0", "1"}));
  EXPECT_TRUE(run(journal_->append("r1", 2, {"2"}, false)));
}

TEST_P(JournalContract, AppendsNothingMoreToAnEndedRollout) {
  create("r1");
  end("r1");
  auto refused = run(journal_->append("r1", 2, {"late"}, false));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), (Failure{Errc::conflict, "rollout r1 has ended: nothing more is appended to it"}));
  EXPECT_EQ(all_of("r1"), (Records{"plan", "end"}));
}

TEST_P(JournalContract, SaysThatARolloutIsNotThere) {
  auto missing = Failure{Errc::not_found, "the journal has no rollout r9"};
  auto append = run(journal_->append("r9", 0, {"x"}, false));
  ASSERT_FALSE(append);
  EXPECT_EQ(append.error(), missing);
  auto read = run(journal_->read("r9", 0, 1));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error(), missing);
}

TEST_P(JournalContract, KeepsHowFarEachReaderHasCome) {
  create("r1");
  create("r2");
  ASSERT_TRUE(run(journal_->save_cursor("log", "r1", 3)));
  ASSERT_TRUE(run(journal_->save_cursor("log", "r1", 7)));
  ASSERT_TRUE(run(journal_->save_cursor("log", "r2", 0)));
  ASSERT_TRUE(run(journal_->save_cursor("hook", "r1", 1)));
  EXPECT_EQ(run(journal_->load_cursors("log")).value(), (std::map<std::string, std::uint64_t>{{"r1", 7}, {"r2", 0}}));
  EXPECT_EQ(run(journal_->load_cursors("hook")).value(), (std::map<std::string, std::uint64_t>{{"r1", 1}}));
  EXPECT_TRUE(run(journal_->load_cursors("nobody")).value().empty());
  end("r1");
  ASSERT_TRUE(run(journal_->retain(0)));
  EXPECT_EQ(run(journal_->load_cursors("log")).value(), (std::map<std::string, std::uint64_t>{{"r2", 0}}));
}

TEST_P(JournalContract, RefusesWhatItCannotKeep) {
  create("r1");
  struct {
    std::string_view name;
    std::string rollout;
    std::string service;
    Records records;
  } const cases[] = {
      {"no name", "", "web", {"plan"}},
      {"a name without end", std::string(most_name_bytes + 1, 'r'), "web", {"plan"}},
      {"no service", "r2", "", {"plan"}},
      {"no record", "r2", "web", {}},
      {"too large a record", "r2", "web", {"plan", std::string(most_record_bytes + 1, 'x')}},
  };
  for (const auto& [name, rollout, service, records] : cases) {
    SCOPED_TRACE(name);
    auto refused = run(journal_->create(rollout, service, records));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::bad_input) << refused.error();
  }
  auto nothing = run(journal_->append("r1", 1, {}, true));
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, Errc::bad_input);
  EXPECT_EQ(names(), std::vector<std::string>{"r1"});
  EXPECT_EQ(all_of("r1"), (Records{"plan"}));
}

TEST_P(JournalContract, TakesARecordOfTheLargestSize) {
  create("r1", {std::string(most_record_bytes, 'x')});
  auto records = all_of("r1");
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].size(), most_record_bytes);
}

TEST_P(JournalContract, OfManyAppendsAtOneNumberExactlyOneSucceeds) {
  create("r1");
  int succeeded = 0;
  int conflicts = 0;
  auto contender = [](Journal& journal, int number, int* won, int* lost) -> Task<> {
    auto appended = co_await journal.append("r1", 1, Records(1, std::to_string(number)), false);
    if (appended) ++*won;
    if (!appended && appended.error().code == Errc::conflict) ++*lost;
  };
  auto all = [&]() -> Task<> {
    TaskGroup tasks(loop_.get_executor());
    for (int i = 0; i < 20; ++i) tasks.start("contender", contender(*journal_, i, &succeeded, &conflicts));
    co_await tasks.join();
  };
  run(all());
  EXPECT_EQ(succeeded, 1);
  EXPECT_EQ(conflicts, 19);
  EXPECT_EQ(all_of("r1").size(), 2u);
}

TEST_P(JournalContract, OverwritesOneCheckpointPerRollout) {
  create("r1");
  auto none = run(journal_->load_checkpoint("r1"));
  ASSERT_TRUE(none) << none.error();
  EXPECT_EQ(*none, std::nullopt);
  ASSERT_TRUE(run(journal_->save_checkpoint("r1", "first")));
  ASSERT_TRUE(run(journal_->save_checkpoint("r1", "second")));
  ASSERT_TRUE(run(journal_->save_checkpoint("r2", "another's")));
  auto loaded = run(journal_->load_checkpoint("r1"));
  ASSERT_TRUE(loaded) << loaded.error();
  EXPECT_EQ(*loaded, "second");
}

TEST_P(JournalContract, ForgetsASeriesWhenItIsTold) {
  ASSERT_TRUE(run(journal_->add_counts("web", CountsPoint{Instant(1s), "1"}, 20s)));
  ASSERT_TRUE(run(journal_->add_counts("mail", CountsPoint{Instant(1s), "2"}, 20s)));
  ASSERT_TRUE(run(journal_->drop_counts("web")));
  ASSERT_TRUE(run(journal_->drop_counts("nobody")));
  EXPECT_TRUE(run(journal_->read_counts("web", Instant{}))->empty());
  EXPECT_EQ(run(journal_->read_counts("mail", Instant{}))->size(), 1U);
}

TEST_P(JournalContract, ARecordingLeavesWithItsRollout) {
  create("r1");
  end("r1");
  ASSERT_TRUE(run(journal_->add_counts(recording_of("r1"), CountsPoint{Instant(1s), "1"}, 20s)));
  ASSERT_TRUE(run(journal_->add_counts("r1", CountsPoint{Instant(1s), "a service of that name"}, 20s)));
  ASSERT_EQ(run(journal_->retain(0)).value(), 1U);
  EXPECT_TRUE(run(journal_->read_counts(recording_of("r1"), Instant{}))->empty());
  EXPECT_EQ(run(journal_->read_counts("r1", Instant{}))->size(), 1U);
}

TEST_P(JournalContract, KeepsTheCountsOfEachServiceForSoLong) {
  auto at = [](int seconds) { return Instant(std::chrono::seconds(seconds)); };
  for (int second : {0, 10, 20, 30}) {
    ASSERT_TRUE(run(journal_->add_counts("web", CountsPoint{at(second), std::to_string(second)}, 20s)));
  }
  ASSERT_TRUE(run(journal_->add_counts("mail", CountsPoint{at(5), "mail"}, 20s)));
  struct {
    std::string_view name;
    std::string service;
    Instant from;
    std::vector<std::string> expected;
  } const cases[] = {
      {"all that is kept", "web", at(0), {"10", "20", "30"}},
      {"from the middle on", "web", at(11), {"20", "30"}},
      {"another service", "mail", at(0), {"mail"}},
      {"later than all", "web", at(31), {}},
      {"an unknown service", "nobody", at(0), {}},
  };
  for (const auto& [name, service, from, expected] : cases) {
    SCOPED_TRACE(name);
    auto points = run(journal_->read_counts(service, from));
    ASSERT_TRUE(points) << points.error();
    std::vector<std::string> counts;
    for (auto& point : *points) counts.push_back(point.counts);
    EXPECT_EQ(counts, expected);
  }
}

TEST_P(JournalContract, RetainsTheNewestEndedRolloutsAndAllThatRun) {
  for (auto rollout : {"r1", "r2", "r3", "r4", "r5"}) create(rollout);
  for (auto rollout : {"r1", "r3", "r4", "r5"}) end(rollout);
  ASSERT_TRUE(run(journal_->save_checkpoint("r1", "goes with it")));
  ASSERT_TRUE(run(journal_->save_checkpoint("r5", "stays")));

  auto removed = run(journal_->retain(2));
  ASSERT_TRUE(removed) << removed.error();
  EXPECT_EQ(*removed, 2u);
  EXPECT_EQ(names(), (std::vector<std::string>{"r2", "r4", "r5"}));
  EXPECT_EQ(all_of("r4"), (Records{"plan", "end"}));
  EXPECT_EQ(*run(journal_->load_checkpoint("r1")), std::nullopt);
  EXPECT_EQ(*run(journal_->load_checkpoint("r5")), "stays");

  EXPECT_EQ(*run(journal_->retain(2)), 0u);
  EXPECT_EQ(*run(journal_->retain(0)), 2u);
  EXPECT_EQ(names(), std::vector<std::string>{"r2"});
}

TEST_P(JournalContract, CheckingItChangesNothing) {
  create("r1", {"plan"});
  auto commits = journal_->stats().commits;
  for (int i = 0; i < 3; ++i) {
    auto checked = run(journal_->check());
    EXPECT_TRUE(checked) << checked.error();
  }
  EXPECT_EQ(journal_->stats().commits, commits);
  EXPECT_EQ(all_of("r1"), (Records{"plan"}));
}

TEST_P(JournalContract, TakesTheIdOfARemovedRolloutAgain) {
  create("r1", {"old"});
  end("r1");
  ASSERT_EQ(*run(journal_->retain(0)), 1u);
  create("r1", {"new"});
  EXPECT_EQ(all_of("r1"), (Records{"new"}));
}

TEST_P(JournalContract, CountsWhatItAppended) {
  create("r1", {"0", "1"});
  ASSERT_TRUE(run(journal_->append("r1", 2, {"2"}, false)));
  ASSERT_FALSE(run(journal_->append("r1", 2, {"refused"}, false)));
  EXPECT_EQ(journal_->stats().appended_records, 3u);
  EXPECT_EQ(journal_->stats().commits, 2u);
  EXPECT_EQ(journal_->stats().notice, "");
}

INSTANTIATE_TEST_SUITE_P(Of, JournalContract, testing::Values(Kind{"memory", false}, Kind{"sqlite", true}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace shiftd
