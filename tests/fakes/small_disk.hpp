#pragma once

// A disk that is soon full: a tmpfs of its own, for whoever may mount one. Gone with this.

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/mount.h>

namespace shiftd {

class SmallDisk {
 public:
  SmallDisk(std::string place, const std::string& size) : place_(std::move(place)) {
    std::filesystem::create_directories(place_);
    if (mount("shiftd-test", place_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) != 0) why_not_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (why_not_.empty()) umount2(place_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // Why it could not be mounted; empty: it was.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }

  // Takes all of the room that is left, and gives it back.
  void fill() const {
    std::ofstream file(filler());
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void make_room() const { std::filesystem::remove(filler()); }

 private:
  [[nodiscard]] std::string filler() const { return place_ + "/filler"; }

  std::string place_;
  std::string why_not_;
};

}  // namespace shiftd
