#pragma once

// A real etcd with its v2 API, of one member or of three, on loopback ports. It ends with its fixture.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/io/http_client.hpp"
#include "tests/fakes/process.hpp"
#include "tests/fakes/temporary_directory.hpp"

namespace shiftd {

struct EtcdClusterOptions {
  int members = 1;
  bool tls = false;                  // clients have to show a certificate, too
  bool expired_certificate = false;  // the server's
};

class EtcdCluster {
 public:
  explicit EtcdCluster(EtcdClusterOptions options = {});
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  [[nodiscard]] std::string endpoint(int member) const;
  [[nodiscard]] std::vector<std::string> endpoints() const;
  [[nodiscard]] int leader() const;
  // Of its directory: ca.pem, client.pem, client.key.
  [[nodiscard]] std::string file(const std::string& name) const { return directory_.path() + "/" + name; }

  // As a person with curl: no comparison, no care.
  void put(const std::string& key, const std::string& value);
  [[nodiscard]] std::string get(const std::string& key) const;
  [[nodiscard]] std::uint64_t index_of(const std::string& key) const;
  void remove(const std::string& key);
  // The way confctl writes: compare-and-swap on what was read just before. False: somebody was faster.
  bool put_if_at(const std::string& key, std::uint64_t index, const std::string& value);

  // From then on only `user` and root (of the same password) may write.
  void enable_passwords(const std::string& user, const std::string& password);

  void freeze(int member);
  void thaw(int member);
  void kill(int member);  // -9; its data stay
  void start(int member);
  void wait_until_ready();

 private:
  struct Member {
    int client_port = 0;
    int peer_port = 0;
    std::unique_ptr<Process> process;
  };
  void make_certificates();
  Result<HttpReply> ask(int member, HttpRequest request) const;
  [[nodiscard]] HttpReply must(HttpRequest request) const;
  [[nodiscard]] HttpRequest write_of(const std::string& key, const std::string& value, const std::string& query) const;

  EtcdClusterOptions options_;
  TemporaryDirectory directory_;
  std::vector<Member> members_;
};

}  // namespace shiftd
