#include "daemon/driver/service.hpp"

namespace shiftd {

Result<ServiceHost*> Service::host_named(const std::string& host) {
  for (; named_ < hosts.size(); ++named_) by_name_.emplace(hosts[named_].place.name, &hosts[named_]);
  auto known = by_name_.find(host);
  if (known != by_name_.end()) return known->second;
  if (!found) return Failure{Errc::not_found, "no host " + host + " in the configuration of " + name};
  auto made = found->make(host);
  if (!made) return std::move(made).error();
  made->found = true;
  return &hosts.emplace_back(std::move(*made));
}

}  // namespace shiftd
