#pragma once

// A gate that lets a fixed number of tasks pass at a time, first come first served.
//
//   auto pass = co_await gate.enter();   // held until it is destroyed
//
// Passes may outlive the gate's owner: they share its state. One thread only.

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>

#include "daemon/io/task.hpp"

namespace shiftd {

class Gate {
  struct State;

 public:
  class Pass {
   public:
    Pass() = default;
    explicit Pass(std::shared_ptr<State> state) : state_(std::move(state)) {}
    Pass(Pass&& other) noexcept : state_(std::move(other.state_)) {}
    Pass& operator=(Pass&& other) noexcept;
    ~Pass() { leave(); }

   private:
    void leave();
    std::shared_ptr<State> state_;
  };

  explicit Gate(std::size_t at_once);

  // Cancelled: leaves the queue and unwinds with operation_aborted.
  Task<Pass> enter();
  // None: too many are in.
  std::optional<Pass> try_enter();

 private:
  std::shared_ptr<State> state_;
};

}  // namespace shiftd
