#include "tests/fakes/origin_server.hpp"

#include <atomic>
#include <functional>
#include <future>
#include <list>
#include <optional>
#include <string>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

namespace shiftd {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

const char* said(Manner manner) {
  switch (manner) {
    case Manner::answer: return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    case Manner::fail: return "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    case Manner::reject: return "HTTP/1.1 429 Later\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    case Manner::garbage: return "what is this\r\n\r\n";
    case Manner::truncate: return "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello";
    case Manner::early_hint:
      return "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    case Manner::reset:
    case Manner::hang: break;
  }
  return "";
}

struct Connection {
  explicit Connection(tcp::socket accepted) : socket(std::move(accepted)) {}
  tcp::socket socket;
  asio::streambuf request;
  std::string reply;
};

}  // namespace

struct OriginServer::State {
  asio::io_context loop{1};
  asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(loop);
  tcp::acceptor acceptor{loop};
  tcp::endpoint endpoint{asio::ip::address_v4::loopback(), 0};
  std::list<std::shared_ptr<Connection>> waiting;
  std::atomic<Manner> manner = Manner::answer;
  std::atomic<int> requests = 0;
  std::atomic<int> hanging = 0;
  std::thread thread;

  void open() {
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
    endpoint = acceptor.local_endpoint();
    accept();
  }

  void accept() {
    acceptor.async_accept([this](error_code error, tcp::socket socket) {
      if (error) return;
      read(std::make_shared<Connection>(std::move(socket)));
      accept();
    });
  }

  void read(const std::shared_ptr<Connection>& connection) {
    asio::async_read_until(connection->socket, connection->request, "\r\n\r\n", [this, connection](error_code error, std::size_t) {
      if (error) return;
      ++requests;
      reply(connection, manner);
    });
  }

  void reply(const std::shared_ptr<Connection>& connection, Manner how) {
    if (how == Manner::hang) {
      waiting.push_back(connection);
      ++hanging;
      return;
    }
    if (how == Manner::reset) {
      connection->socket.set_option(asio::socket_base::linger(true, 0));
      connection->socket.close();
      return;
    }
    connection->reply = said(how);
    asio::async_write(connection->socket, asio::buffer(connection->reply),
                      [connection](error_code error, std::size_t) { connection->socket.shutdown(tcp::socket::shutdown_both, error); });
  }

  // Runs `work` on the server's thread and waits for it.
  void there(const std::function<void()>& work_there) {
    std::promise<void> done;
    asio::post(loop, [&] {
      work_there();
      done.set_value();
    });
    done.get_future().wait();
  }
};

OriginServer::OriginServer() : state_(std::make_unique<State>()) {
  state_->open();
  state_->thread = std::thread([state = state_.get()] { state->loop.run(); });
}

OriginServer::~OriginServer() {
  state_->loop.stop();
  state_->thread.join();
}

std::uint16_t OriginServer::port() const { return state_->endpoint.port(); }

void OriginServer::behave(Manner manner) {
  state_->there([&] {
    state_->manner = manner;
    if (manner != Manner::answer) return;
    for (auto& connection : state_->waiting) state_->reply(connection, manner);
    state_->waiting.clear();
    state_->hanging = 0;
  });
}

void OriginServer::refuse() {
  state_->there([&] { state_->acceptor.close(); });
}

void OriginServer::listen() {
  state_->there([&] { state_->open(); });
}

int OriginServer::requests() const { return state_->requests; }
int OriginServer::hanging() const { return state_->hanging; }

int http_get(std::uint16_t port) {
  asio::io_context loop(1);
  tcp::socket socket(loop);
  error_code error;
  socket.connect({asio::ip::address_v4::loopback(), port}, error);
  if (error) return 0;
  asio::write(socket, asio::buffer(std::string("GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")), error);
  asio::streambuf reply;
  asio::read(socket, reply, error);
  std::string text(asio::buffers_begin(reply.data()), asio::buffers_end(reply.data()));
  if (text.starts_with("HTTP/1.1 1")) text.erase(0, text.find("\r\n\r\n") + 4);
  return text.starts_with("HTTP/1.1 ") && text.size() > 12 ? std::stoi(text.substr(9, 3)) : 0;
}

}  // namespace shiftd
