#pragma once

// From a URL to a request.

#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/io/http_client.hpp"

namespace shiftd {

// "https://hooks.example.org/x?y" -> whom to connect to (port 443, or 80 for http, unless it names one), what to ask for, and
// TLS for https. A fragment is left away.
// Fails with bad_input: another scheme, no host, a user's name in it, or bytes that no URL has. Never repeats the URL, which may
// hold secrets.
Result<HttpRequest> http_request_to(std::string_view url);

}  // namespace shiftd
