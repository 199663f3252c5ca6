#include "daemon/release/job_logs.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(Masked, HidesWhatLooksLikeASecretAndNothingElse) {
  struct {
    const char* given;
    const char* shown;
  } const cases[] = {
      {"", ""},
      {"all well\n", "all well\n"},
      {"password=x1 user=me", "password=*** user=me"},
      {"DB_PASSWORD: x1", "DB_PASSWORD: ***"},
      {"{\"token\": \"a b\", \"n\": 1}", "{\"token\": ***, \"n\": 1}"},
      {"secret = 'a b' c", "secret = *** c"},
      {"password", "password"},
      {"password=", "password="},
      {"the token was taken", "the token was taken"},
      {"http://me:x1@db:5432/a?b", "http://me:***@db:5432/a?b"},
      {"http://db:5432/a@b:c", "http://db:5432/a@b:c"},
      {"a token=1\nb\npasswd=2", "a token=***\nb\npasswd=***"},
  };
  for (const auto& [given, shown] : cases) EXPECT_EQ(masked(given), shown) << given;
}

}  // namespace
}  // namespace shiftd
