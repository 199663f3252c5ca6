#pragma once

// The digests and the base64 that SSH's files and fingerprints are written in, and the signature that it logs in with.

#include <optional>
#include <string>
#include <string_view>

namespace shiftd {

std::string base64(std::string_view bytes);
// Nothing when `text` is not base64 with its padding.
std::optional<std::string> from_base64(std::string_view text);

std::string hmac_sha1(std::string_view key, std::string_view text);

// As ssh-keygen prints it: "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".
std::string key_fingerprint(std::string_view key_blob);

// `seed` is the private half of an ed25519 key, 32 bytes.
std::string ed25519_signature(std::string_view seed, std::string_view data);

}  // namespace shiftd
