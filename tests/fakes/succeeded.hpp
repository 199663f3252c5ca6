#pragma once

// ASSERT_TRUE(succeeded(store.write(...))): a Result that a test needs, which says why when it is a failure.

#include <gtest/gtest.h>

#include "daemon/base/failure.hpp"

namespace shiftd {

template <class T>
testing::AssertionResult succeeded(const Result<T>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << result.error();
}

}  // namespace shiftd
