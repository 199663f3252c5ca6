#pragma once

// Detached jobs on a host: the shell program that starts one or joins it, and what it answers.
//
// Jobs share a directory on the host:
//   lock            locked (flock) by the job that runs, whose id and epoch it holds, for as long as it runs: the kernel gives the lock
//                   back however the job ended, and whoever waits for the job waits for that lock, so that its end is known
//                   at once and without polling
//   jobs/<id>.script    what runs
//   jobs/<id>.out       both outputs, bounded
//   jobs/<id>.draining  soon, then the process that writes `out`, then done
//   jobs/<id>.result    "lost", from just before the start, and the end over it: a job that has one is never started again, and its
//                       blocks are taken before, so that a full disk does not turn a finished job into a vanished one. It is
//                       read only while the job does not have the lock, so never half written
// A lost result, and no job or another one that has the lock: the host went down or somebody killed the job: whether it finished is
// unknown.
//
// The job is not moved to a session of its own: sshd has begun one for the command, and without a terminal nothing ends
// with it (session.c, do_exec_no_pty).
//
// The program is given to the host's sh on its standard input, as one function that is called in the last line: a
// connection that breaks midway leaves a syntax error and not half a program, and no script shows up in `ps`.
// The host needs flock (util-linux), and timeout, stat and dd (coreutils).

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/base/failure.hpp"
#include "daemon/ssh/executor.hpp"

namespace shiftd {

// How much longer than its limit a job may take to be ended and to say so.
inline constexpr Duration job_grace = std::chrono::seconds(15);
// The programs answer with a line of their own in front of the output, and a login file's noise.
inline constexpr std::size_t job_answer_most = output_most + 8 * 1024;

// Starts the job or joins it, and prints its end.
// Fails with bad_input when the id, lock, dir or limit cannot be used.
Result<std::string> job_program(const RemoteJob& job);

// Looks for the job's end without starting or awaiting anything.
Result<std::string> job_question(const std::string& dir, const std::string& id);

// What either printed. Nothing: no such job was ever started (only job_question says so).
// Fails with: refused, conflict (as Executor::job), exhausted, unavailable (the job vanished, or runs still), unexpected_reply.
Result<std::optional<CommandResult>> read_job_reply(const std::string& id, Duration limit, std::string_view reply);

// What job_program printed: a job that was never started is unexpected_reply as well.
Result<CommandResult> read_job_end(const RemoteJob& job, std::string_view reply);

// In a host's sh, `outdated LOCK` tells whether a job of a later epoch than $epoch has had the lock; that one is in $last.
inline constexpr std::string_view outdated_function = R"sh(
outdated() {
  last=
  [ ! -e "$1" ] || read -r _ last _ <"$1"
  case $last in '' | *[!0-9]*) last=0 ;; esac
  [ "$last" -gt "$epoch" ]
}
)sh";
// conflict: a job of the later `epoch` has had the host's lock.
Failure outdated(std::string_view epoch);

}  // namespace shiftd
