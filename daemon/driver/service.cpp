#include "daemon/driver/service.hpp"

#include <algorithm>

namespace shiftd {

Result<ServiceHost*> Service::host_named(const std::string& host) {
  auto known = std::find_if(hosts.begin(), hosts.end(), [&](const ServiceHost& each) { return each.place.name == host; });
  if (known != hosts.end()) return &*known;
  if (!found) return Failure{Errc::not_found, "no host " + host + " in the configuration of " + name};
  auto made = found->make(host);
  if (!made) return std::move(made).error();
  made->found = true;
  return &hosts.emplace_back(std::move(*made));
}

}  // namespace shiftd
