#include "daemon/ssh/known_hosts.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/ssh/digest.hpp"

namespace shiftd {
namespace {

using Verdict = KnownHosts::Verdict;

const std::string key_a = "key of a host";
const std::string key_b = "another key";

std::string line(const std::string& hosts, const std::string& key, const std::string& type = "ssh-ed25519") {
  return hosts + " " + type + " " + base64(key) + " a comment\n";
}

// As ssh-keygen -H writes it.
std::string hashed(const std::string& name) { return "|1|" + base64("some salt") + "|" + base64(hmac_sha1("some salt", name)); }

TEST(KnownHosts, KnowsAHostByEveryWayOfNamingIt) {
  struct {
    const char* name;
    std::string text;
    const char* address;
    int port;
    Verdict verdict;
  } const cases[] = {
      {"by its name", line("mw1", key_a), "mw1", 22, Verdict::known},
      {"in any case", line("MW1", key_a), "Mw1", 22, Verdict::known},
      {"with its port", line("[mw1]:2222", key_a), "mw1", 2222, Verdict::known},
      {"without its port, the very same key", line("mw1", key_a), "mw1", 2222, Verdict::known},
      {"without its port, another key", line("mw1", key_b), "mw1", 2222, Verdict::unknown},
      {"at another port", line("[mw1]:2222", key_a), "mw1", 22, Verdict::unknown},
      {"in a list", line("mw0,mw1,10.0.0.1", key_a), "10.0.0.1", 22, Verdict::known},
      {"by a pattern", line("mw?.eqiad.*", key_a), "mw1.eqiad.wmnet", 22, Verdict::known},
      {"by a pattern that excepts it", line("mw*,!mw1", key_a), "mw1", 22, Verdict::unknown},
      {"by its hashed name", line(hashed("mw1"), key_a), "mw1", 22, Verdict::known},
      {"by its hashed name and port", line(hashed("[mw1]:2222"), key_a), "mw1", 2222, Verdict::known},
      {"another hashed name", line(hashed("mw2"), key_a), "mw1", 22, Verdict::unknown},
      {"another key", line("mw1", key_b), "mw1", 22, Verdict::changed},
      {"another key beside the right one", line("mw1", key_b) + line("mw1", key_a), "mw1", 22, Verdict::known},
      {"another kind of key", line("mw1", key_b, "ssh-rsa"), "mw1", 22, Verdict::unknown},
      {"revoked without its port", line("[mw1]:2222", key_a) + "@revoked " + line("mw1", key_a), "mw1", 2222, Verdict::revoked},
      {"another key without its port is revoked", line("[mw1]:2222", key_a) + "@revoked " + line("mw1", key_b), "mw1", 2222,
       Verdict::known},
      {"revoked", line("mw1", key_a) + "@revoked " + line("*", key_a), "mw1", 22, Verdict::revoked},
      {"another key is revoked", line("mw1", key_a) + "@revoked " + line("*", key_b), "mw1", 22, Verdict::known},
      {"only by an authority", "@cert-authority " + line("*", key_a), "mw1", 22, Verdict::unknown},
      {"in a comment", "# " + line("mw1", key_a), "mw1", 22, Verdict::unknown},
      {"after lines that are none", "\nmw1\nmw1 ssh-ed25519\nmw1 ssh-ed25519 ???\n\t" + line("mw1", key_a), "mw1", 22, Verdict::known},
      {"with the line ends of another system", "mw1 ssh-ed25519 " + base64(key_a) + "\r\n", "mw1", 22, Verdict::known},
      {"a hash that is none", line("|1|x", key_a) + line("|1|", key_a), "mw1", 22, Verdict::unknown},
      {"an empty file", "", "mw1", 22, Verdict::unknown},
  };
  for (const auto& [name, text, address, port, verdict] : cases) {
    SCOPED_TRACE(name);
    EXPECT_EQ(KnownHosts::of(address, port, text).check("ssh-ed25519", key_a), verdict);
  }
}

TEST(KnownHosts, TellsTheKindsOfKeyInTheFilesOrder) {
  auto text = line("mw1", key_a, "ecdsa-sha2-nistp256") + line("mw1", key_b) + line("mw2", key_b, "ssh-rsa") + "@revoked " +
              line("mw1", key_b, "ssh-dss") + line("[mw1]:2223", key_b, "ssh-rsa");
  EXPECT_EQ(KnownHosts::of("mw1", 22, text).key_types(), (std::vector<std::string>{"ecdsa-sha2-nistp256", "ssh-ed25519"}));
  EXPECT_EQ(KnownHosts::of("mw1", 2222, text).key_types(), (std::vector<std::string>{"ecdsa-sha2-nistp256", "ssh-ed25519"}));
  EXPECT_EQ(KnownHosts::of("mw1", 2223, text).key_types(), (std::vector<std::string>{"ssh-rsa"}));
  EXPECT_TRUE(KnownHosts::of("mw3", 22, text).key_types().empty());
}

TEST(KnownHosts, APatternFullOfStarsIsNoWorkWithoutEnd) {
  std::string stars;
  for (int i = 0; i < 2000; ++i) stars += "*a";
  auto known = KnownHosts::of(std::string(3000, 'a') + "b", 22, line(stars, key_a));
  EXPECT_EQ(known.check("ssh-ed25519", key_a), Verdict::unknown);
}

TEST(Digest, FingerprintsAreThoseOfSshKeygen) {
  EXPECT_EQ(key_fingerprint(""), "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
  EXPECT_EQ(from_base64(base64("ab")), "ab");
  for (const auto* text : {"", "a", "abc", "ab=c", "a b=", "===="}) EXPECT_NE(from_base64(text), std::string("x")) << text;
}

// RFC 8032, 7.1, the first.
TEST(Digest, SignsAsEd25519Does) {
  auto seed = from_base64("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
  ASSERT_TRUE(seed);
  EXPECT_EQ(base64(ed25519_signature(*seed, "")),
            "5VZDAMNgrHKQhuLMgG6CioSHfx645dl02HPgZSJJAVVfuIIVkKM7rMYeOXAc+bRr0lv18FlbviRlUUFDjnoQCw==");
}

}  // namespace
}  // namespace shiftd
