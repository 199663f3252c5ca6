#pragma once

// One daemon per journal: a lock on a file beside it, held for the life of the object.
//
// The kernel drops the lock with the process, however it dies, so what a dead process left behind never blocks. The
// file holds the owner's pid for people, and stays when the lock goes: removing it would let two processes lock two
// different files of the same name.

#include <string>

#include "daemon/base/failure.hpp"

namespace shiftd {

class LockFile {
 public:
  // Fails with: conflict: somebody holds it (names the pid); unavailable: the file cannot be written.
  static Result<LockFile> take(const std::string& path);

  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();

 private:
  explicit LockFile(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace shiftd
