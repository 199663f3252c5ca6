#include <chrono>
#include <string>

#include <gtest/gtest.h>

#include "daemon/ssh/remote_job.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

TEST(JobReply, IsReadWithItsOutput) {
  struct {
    const char* name;
    std::string reply;
    int status;
    std::string out;
  } const cases[] = {
      {"plain", "shiftd-job done 0\nhello\n", 0, "hello\n"},
      {"no output", "shiftd-job done 255\n", 255, ""},
      {"behind what a login file printed", "Welcome!\nshiftd-job done 3\nx", 3, "x"},
      {"an output that looks like an answer", "shiftd-job done 1\nshiftd-job done 0\n", 1, "shiftd-job done 0\n"},
  };
  for (const auto& [name, reply, status, out] : cases) {
    SCOPED_TRACE(name);
    auto result = read_job_reply("r1", 1s, reply);
    ASSERT_TRUE(result) << result.error();
    ASSERT_TRUE(*result);
    EXPECT_EQ((*result)->exit_status, status);
    EXPECT_EQ((*result)->out, out);
  }
}

TEST(JobReply, OfAnythingElseIsAFailureThatNamesTheJob) {
  struct {
    const char* name;
    std::string reply;
    Errc code;
    const char* says;
  } const cases[] = {
      {"nothing", "", Errc::refused, "no answer"},
      {"no shell", "This account is currently not available.\n", Errc::refused, "not available"},
      {"no marker at a line's begin", "x shiftd-job done 0\n", Errc::refused, "no answer"},
      {"half a line", "shiftd-job done", Errc::unexpected_reply, "breaks off"},
      {"no status", "shiftd-job done \n", Errc::unexpected_reply, "no answer"},
      {"a status out of range", "shiftd-job done 256\n", Errc::unexpected_reply, "no answer"},
      {"a status with a tail", "shiftd-job done 1x\n", Errc::unexpected_reply, "no answer"},
      {"a word unknown", "shiftd-job danced 0\n", Errc::unexpected_reply, "no answer"},
      {"refused", "shiftd-job refused r0-7\n", Errc::refused, "held by job r0-7"},
      {"vanished", "shiftd-job vanished\n", Errc::unavailable, "unknown"},
      {"running", "shiftd-job running\n", Errc::unavailable, "runs still"},
      {"over the limit", "shiftd-job limit 124\nlast words", Errc::exhausted, "last words"},
      {"a full disk", "sh: cannot create script: No space left on device\nshiftd-job error cannot write\n", Errc::exhausted, "No space"},
      {"no permission", "mkdir: Permission denied\nshiftd-job error cannot make /x\n", Errc::refused, "Permission denied"},
      {"no flock", "shiftd-job error no flock on this host: install util-linux\n", Errc::refused, "util-linux"},
  };
  for (const auto& [name, reply, code, says] : cases) {
    SCOPED_TRACE(name);
    auto result = read_job_reply("r1", 1s, reply);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, code) << result.error();
    EXPECT_NE(result.error().what.find(says), std::string::npos) << result.error();
    EXPECT_NE(result.error().what.find("job r1"), std::string::npos) << result.error();
  }
}

TEST(JobReply, AnOutputOverTheBoundIsCut) {
  auto result = read_job_reply("r1", 1s, "shiftd-job done 0\n" + std::string(output_most + 1, 'x'));
  ASSERT_TRUE(result && *result);
  EXPECT_TRUE((*result)->truncated);
  EXPECT_EQ((*result)->out.size(), output_most);
}

TEST(JobReply, NoneMeansThatNothingWasEverStarted) {
  auto result = read_job_reply("r1", 1s, "shiftd-job none\n");
  ASSERT_TRUE(result) << result.error();
  EXPECT_FALSE(*result);
}

}  // namespace
}  // namespace shiftd
