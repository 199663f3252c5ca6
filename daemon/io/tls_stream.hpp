#pragma once

// TLS over a connected socket, as a client. Private to this folder: it brings OpenSSL's headers along.

#include <memory>
#include <string>

#include <boost/asio/ssl/stream.hpp>

#include "daemon/base/failure.hpp"
#include "daemon/io/connect.hpp"
#include "daemon/io/task.hpp"
#include "daemon/io/tls.hpp"

namespace shiftd {

using TlsStream = boost::asio::ssl::stream<StreamSocket&>;

// TLS 1.2 or later. The other side has to show a valid certificate for `host`, a name or an address.
// It has no limit of its own: await it `within` one. `socket` outlives what is returned.
// Fails with: bad_input (a file that cannot be read or used), unauthenticated (a certificate was refused, by us or by
// them), unreachable (the connection broke).
Task<Result<std::unique_ptr<TlsStream>>> secure(StreamSocket& socket, TlsFiles files, std::string host);

}  // namespace shiftd
