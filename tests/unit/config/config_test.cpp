#include "daemon/config/config.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/unit/config/config_folder.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

// Loads `service` (and a shiftd.yaml that names it, unless the test has written one).
boost::system::result<Config, ConfigErrors> load(const ConfigFolder& folder, std::string_view service) {
  folder.write("web.yaml", service);
  auto smallest = content_of(config_data / "smallest.good.yaml");
  folder.write("z-staging.yaml", "service: staging" + smallest.substr(smallest.find('\n')));
  if (!std::filesystem::exists(folder.path() / "shiftd.yaml"))
    folder.write("shiftd.yaml", "journal: journal.db\nservices: [web.yaml, z-staging.yaml]\n");
  return load_config(folder.path() / "shiftd.yaml");
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  auto at = text.find(from);
  if (at == std::string::npos) throw std::runtime_error("not in the file: " + std::string(from));
  return text.replace(at, from.size(), to);
}

TEST(Config, MinBakeIsForStagesThatDoNotSayHowLongTheyBake) {
  ConfigFolder folder;
  auto smallest = content_of(config_data / "smallest.good.yaml");
  auto bakes = [&](const std::string& more) {
    std::vector<Duration> found;
    auto config = load(folder, smallest + more).value();
    for (const auto& stage : config.services.at(0).strategy.stages) found.push_back(stage.bake);
    return found;
  };
  EXPECT_EQ(bakes(""), std::vector<Duration>(5, 1min));
  EXPECT_EQ(bakes("verdict: {min_bake: 7m}\n"), std::vector<Duration>(5, 7min));
  EXPECT_EQ(bakes("strategy: {stages: [{share: 20%, bake: 0s}, {share: 100%}]}\nverdict: {min_bake: 7m}\n"),
            (std::vector<Duration>{0s, 7min}));
  EXPECT_EQ(bakes("strategy: {batch: 1}\n"), std::vector<Duration>(5, 1min));
}

TEST(Config, HostsArePreparedAsFarAheadAsTheServiceSays) {
  ConfigFolder folder;
  auto smallest = content_of(config_data / "smallest.good.yaml");
  auto ahead = [&](const std::string& more) { return load(folder, smallest + more).value().services.at(0).strategy.prepare_ahead; };
  EXPECT_EQ(ahead(""), std::nullopt);
  EXPECT_EQ(ahead("strategy: {prepare_ahead: 500}\n"), (HostQuota{500, {}})) << "more than there are hosts does no harm";
  EXPECT_EQ(ahead("strategy: {prepare_ahead: 25%}\n"), (HostQuota{0, BasisPoints{2'500}}));
  EXPECT_EQ(ahead("strategy: {prepare_ahead: all}\n"), every_host);
}

TEST(Config, GivesTheDaemonWhatWasWritten) {
  ConfigFolder folder;
  folder.write("shiftd.yaml", content_of(config_data / "daemon-complete.good.yaml"));
  auto daemon = load(folder, content_of(config_data / "smallest.good.yaml")).value().daemon;
  EXPECT_EQ(daemon.journal, "/var/lib/shiftd/journal.db");
  EXPECT_EQ(daemon.api.socket, folder.path() / "api.sock") << "relative to the folder of its file";
  EXPECT_EQ(daemon.api.listen, (Address{"127.0.0.1", 7070, ""}));
  EXPECT_EQ(daemon.api.token_file, folder.path() / "token");
  EXPECT_EQ(daemon.log.level, LogLevel::warning);
  EXPECT_EQ(daemon.keep_rollouts, 20);
  EXPECT_EQ(daemon.services, std::vector{(folder.path() / "web.yaml").string()}) << "found by two patterns, read once";
}

TEST(Config, GivesAServiceWhatWasWritten) {
  ConfigFolder folder;
  auto config = load(folder, content_of(config_data / "complete.good.yaml"));
  ASSERT_TRUE(config) << to_string(config.error());
  const auto& web = config->services.at(0);
  EXPECT_EQ(web.name, "web");
  auto in_folder = [&](const char* file) { return (folder.path() / file).string(); };
  EXPECT_EQ(web.ssh, (SshOptions{"deploy", in_folder("id_ed25519"), in_folder("agent.sock"), in_folder("known_hosts"), 5s, 1min,
                                 SshOptions{}.keepalive, SshClient::openssh, "deploy@bastion.example.net:2222"}));

  ASSERT_EQ(web.hosts.size(), 4);
  EXPECT_EQ(web.hosts[0].address, "127.0.0.11:18080");
  EXPECT_EQ(web.hosts[0].ssh, (SshTarget{"web1", "127.0.0.11", 2201, "root"}));
  EXPECT_EQ(web.hosts[1].address, "[2001:db8::2]:18080");
  EXPECT_EQ(web.hosts[1].ssh, (SshTarget{"web2", "2001:db8::2", 22}));
  EXPECT_EQ(web.hosts[3].ssh, (SshTarget{"web-4.example.net", "web-4.example.net", 22})) << "the host's name, when nothing is written";
  EXPECT_EQ(web.hosts[0].members, (std::vector<std::string>{"s_web1", "web1", "web1.eqiad.example.net"})) << "one in each pool";

  ASSERT_EQ(web.pools.size(), 3);
  const auto& lb1 = std::get<HaproxyPool>(web.pools[0]);
  EXPECT_EQ(lb1.options.socket, "/run/haproxy/admin.sock");
  EXPECT_EQ(lb1.options.timeout, 500ms);
  EXPECT_EQ(lb1.options.master_socket, "127.0.0.1:9998");
  EXPECT_EQ(name_of(web.pools[1]), "lb2/app");
  EXPECT_TRUE(std::holds_alternative<HaproxyStatFrontEnd>(web.front_end));
  const auto& cdn = std::get<ConftoolPool>(web.pools[2]);
  EXPECT_EQ(name_of(web.pools[2]), "eqiad/cache_text/cdn");
  ConftoolOptions objects;
  objects.endpoints = {"https://conf1007.example.net:4001", "http://127.0.0.1:2379"};
  objects.dc = "eqiad";
  objects.cluster = "cache_text";
  objects.service = "cdn";
  objects.prefix = "/conftool/v2/pools";
  objects.credentials = in_folder("id_ed25519");
  objects.tls = {in_folder("known_hosts"), in_folder("known_hosts"), in_folder("id_ed25519")};
  objects.weight_most = 1000;
  objects.shares_requests = true;
  objects.cuts_connections = false;
  objects.writes_per_second = 2;
  objects.timeout = 1500ms;
  EXPECT_EQ(cdn.options, objects);
  ASSERT_EQ(cdn.pybal.size(), 2);
  EXPECT_EQ(cdn.pybal[0], (PybalOptions{"lvs1013", "lvs1013:9090", "cdn_443", {"IdleConnection", "ProxyFetch"}, 10s, 1s}));
  EXPECT_EQ(cdn.pybal[1].monitor_round, 15s);
  EXPECT_EQ(cdn.count_at->backend, "cdn");

  EXPECT_EQ(web.release, (ReleaseOptions{"/srv/{{host}}", "cd {{path}}\nsystemctl restart web\n", "http://{{address}}/version", "", 1min,
                                         10s, 3, std::nullopt, "sudo -n systemctl reboot", 15min, "/var/lib/{{host}}/boot_id"}));

  ASSERT_EQ(web.checks.size(), 3);
  EXPECT_EQ(std::get<PortCheck>(web.checks[0]), (PortCheck{"answers", 18080, 1s}));
  EXPECT_EQ(std::get<HttpCheck>(web.checks[1]), (HttpCheck{"health",
                                                           "/healthz?deep=1",
                                                           18081,
                                                           "www.example.net",
                                                           {{"X-Probe", "shiftd"}, {"Authorization", "Bearer abc"}},
                                                           {200, 204},
                                                           "^ok( \\d+)?$",
                                                           {{"Content-Type", "json"}},
                                                           2s}));
  EXPECT_EQ(std::get<CommandCheck>(web.checks[2]).timeout, 10s);
  EXPECT_EQ(web.check_policy.attempts, 5);
  EXPECT_EQ(web.check_policy.deadline, 1min);
  EXPECT_FALSE(web.check_policy.warning_is_ok);

  const auto& strategy = web.strategy;
  EXPECT_EQ(std::get<std::vector<std::string>>(strategy.canary), std::vector<std::string>{"web3"});
  EXPECT_EQ(
      strategy.stages,
      (std::vector<StageSpec>{{BasisPoints{50}, 30s, Gate::manual}, {BasisPoints{500}, 0s, Gate::open}, {all_traffic, 90min, Gate::open}}));
  EXPECT_EQ(strategy.max_failed, (HostQuota{0, BasisPoints{1'000}}));
  EXPECT_EQ(strategy.max_load, 1.34);
  EXPECT_FALSE(strategy.scale_pool);
  EXPECT_EQ(strategy.when_busy, WhenBusy::queue);
  EXPECT_EQ(strategy.prepare_ahead, every_host);
  EXPECT_EQ(strategy.prepare_at_once, 80);
  EXPECT_EQ(strategy.prepare_limit, 1h);
  EXPECT_EQ(strategy.drain_limit, 2h);
  EXPECT_EQ(strategy.on_drain_limit, DrainDeadline::go_on);
  EXPECT_EQ(strategy.drain_grace, 250ms);
  EXPECT_EQ(strategy.min_requests, 100);
  EXPECT_EQ(web.verdict.tolerate, 1.1);
  EXPECT_DOUBLE_EQ(web.verdict.ignore_below, 1e-5);
  EXPECT_DOUBLE_EQ(web.verdict.confidence, 0.999);
  EXPECT_EQ(web.verdict.warm_up, 0s);
  EXPECT_EQ(web.verdict.min_requests, 100U) << "one number for both";
}

TEST(Config, FillsInWhatWasLeftOut) {
  ConfigFolder folder;
  auto config = load(folder, content_of(config_data / "other-choices.good.yaml"));
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->daemon.keep_rollouts, 500);
  EXPECT_EQ(config->daemon.log.level, LogLevel::info);
  EXPECT_FALSE(config->daemon.api.listen);
  const auto& web = config->services.at(0);
  EXPECT_EQ(std::get<PortCheck>(web.checks[0]).name, "port");
  EXPECT_EQ(std::get<HttpCheck>(web.checks[1]).name, "http");
  EXPECT_EQ(std::get<HttpCheck>(web.checks[2]).name, "http 2");
  EXPECT_EQ(std::get<HttpCheck>(web.checks[1]).timeout, 2s) << "through an alias";
  EXPECT_EQ(web.release.custom, (CustomSteps{"install web={{version}}", "install web={{release}}", "fetch {{version}}",
                                             "install -s web={{version}}", CustomSteps::Where::shiftd}));
  EXPECT_EQ(web.release.restart, "") << "custom steps may restart themselves";
  const auto& log = std::get<HaproxyLogFrontEnd>(web.front_end).options;
  EXPECT_EQ(log.backend, "app");
  EXPECT_EQ(log.runtime_socket, folder.path() / "admin.sock");
  ASSERT_EQ(web.strategy.stages.size(), 5);
  EXPECT_EQ(web.strategy.stages.front().share, BasisPoints{100});
  EXPECT_EQ(web.strategy.stages.back().share, all_traffic);
}

TEST(Config, TakesTheAgentOfItsEnvironment) {
  auto service = replaced(content_of(config_data / "smallest.good.yaml"), "key_file: id_ed25519", "agent: $SSH_AUTH_SOCK");
  ConfigFolder folder;
  setenv("SSH_AUTH_SOCK", "/tmp/agent.1", 1);
  auto with_agent = load(folder, service);
  unsetenv("SSH_AUTH_SOCK");
  auto without_agent = load(folder, service);
  ASSERT_TRUE(with_agent) << to_string(with_agent.error());
  EXPECT_EQ(with_agent->services.at(0).ssh.agent_socket, "/tmp/agent.1");
  ASSERT_FALSE(without_agent);
  EXPECT_EQ(without_agent.error().all.at(0).text,
            "ssh.agent: SSH_AUTH_SOCK is not set in shiftd's environment: set it, or write the path of the agent's socket");
}

TEST(Config, RefusesSecretsThatEverybodyCanRead) {
  for (auto secret : {"token", "id_ed25519"}) {
    SCOPED_TRACE(secret);
    ConfigFolder folder;
    folder.open(secret);
    folder.write("shiftd.yaml", "journal: journal.db\nservices: [web.yaml]\napi: {token_file: token}\n");
    auto config = load(folder, content_of(config_data / "smallest.good.yaml"));
    ASSERT_FALSE(config);
    ASSERT_EQ(config.error().all.size(), 1);
    EXPECT_NE(config.error().all[0].text.find("open to every user of this machine: chmod 600"), std::string::npos)
        << config.error().all[0].text;
  }
}

TEST(Config, TakesAPublicKeyThatEverybodyCanReadWhenAnAgentHasTheOther) {
  ConfigFolder folder;
  folder.write("id.pub", "ssh-ed25519 AAAA somebody\n");
  folder.open("id.pub");
  auto service = content_of(config_data / "smallest.good.yaml");
  auto with_agent = load(folder, replaced(service, "key_file: id_ed25519", "key_file: id.pub, agent: agent.sock"));
  EXPECT_TRUE(with_agent) << to_string(with_agent.error());
  auto alone = load(folder, replaced(service, "key_file: id_ed25519", "key_file: id.pub"));
  ASSERT_FALSE(alone);
  EXPECT_EQ(alone.error().all.at(0).text, "ssh: 'key_file' is a public key, which needs 'agent' to log in with");
}

TEST(Config, MakesPathsAbsoluteWhereverItIsStartedFrom) {
  ConfigFolder folder;
  auto service = content_of(config_data / "smallest.good.yaml");
  ASSERT_TRUE(load(folder, service));
  auto config = load_config(std::filesystem::relative(folder.path() / "shiftd.yaml"));
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->daemon.journal, folder.path() / "journal.db");
  EXPECT_EQ(std::get<HaproxyPool>(config->services.at(0).pools.at(0)).options.socket, folder.path() / "admin.sock");
}

TEST(Config, NeverShowsASecret) {
  ConfigFolder folder;
  folder.write("shiftd.yaml",
               "journal: journal.db\nservices: [web.yaml]\napi: {token_file: s3cr3t, token: s3cr3t, listen: s3cr3t.example.net:1}\n");
  auto service = replaced(content_of(config_data / "smallest.good.yaml"), "path: /healthz",
                          "headers: {Authorization: \"s3cr3t\\n\", Cookie: [s3cr3t], X: {s3cr3t: s3cr3t}}, token: s3cr3t");
  service = replaced(service, "key_file: id_ed25519", "key_file: s3cr3t, password: s3cr3t");
  auto config = load(folder, service);
  ASSERT_FALSE(config);
  EXPECT_GE(config.error().all.size(), 7);
  EXPECT_EQ(to_string(config.error()).find("s3cr3t"), std::string::npos) << to_string(config.error());
}

TEST(Config, NamesTheFileThatCannotBeRead) {
  ConfigFolder folder;
  auto config = load_config(folder.path() / "none.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(folder.anonymous(to_string(config.error())), "FOLDER/none.yaml:1:1: cannot read this file: No such file or directory\n");
}

TEST(Config, DoesNotWaitForAPipe) {
  ConfigFolder folder;
  auto pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  auto as_daemon = load_config(pipe);
  auto as_key = load(folder, replaced(content_of(config_data / "smallest.good.yaml"), "key_file: id_ed25519", "key_file: pipe"));
  EXPECT_FALSE(as_daemon);
  EXPECT_FALSE(as_key);
}

TEST(Config, RefusesTwoServicesOfOneName) {
  ConfigFolder folder;
  folder.write("shiftd.yaml", "journal: journal.db\nservices: ['*b.yaml']\n");
  folder.write("a-web.yaml", content_of(config_data / "smallest.good.yaml"));
  folder.write("b-web.yaml", content_of(config_data / "smallest.good.yaml"));
  folder.write("shiftd.yaml", "journal: journal.db\nservices: ['*-web.yaml']\n");
  auto config = load_config(folder.path() / "shiftd.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(folder.anonymous(to_string(config.error())),
            "FOLDER/b-web.yaml:1:10: service: 'web' is the service of FOLDER/a-web.yaml too: give each its own name\n");
}

TEST(Config, ReportsTheErrorsOfAllFilesAtOnce) {
  ConfigFolder folder;
  folder.write("shiftd.yaml", "jurnal: journal.db\nservices: [one.yaml, two.yaml]\n");
  folder.write("one.yaml", replaced(content_of(config_data / "smallest.good.yaml"), "checks:", "chekcs:"));
  folder.write("two.yaml", replaced(content_of(config_data / "smallest.good.yaml"), "service: web", "service: api web"));
  auto config = load_config(folder.path() / "shiftd.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().all.size(), 5) << to_string(config.error());
}

// What is written to break a parser, not to be read.
TEST(Config, SurvivesHostileFiles) {
  auto repeated = [](std::string_view text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  std::string laughs = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i)
    laughs +=
        "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + ", *a" + std::to_string(i - 1) + "]\n";
  std::string every_key_wrong;
  for (int i = 0; i < 5'000; ++i) every_key_wrong += "  - {x" + std::to_string(i) + ": 1}\n";
  struct {
    std::string name;
    std::string text;
  } const cases[] = {{"nested lists", repeated("[", 100'000)},
                     {"nested maps", repeated("{a: ", 100'000)},
                     {"nested blocks", repeated("- ", 100'000)},
                     {"a billion laughs", laughs},
                     {"an alias to itself", "hosts: &a [*a]\npools: *a\n"},
                     {"an alias to nothing", "hosts: *nobody\n"},
                     {"zero bytes", std::string(1'000, '\0')},
                     {"no UTF-8", "service: \xff\xfe\xc0\x80\n"},
                     {"UTF-16", std::string("\xff\xfe"
                                            "a\0:\0 \0b\0",
                                            10)},
                     {"only a tag", "!!"},
                     {"five thousand errors", "hosts:\n" + every_key_wrong},
                     {"more than 8 MiB", std::string(9 << 20, '#')}};
  for (const auto& [name, text] : cases) {
    SCOPED_TRACE(name);
    ConfigFolder folder;
    auto config = load(folder, text);
    ASSERT_FALSE(config);
    EXPECT_GE(config.error().all.size(), 1);
    EXPECT_LE(config.error().all.size(), 501);
  }
}

TEST(Config, LoadsTenThousandHosts) {
  std::string hosts = "hosts:\n";
  for (int i = 0; i < 10'000; ++i) {
    auto number = std::to_string(i);
    hosts += "  - {name: web" + number + ", address: \"10." + std::to_string(i / 250) + ".0." + std::to_string(i % 250) + ":80\"}\n";
  }
  auto service = content_of(config_data / "smallest.good.yaml");
  auto begin = service.find("\nhosts:");
  service.replace(begin + 1, service.find("pools:") - begin - 1, hosts);
  ConfigFolder folder;
  auto config = load(folder, service);
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->services.at(0).hosts.size(), 10'000);
}

TEST(Config, KnowsWhichHostIsBehindAMember) {
  const struct {
    const char* text;
    const char* member;
    std::optional<std::string> host;
  } rows[] = {
      {"{{host}}", "web1", "web1"},
      {"{{host}}.example.net", "web1.example.net", "web1"},
      {"{{host}}.example.net", "web1.example.org", std::nullopt},
      {"{{host}}.example.net", ".example.net", std::nullopt},
      {"{{host}}.example.net", "web1.example.net.evil", std::nullopt},
      {"s-{{host}}", "web1", std::nullopt},
      {"{{host}}-{{host}}", "a-a", "a"},
      {"{{host}}-{{host}}", "a-b", std::nullopt},
      {"{{host}}-{{host}}", "ab-a", std::nullopt},
      {"web1", "web1", std::nullopt},
      {"{{host}}", "-rf", std::nullopt},
      {"{{host}}", "a b", std::nullopt},
  };
  for (const auto& row : rows) EXPECT_EQ(host_in(row.text, row.member), row.host) << row.text << " " << row.member;
}

TEST(Config, MakesHostsOfWhatAPoolHolds) {
  ConfigFolder folder;
  auto config = load(folder, content_of(config_data / "complete.good.yaml"));
  ASSERT_TRUE(config) << to_string(config.error());
  const auto& service = config->services.at(0);
  EXPECT_EQ(service.strategy.max_members, 40);
  EXPECT_EQ(service.strategy.depooled, Depooled::skip);
  EXPECT_EQ(pool_of_hosts(service), 2u);
  auto host = found_host(service, "cp1100").value();
  EXPECT_EQ(host.address, "cp1100.eqiad.example.net:3128");
  EXPECT_EQ(host.ssh, (SshTarget{"cp1100", "cp1100.mgmt.example.net", 2222}));
  EXPECT_EQ(host.members, (std::vector<std::string>{"s_cp1100", "cp1100", "cp1100.eqiad.example.net"}));
}

TEST(Config, LoadsTheExamples) {
  ConfigFolder folder;
  auto examples = std::filesystem::path(SHIFTD_SOURCE_DIR) / "conf/examples";
  for (auto file : {"shiftd.yaml", "web.yaml"}) folder.write(file, content_of(examples / file));
  auto config = load_config(folder.path() / "shiftd.yaml");
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->services.at(0).hosts.size(), 4);
  EXPECT_FALSE(config->services.at(0).release.custom);
  for (auto file : {"apt.yaml", "git.yaml", "ansible.yaml", "puppet.yaml"}) {
    SCOPED_TRACE(file);
    folder.write("web.yaml", content_of(examples / file));
    auto other = load_config(folder.path() / "shiftd.yaml");
    ASSERT_TRUE(other) << to_string(other.error());
    EXPECT_TRUE(other->services.at(0).release.custom);
  }
  for (auto file : {"etcdrc", "internal-ca.pem"}) {
    folder.write(file, "not a secret\n");
    folder.close(file);
  }
  folder.write("web.yaml", content_of(examples / "conftool.yaml"));
  auto conftool = load_config(folder.path() / "shiftd.yaml");
  ASSERT_TRUE(conftool) << to_string(conftool.error());
  EXPECT_TRUE(conftool->services.at(0).hosts_from);
  EXPECT_EQ(conftool->services.at(0).pools.size(), 2);
}

}  // namespace
}  // namespace shiftd
