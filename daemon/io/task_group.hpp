#pragma once

// Children that cannot be forgotten.
//
//   TaskGroup tasks(executor);
//   tasks.start("api", serve_api(config));       // parameters by value: the child may outlive this scope's temporaries
//   co_await tasks.join();                        // until all have ended
//
// The first child that throws stops the others; join() rethrows what it threw, with nobody left behind, and waits for
// all even when it is cancelled itself (which stops the children). stop() asks all children to unwind. A group is
// joined before it is destroyed. One thread only.

#include <cstddef>
#include <exception>
#include <list>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "daemon/io/signal.hpp"
#include "daemon/io/task.hpp"

namespace shiftd {

class TaskGroup {
 public:
  explicit TaskGroup(boost::asio::any_io_executor executor);
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Runs `task` from the next turn of the loop on. After stop(), the task is cancelled at its first wait.
  void start(std::string name, Task<> task);
  void stop();
  Task<> join();

  [[nodiscard]] std::size_t running() const { return children_.size(); }

 private:
  struct Child {
    std::string name;
    boost::asio::cancellation_signal cancel;
  };

  void ended(std::list<Child>::iterator child, std::exception_ptr error);

  boost::asio::any_io_executor executor_;
  Signal all_ended_;
  std::list<Child> children_;
  std::exception_ptr first_error_;
  bool stopping_ = false;
};

}  // namespace shiftd
