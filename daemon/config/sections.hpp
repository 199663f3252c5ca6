#pragma once

// The files and their sections, from YAML to the types of config.hpp. Each judges what it sees in itself; what must fit
// together across sections is judged by service_rules.hpp. Private to this folder.

#include "daemon/config/config.hpp"
#include "daemon/config/yaml_reader.hpp"

namespace shiftd {

// Its text. Fails with not_found: it cannot be read, or is too large for a configuration.
Result<std::string> read_whole_file(const std::filesystem::path& file);

// shiftd.yaml. The globs of `services` are left as written, resolved against the file's folder.
DaemonConfig read_daemon_file(yaml::Document& document);

// One service's file. What could not be read keeps its default; errors are in the document.
ServiceConfig read_service_file(yaml::Document& document);

// Of a stage that does not say how long it bakes: `verdict.min_bake` does.
inline constexpr Duration unsaid_bake{-1};
struct VerdictConfig {
  AnalysisOptions options;
  Duration min_bake = StageSpec{}.bake;
};

void read_strategy(yaml::Section& at, Strategy& strategy);
void read_verdict(yaml::Section& at, VerdictConfig& verdict);
void read_metrics(yaml::Section& at, MetricsConfig& metrics);
std::optional<CheckSpec> read_check(const yaml::Value& value);
void read_check_policy(yaml::Section& at, CheckPolicy& policy);
std::optional<PoolConfig> read_pool(const yaml::Value& value);
std::optional<FrontEndConfig> read_front_end(const yaml::Value& value);
std::optional<SinkOptions> read_sink(const yaml::Value& value);

}  // namespace shiftd
