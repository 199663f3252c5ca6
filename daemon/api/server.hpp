#pragma once

// The control API on its sockets: a unix socket for everybody whom its file lets in, and, when wanted, a loopback port
// for those who know the token.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "daemon/api/session.hpp"
#include "daemon/io/task_group.hpp"

namespace shiftd {

struct ApiOptions {
  std::string socket;             // path; mode 0660
  std::optional<Address> listen;  // a loopback address; port 0: any free one
  std::string token_file;         // needed for TCP
  ApiLimits limits;
  std::string desired_token_file = {};  // of a second token, which may only ask what hosts are to run; empty: none
};

// Answers `control` while serve() runs. `clock` and `control` outlive it. One thread only.
class ApiServer {
 public:
  // Listens from here on. A socket file that nobody answers on is what a crash left behind, and is replaced.
  // Fails with: conflict: somebody answers on the socket, or has the port; bad_input: the socket's path is something
  // else, TCP without a token, an address that is not of this machine alone; unavailable.
  static Result<std::unique_ptr<ApiServer>> open(boost::asio::any_io_executor executor, Clock& clock, Control& control, ApiOptions options);
  ~ApiServer();
  ApiServer(const ApiServer&) = delete;
  ApiServer& operator=(const ApiServer&) = delete;

  // Ends only when it is cancelled: connections are broken off, and have unwound when it returns.
  Task<> serve();

  // The TCP port; 0 without one.
  [[nodiscard]] int port() const;

 private:
  ApiServer(boost::asio::any_io_executor executor, Clock& clock, Control& control, ApiOptions options);

  Result<void> listen_on_path();
  Result<void> listen_on_port();
  template <class Acceptor>
  Task<> accept(Acceptor& acceptor, std::shared_ptr<const Tokens> tokens);

  boost::asio::any_io_executor executor_;
  ApiOptions options_;
  ApiShared shared_;
  boost::asio::local::stream_protocol::acceptor on_path_;
  boost::asio::ip::tcp::acceptor on_port_;
  std::shared_ptr<const Tokens> tokens_;
  std::uint64_t inode_ = 0;  // of the socket file that is ours
  TaskGroup tasks_;          // that accept, and one for each connection
  std::size_t listeners_ = 0;
};

}  // namespace shiftd
