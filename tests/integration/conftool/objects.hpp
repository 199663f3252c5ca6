#pragma once

// The keys of these tests in etcd.

namespace shiftd {

// Where conftool keeps the hosts of these tests.
inline constexpr const char* folder = "/conftool/v1/pools/eqiad/web/app/";

}  // namespace shiftd
