// A line for each announcement at the end of a file.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "daemon/announce/sink.hpp"

namespace shiftd {
namespace {

// Without an fsync: a crash of the machine may take the last lines with it.
Result<void> append(const std::string& path, const std::string& line) {
  auto failed = [&] {
    auto code = errno == ENOSPC || errno == EDQUOT ? Errc::exhausted : Errc::unavailable;
    return Failure{code, path + " cannot be written: " + std::generic_category().message(errno)};
  };
  // Neither a FIFO without a reader nor a terminal may hold up the loop.
  int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
  if (file < 0) return failed();
  auto before = ::lseek(file, 0, SEEK_END);
  auto written = ::write(file, line.data(), line.size());
  Result<void> result;
  if (written < 0) result = failed();
  if (written >= 0 && static_cast<std::size_t>(written) < line.size()) {
    // No half a line is left before the next attempt.
    if (before >= 0 && ::ftruncate(file, before) != 0) result = failed();
    result = Failure{Errc::exhausted, path + " took a part of a line only: is its disk full?"};
  }
  ::close(file);
  return result;
}

class FileSink final : public Sink {
 public:
  FileSink(SinkOptions options, std::string from) : options_(std::move(options)), from_(std::move(from)) {}

  const SinkOptions& options() const override { return options_; }

  Task<Result<void>> tell(Announcement announcement) override {
    auto line = to_string(announcement.at) + " " + from_ + " " + announcement.action + "\n";
    co_return append(std::get<FileOptions>(options_.to).path, line);
  }

 private:
  SinkOptions options_;
  std::string from_;
};

}  // namespace

std::unique_ptr<Sink> make_file_sink(SinkOptions options, std::string from) {
  return std::make_unique<FileSink>(std::move(options), std::move(from));
}

}  // namespace shiftd
