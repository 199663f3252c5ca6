#include "tests/fakes/pybal_server.hpp"

#include <csignal>
#include <stdexcept>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

namespace shiftd {

PybalServer::PybalServer(std::string etcd_endpoint, std::string directory, std::vector<std::pair<std::string, int>> servers,
                         std::string interval) {
  auto text = "[global]\ninstrumentation_port = " + std::to_string(port_) + "\n[web_80]\nconfig = etcd" +
              etcd_endpoint.substr(etcd_endpoint.find("://")) + directory + "/\ndepool-threshold = .5\nmonitors = [\"ProxyFetch\"]\n" +
              "proxyfetch.interval = " + interval + "\n[stand-in]\ntls = no\ncontrol = " + directory_.path() + "/control\n[dns]\n";
  for (const auto& [name, port] : servers) text += name + " = 127.0.0.1:" + std::to_string(port) + "\n";
  write_text(directory_.path() + "/pybal.conf", text);
  restart();
}

void PybalServer::restart() {
  process_.reset();
  std::remove((directory_.path() + "/control").c_str());
  process_ = std::make_unique<Process>(
      Process::Start{.command = {"python3", "-B", SHIFTD_SOURCE_DIR "/tests/pybal/pybal.py", directory_.path() + "/pybal.conf"},
                     .environment = {},
                     .output = directory_.path() + "/log",
                     .file_size_most = 0});
}

void PybalServer::control(const std::string& word) const {
  namespace asio = boost::asio;
  asio::io_context loop;
  asio::local::stream_protocol::socket socket(loop);
  socket.connect(asio::local::stream_protocol::endpoint(directory_.path() + "/control"));
  asio::write(socket, asio::buffer(word + "\n"));
  char end;
  boost::system::error_code closed;
  socket.read_some(asio::buffer(&end, 1), closed);
}

}  // namespace shiftd
