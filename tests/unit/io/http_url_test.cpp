#include "daemon/io/http_url.hpp"

#include <gtest/gtest.h>

namespace shiftd {
namespace {

TEST(HttpUrl, SaysWhomToConnectToAndWhatToAskFor) {
  struct {
    std::string_view url;
    std::string_view address;
    std::string_view target;
    bool tls;
  } const cases[] = {
      {"http://web1:8080/version", "web1:8080", "/version", false},
      {"http://web1", "web1:80", "/", false},
      {"https://hooks.example.org/a/b?c=d#e", "hooks.example.org:443", "/a/b?c=d", true},
      {"https://hooks.example.org:8443?c=d", "hooks.example.org:8443", "/?c=d", true},
      {"http://[::1]/x", "[::1]:80", "/x", false},
      {"https://[::1]:444", "[::1]:444", "/", true},
  };
  for (const auto& [url, address, target, tls] : cases) {
    SCOPED_TRACE(url);
    auto request = http_request_to(url);
    ASSERT_TRUE(request) << request.error();
    EXPECT_EQ(request->address, address);
    EXPECT_EQ(request->target, target);
    EXPECT_EQ(request->tls.has_value(), tls);
  }
}

TEST(HttpUrl, RefusesWhatIsNoneAndDoesNotRepeatIt) {
  for (std::string_view url : {"", "web1/x", "ftp://web1/x", "http://", "http:///x", "https://user:secret@web1/", "http://web1/a b",
                               "http://web1/\r\nX: y", "http://web1:99999/", "http://web1:/", "http://::1/", "HTTP//x"}) {
    SCOPED_TRACE(url);
    auto request = http_request_to(url);
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error(), (Failure{Errc::bad_input, "is no URL: write https://host/path"}));
  }
}

}  // namespace
}  // namespace shiftd
