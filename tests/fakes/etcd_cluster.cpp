#include "tests/fakes/etcd_cluster.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include "tests/fakes/run_task.hpp"

namespace shiftd {
namespace {

using namespace std::chrono_literals;

void run(const std::vector<std::string>& command) {
  if (Process::run(command) != 0) throw std::runtime_error("failed: " + command[0] + " " + command[1]);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (unsigned char c : text) {
    char escape[4];
    std::snprintf(escape, sizeof escape, "%%%02X", c);
    out += escape;
  }
  return out;
}

// What follows `"name":` in one of etcd's answers, read as a number.
std::uint64_t number_after(const std::string& body, const std::string& name) {
  auto at = body.find("\"" + name + "\":");
  return at == body.npos ? 0 : std::stoull(body.substr(at + name.size() + 3));
}

}  // namespace

EtcdCluster::EtcdCluster(EtcdClusterOptions options) : options_(options) {
  if (options_.tls) make_certificates();
  for (int member = 0; member < options_.members; ++member) members_.push_back({free_port(), free_port(), nullptr});
  for (int member = 0; member < options_.members; ++member) start(member);
  if (!options_.expired_certificate) wait_until_ready();
}

// A CA, a server's certificate for 127.0.0.1 and a client's.
void EtcdCluster::make_certificates() {
  run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
       "/CN=test ca", "-keyout", file("ca.key"), "-out", file("ca.pem")});
  write_text(file("extensions"), "subjectAltName=IP:127.0.0.1\n");
  for (std::string name : {"server", "client"}) {
    run({"openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name, "-keyout",
         file(name + ".key"), "-out", file(name + ".csr")});
    // OpenSSL takes a day before today for the end.
    auto days = options_.expired_certificate && name == "server" ? "-1" : "2";
    run({"openssl", "x509", "-req", "-in", file(name + ".csr"), "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-CAcreateserial", "-days",
         days, "-extfile", file("extensions"), "-out", file(name + ".pem")});
  }
}

void EtcdCluster::start(int member) {
  auto& mine = members_[static_cast<std::size_t>(member)];
  auto peer = [](const Member& of) { return "http://127.0.0.1:" + std::to_string(of.peer_port); };
  auto name = [](std::size_t of) { return "m" + std::to_string(of); };
  std::string all;
  for (std::size_t i = 0; i < members_.size(); ++i) all += (i == 0 ? "" : ",") + name(i) + "=" + peer(members_[i]);
  auto me = name(static_cast<std::size_t>(member));
  std::vector<std::string> command{"etcd",
                                   "--enable-v2",
                                   "--name=" + me,
                                   "--data-dir=" + file(me),
                                   "--listen-client-urls=" + endpoint(member),
                                   "--advertise-client-urls=" + endpoint(member),
                                   "--listen-peer-urls=" + peer(mine),
                                   "--initial-advertise-peer-urls=" + peer(mine),
                                   "--initial-cluster=" + all,
                                   "--initial-cluster-token=" + directory_.path()};
  if (options_.tls) {
    command.insert(command.end(), {"--client-cert-auth", "--trusted-ca-file=" + file("ca.pem"), "--cert-file=" + file("server.pem"),
                                   "--key-file=" + file("server.key")});
  }
  mine.process =
      std::make_unique<Process>(Process::Start{.command = command, .environment = {}, .output = file(me + ".log"), .file_size_most = 0});
}

void EtcdCluster::wait_until_ready() {
  auto ready = [this] {
    for (int member = 0; member < options_.members; ++member) {
      HttpRequest request;
      request.target = "/v2/keys/?quorum=true";
      auto reply = ask(member, request);
      if (!reply || reply->status != 200) return false;
    }
    return true;
  };
  for (int tries = 0; tries < 5; ++tries) {
    if (eventually(ready)) return;
  }
  throw std::runtime_error("etcd does not start: " + read_text(file("m0.log")));
}

std::string EtcdCluster::endpoint(int member) const {
  return (options_.tls ? "https" : "http") + ("://127.0.0.1:" + std::to_string(members_[static_cast<std::size_t>(member)].client_port));
}

std::vector<std::string> EtcdCluster::endpoints() const {
  std::vector<std::string> all;
  for (int member = 0; member < options_.members; ++member) all.push_back(endpoint(member));
  return all;
}

Result<HttpReply> EtcdCluster::ask(int member, HttpRequest request) const {
  boost::asio::io_context loop(1);
  auto clock = make_system_clock();
  request.address = "127.0.0.1:" + std::to_string(members_[static_cast<std::size_t>(member)].client_port);
  if (options_.tls) request.tls = TlsFiles{file("ca.pem"), file("client.pem"), file("client.key")};
  return run_task(loop, http_exchange(*clock, std::move(request), 2s));
}

// Of whichever member answers.
HttpReply EtcdCluster::must(HttpRequest request) const {
  Result<HttpReply> reply = Failure{Errc::unreachable, "no member"};
  for (int member = 0; member < options_.members; ++member) {
    reply = ask(member, request);
    if (reply && reply->status < 500) return *reply;
  }
  throw std::runtime_error(request.method + " " + request.target + ": " + (reply ? reply->body : reply.error().what));
}

HttpRequest EtcdCluster::write_of(const std::string& key, const std::string& value, const std::string& query) const {
  HttpRequest request;
  request.method = "PUT";
  request.target = "/v2/keys" + key + query;
  request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = "value=" + escaped(value);
  return request;
}

void EtcdCluster::put(const std::string& key, const std::string& value) {
  auto reply = must(write_of(key, value, ""));
  if (reply.status / 100 != 2) throw std::runtime_error("put " + key + ": " + reply.body);
}

bool EtcdCluster::put_if_at(const std::string& key, std::uint64_t index, const std::string& value) {
  auto reply = must(write_of(key, value, "?prevExist=true&prevIndex=" + std::to_string(index)));
  if (reply.status != 412 && reply.status / 100 != 2) throw std::runtime_error("put " + key + ": " + reply.body);
  return reply.status != 412;
}

std::string EtcdCluster::get(const std::string& key) const {
  HttpRequest request;
  request.target = "/v2/keys" + key + "?quorum=true";
  auto body = must(request).body;
  auto from = body.find("\"value\":\"");
  if (from == body.npos) return "";
  std::string value;
  for (from += 9; body[from] != '"'; ++from) {
    if (body[from] == '\\') ++from;  // values in tests are escaped by a backslash at most
    value += body[from];
  }
  return value;
}

std::uint64_t EtcdCluster::index_of(const std::string& key) const {
  HttpRequest request;
  request.target = "/v2/keys" + key + "?quorum=true";
  return number_after(must(request).body, "modifiedIndex");
}

void EtcdCluster::remove(const std::string& key) {
  HttpRequest request;
  request.method = "DELETE";
  request.target = "/v2/keys" + key + "?recursive=true";
  static_cast<void>(must(request));
}

int EtcdCluster::leader() const {
  for (int member = 0; member < options_.members; ++member) {
    HttpRequest request;
    request.target = "/v2/stats/self";
    auto reply = ask(member, request);
    if (reply && reply->body.find("\"StateLeader\"") != std::string::npos) return member;
  }
  throw std::runtime_error("etcd has no leader");
}

void EtcdCluster::enable_passwords(const std::string& user, const std::string& password) {
  auto send = [this](const std::string& method, const std::string& path, const std::string& body, const HttpHeaders& headers = {}) {
    HttpRequest request;
    request.method = method;
    request.target = "/v2/auth/" + path;
    request.headers = headers;
    request.headers.emplace_back("Content-Type", "application/json");
    request.body = body;
    auto reply = must(request);
    if (reply.status / 100 != 2) throw std::runtime_error(path + ": " + reply.body);
  };
  auto account = [&](const std::string& name, const std::string& role) {
    send("PUT", "users/" + name, R"({"user":")" + name + R"(","password":")" + password + R"(","roles":[")" + role + "\"]}");
  };
  send("PUT", "roles/pools", R"({"role":"pools","permissions":{"kv":{"read":["/*"],"write":["/conftool/*"]}}})");
  account("root", "root");
  account(user, "pools");
  send("PUT", "enable", "");
  // root:<password> in base64, by openssl: the tests' own code is not to vouch for the product's.
  write_text(file("root"), "root:" + password);
  run({"openssl", "base64", "-A", "-in", file("root"), "-out", file("root64")});
  send("PUT", "roles/guest", R"({"role":"guest","revoke":{"kv":{"read":[],"write":["/*"]}}})",
       {{"Authorization", "Basic " + read_text(file("root64"))}});
}

void EtcdCluster::freeze(int member) { members_[static_cast<std::size_t>(member)].process->freeze(); }
void EtcdCluster::thaw(int member) { members_[static_cast<std::size_t>(member)].process->signal(SIGCONT); }
void EtcdCluster::kill(int member) { members_[static_cast<std::size_t>(member)].process.reset(); }

}  // namespace shiftd
