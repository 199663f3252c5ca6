#pragma once

// The precompiled header of the tests.

#include "daemon/io/asio.pch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/run_task.hpp"
