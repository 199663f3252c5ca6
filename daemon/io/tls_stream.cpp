#include "daemon/io/tls_stream.hpp"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace shiftd {
namespace {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using boost::system::error_code;

Result<void> load(ssl::context& context, const TlsFiles& files) {
  error_code error;
  auto failed = [&](const std::string& file) { return Failure{Errc::bad_input, file + ": " + error.message()}; };
  if (files.ca.empty()) {
    if (context.set_default_verify_paths(error); error) return failed("the system's certificates");
  } else if (context.load_verify_file(files.ca, error); error) {
    return failed(files.ca);
  }
  if (files.certificate.empty()) return {};
  if (context.use_certificate_chain_file(files.certificate, error); error) return failed(files.certificate);
  if (context.use_private_key_file(files.key, ssl::context::pem, error); error) return failed(files.key);
  return {};
}

// OpenSSL's own error says no more than "certificate verify failed".
Failure could_not(TlsStream& stream, const error_code& error) {
  if (error == asio::error::operation_aborted) throw boost::system::system_error(error);
  if (auto verdict = SSL_get_verify_result(stream.native_handle()); verdict != X509_V_OK) {
    return Failure{Errc::unauthenticated, std::string("their certificate is refused: ") + X509_verify_cert_error_string(verdict)};
  }
  if (error.category() == asio::error::get_ssl_category()) return Failure{Errc::unauthenticated, error.message()};
  return Failure{Errc::unreachable, error.message()};
}

}  // namespace

Task<Result<std::unique_ptr<TlsStream>>> secure(StreamSocket& socket, TlsFiles files, std::string host) {
  ssl::context context(ssl::context::tls_client);
  context.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  if (auto loaded = load(context, files); !loaded) co_return loaded.error();

  auto stream = std::make_unique<TlsStream>(socket, context);  // keeps what it needs of the context
  stream->set_verify_mode(ssl::verify_peer);
  stream->set_verify_callback(ssl::host_name_verification(host));
  error_code not_numeric;
  asio::ip::make_address(host, not_numeric);
  if (not_numeric) SSL_set_tlsext_host_name(stream->native_handle(), host.c_str());  // addresses are not named (RFC 6066)
  error_code error;
  co_await stream->async_handshake(ssl::stream_base::client, asio::redirect_error(asio::use_awaitable, error));
  if (error) co_return could_not(*stream, error);
  co_return std::move(stream);
}

}  // namespace shiftd
