#pragma once

// Task<T>: a coroutine of the one control thread. It starts when it is awaited. Cancelling unwinds it.

#include <boost/asio/awaitable.hpp>

namespace shiftd {

template <class T = void>
using Task = boost::asio::awaitable<T>;

}  // namespace shiftd
