#include "daemon/base/shell.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(ShellQuote, MakesOneWordOfAnything) {
  EXPECT_EQ(shell_quote(""), "''");
  EXPECT_EQ(shell_quote("a b"), "'a b'");
  EXPECT_EQ(shell_quote("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_quote("$(x) `y` \\"), "'$(x) `y` \\'");
}

}  // namespace
}  // namespace shiftd
