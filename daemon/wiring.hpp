#pragma once

// From the configuration to the parts that do the work.

#include <memory>

#include "daemon/config/config.hpp"
#include "daemon/driver/service.hpp"
#include "daemon/io/clock.hpp"
#include "daemon/release/configuration_store.hpp"

namespace shiftd {

// Opens no connection. `clock` outlives the service.
// `configurations` is shared by all services. `epoch` is the journal's: hosts do nothing for an earlier one.
// Fails with: bad_input (a check that cannot be made), unavailable (a log socket that cannot be created).
Result<std::unique_ptr<Service>> make_service(Clock& clock, const ServiceConfig& config, std::shared_ptr<ConfigurationStore> configurations,
                                              std::uint64_t epoch);

// All that the service asks of one of its hosts, as conf/hosts/shiftd-only reads it. Fails with: not_found (no such service
// or host), bad_input.
Result<std::string> host_commands(const Config& config, const std::string& service, const std::string& host);

// Where announcements are told, and how they name the members of the services' pools. `clock` outlives the sinks.
std::vector<std::unique_ptr<Sink>> make_sinks(Clock& clock, const DaemonConfig& config);
Selectors selectors_of(const std::vector<ServiceConfig>& services);

}  // namespace shiftd
