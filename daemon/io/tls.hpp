#pragma once

// What a TLS connection is made with.

#include <string>

namespace shiftd {

// Files in PEM form, read for each connection: a renewed certificate counts from the next one on.
struct TlsFiles {
  std::string ca;           // who may have signed the other side's certificate; empty: whom the system trusts
  std::string certificate;  // ours, with its chain; empty: we show none
  std::string key;          // of `certificate`

  bool operator==(const TlsFiles&) const = default;
};

}  // namespace shiftd
