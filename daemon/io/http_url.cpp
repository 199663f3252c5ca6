#include "daemon/io/http_url.hpp"

#include <algorithm>

#include "daemon/io/connect.hpp"

namespace shiftd {

Result<HttpRequest> http_request_to(std::string_view url) {
  constexpr std::string_view plain = "http://";
  constexpr std::string_view secure = "https://";
  Failure no_url{Errc::bad_input, "is no URL: write https://host/path"};
  auto is_sound = [](char c) { return c > 0x20 && c < 0x7f; };
  bool encrypted = url.starts_with(secure);
  if ((!encrypted && !url.starts_with(plain)) || !std::all_of(url.begin(), url.end(), is_sound)) return no_url;
  url.remove_prefix(encrypted ? secure.size() : plain.size());
  url = url.substr(0, url.find('#'));
  auto end = std::min(url.find_first_of("/?"), url.size());
  HttpRequest request;
  request.address = url.substr(0, end);
  request.target = url.substr(end);
  if (!request.target.starts_with('/')) request.target.insert(0, "/");
  auto bracket = request.address.rfind(']');
  if (request.address.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos)
    request.address += encrypted ? ":443" : ":80";
  if (request.address.find('@') != std::string::npos || !parse_address(request.address)) return no_url;
  if (encrypted) request.tls.emplace();
  return request;
}

}  // namespace shiftd
