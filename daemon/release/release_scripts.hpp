#pragma once

// What runs on a host to look at its releases, to bring one and to swap. Text in, text out: no I/O.
//
// The order of a swap, and what a crash in each place leaves: the files of the release's configuration are renamed into
// their places, each whole (crash: some are new, the old process still runs, and `placed` names no release, so that the
// next swap puts all of them in place), `previous` is set to what `current` names (crash: both name
// the running release), `current` is renamed over (crash: the new release is current and the old process still runs;
// prove_running tells), the directory is synced, the service restarted. A release directory appears complete by rename.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/base/failure.hpp"
#include "daemon/release/configuration.hpp"
#include "daemon/release/render.hpp"

namespace shiftd {

struct HostPlace;
struct ReleaseOptions;

// Only what `current` names; changes nothing.
std::string current_script(const std::string& base);
Result<std::string> read_current(std::string_view out);

// Leaves DEPLOYED in the release: which rollout has brought it to the whole fleet, and when.
std::string note_script(const std::string& base, const std::string& release, const std::string& rollout);

// Makes the layout below `base`, prints what `current` names, and brings the release to releases/<digest>: takes the
// tarball as Executor::send() gives it, checks its digest, unpacks it, and removes releases beyond `keep` that nobody needs.
// What is there already is not read again. Nothing is brought where `current` is no symbolic link. Ends with
//   64  the tarball is needed, and `room` says that there is none to come
//   65  the digest that arrived is another one
//   69  fewer than `room` bytes are free there
//   75  an earlier unpacking still runs
//   71  the host could not reach the place of the URL
//   76  a job of a later epoch than `epoch` has run there
//   77  it is there, and the shell that stays could not have its niceness back
inline constexpr int no_tarball_status = 64;
inline constexpr int wrong_digest_status = 65;
inline constexpr int no_room_status = 69;
inline constexpr int not_fetched_status = 71;
inline constexpr int busy_status = 75;
inline constexpr int outdated_status = 76;
inline constexpr int still_nice_status = 77;
// `url`: where the host fetches the tarball; empty: it comes by the script's input.
std::string prepare_script(const std::string& base, const std::string& digest, std::optional<std::int64_t> room, int keep,
                           std::uint64_t epoch, const std::string& url = {});

// Makes releases/<release> of code that is on the host and of the rendered files, which come one after the other by its
// input; checks their digests, runs the validations, and changes nothing at their paths. A release that is there with the
// same rendered files is left as it is. Ends with 64 (the code is not on the host), 65 and 75 as above, else with 1 and the
// reason on its standard error; prints what `current` names.
// `validations`: of each file its whole command, or nothing; the files are where file_in_the_making() says.
std::string configure_script(const std::string& base, const ReleaseParts& release, const std::vector<RenderedFile>& files,
                             const std::vector<std::string>& validations, int keep);
// Prints how the rendered files, which come as for configure_script(), differ from what stands at their paths: unified
// diffs, modes and owners; of secret ones only that they differ. Then which of the files that stand in their places would go, or
// become what stood there before. Changes nothing.
std::string difference_script(const std::string& base, const std::vector<RenderedFile>& files);
std::string file_in_the_making(const std::string& base, const ReleaseParts& release, const RenderedFile& file);

// Bytes free on the host, as prepare_script printed it; -1: it did not.
std::int64_t read_free(std::string_view out);
// The later epoch that has worked there.
std::string read_epoch(std::string_view out);
// The digest that arrived.
std::string read_found(std::string_view out);

// Swaps `current` to `release` if it names another, and restarts in any case: the job's id keeps it from running twice.
// Ends with 66 when nothing was swapped because it could not be, else with the restart's status.
inline constexpr int not_swapped_status = 66;
std::string swap_script(const std::string& base, const std::string& release, const std::string& restart);

// Of a service's own commands: what makes the directory of its jobs, and the job itself.
std::string directory_script(const std::string& base);
std::string steps_script(const std::string& run, const std::string& restart);

// Writes the boot id down in the job's directory, syncs it together with the mark that the job has been started, and reboots.
std::string reboot_script(const std::string& boot_id, const std::string& reboot);
// Whether the host has booted since that job wrote the boot id down: ends with 0, or with 67 when it is the same still.
inline constexpr int same_boot_status = 67;
std::string boot_question(const std::string& base, const std::string& job, const std::string& boot_id);

// The directory below which a host's releases and jobs lie, without a slash at its end.
// Fails with bad_input: it cannot be filled, or does not begin with /.
Result<std::string> release_base(const ReleaseOptions& options, const HostPlace& host);

// 64 lower case hex digits.
bool is_digest(std::string_view text);

// Whether what a service says of itself names this release: the digest, or its first 12 digits and more.
bool answer_names(std::string_view answer, std::string_view digest);

}  // namespace shiftd
