"""Rolling upgrade of loopback hosts behind a real HAProxy: shiftd beside the same steps by plain ssh, in one run.

Both do for every host: bring the tarball over SSH, verify its sha256, unpack and sync it while the host still serves;
drain in HAProxy and wait for the last request; swap `current` by rename, sync and restart, by the same restart script;
ask for the version and /healthz; wait until HAProxy's own check passes while the host is still out; put it back and see it
take traffic. Both have their SSH connections open before the clock starts (the first rollout of shiftd, which opens them, is
not counted; ssh has its ControlMasters). The plain loop polls every 5 ms, writes no journal, keeps no originals, reads
nothing back and holds no bounds. Neither removes an old release within its time. shiftd plans, confirms and journals, all within its time.
"""

import argparse
import concurrent.futures
import http.client
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "conf" / "playground"))

import balancer  # noqa: E402
import daemon as playground_daemon  # noqa: E402
import processes  # noqa: E402
import releases  # noqa: E402
from world import World  # noqa: E402

POLL = 0.005  # seconds; of the plain loop
CHECK_EVERY = 2  # seconds; HAProxy's own check of a host that is up

# Leaves word when it ended: what the host itself takes is the host's, whoever asks it.
TIMED_RESTART = """\
#!/bin/bash
{home}/restart
code=$?
echo "${{EPOCHREALTIME/./}}" >{home}/restarted
exit $code
"""

STRATEGY = """\
  canary: 1
  stages: [{{share: 100%, bake: 0s}}]
  batch: {batch}
  max_failed: {batch}
  max_load: {max_load}
"""

# What `prepare` and `upgrade` of shiftd do on the host, as somebody would write it into one ssh call each.
PREPARE = """\
set -e; umask 022; cd {base}; digest={digest}; mkdir -p .shiftd/uploads releases; file=.shiftd/uploads/$digest.tar.gz
cat >"$file"; echo "$digest  $file" | sha256sum -c --status -
part=releases/$digest.partial; rm -rf "$part"; mkdir "$part"; tar -xzf "$file" --no-same-owner -C "$part"
touch "$part/.shiftd-complete"; sync -f "$part"; mv -T "$part" "releases/$digest"; sync releases; rm -f "$file"
"""
UPGRADE = """\
set -e; cd {base}; ln -sfn "$(readlink current)" previous.new; mv -T previous.new previous
ln -sfn releases/{digest} current.new; mv -T current.new current; sync .; exec {home}/timed-restart
"""


class Shiftd(playground_daemon.Daemon):
    """The daemon with one service for each size of batch, on the same hosts and pool."""

    def __init__(self, world, batches):
        count = len(world.fleet.hosts)
        strategies = {
            f"batch-{batch}": STRATEGY.format(batch=batch, max_load=math.ceil(100 * count / (count - batch)) / 100) for batch in batches
        }
        super().__init__(world, 0, playground_daemon.Wishes(strategies=strategies, restart="timed-restart", release="  keep: 100\n"))

    def counters(self) -> dict:
        found = {}
        for line in self.get("/metrics").splitlines():
            name, _, value = line.partition(" ")
            if name.startswith("shiftd_journal_commit"):
                found[name] = float(value)
        return found

    def records(self, rollout: str) -> list:
        connection = playground_daemon.UnixConnection(self.folder / "shiftd.sock", 10)
        connection.request("GET", f"{playground_daemon.ROLLOUTS}/{rollout}/events")
        found = []
        for line in connection.getresponse():
            kind, _, value = line.decode("utf-8").strip().partition(": ")
            if kind == "data" and value.startswith("{"):
                found.append(json.loads(value))
                if found[-1].get("is") == "ended":
                    break
        connection.close()
        return found

    def upgrade(self, batch: int, release) -> dict:
        """One rollout; seconds from the request to its end, and where the time of each host went."""
        before = self.counters()
        used = cpu_of(self.process.pid)
        began = time.monotonic()
        starting = processes.run(
            self.shiftctl("start", f"batch-{batch}", "--release", release.name, "--source", release.tarball, "--sha256",
                          release.digest, "--wait"), 120)
        seconds = time.monotonic() - began
        newest = self.newest()
        if starting[0] != 0 or newest["outcome"] != "succeeded":
            raise processes.WorldError(f"batch {batch}: {newest}\n{starting[1]}{starting[2]}")
        # What is left on the hosts after the end must not fall into the other's time.
        notes = [host.base / "releases" / release.digest / "DEPLOYED" for host in self.world.fleet.hosts]
        processes.until(10, lambda: all(note.exists() for note in notes), "the notes of success")
        used = cpu_of(self.process.pid) - used
        spent = {name: value - before[name] for name, value in self.counters().items()}
        commits = spent["shiftd_journal_commits_total"]
        commit_ms = 1000 * spent["shiftd_journal_commit_seconds_total"] / commits
        hosts = where_time_went(self.records(newest["rollout"]), self.world.fleet.hosts)
        first = min(host.pop("began") for host in hosts)
        last = max(host.pop("ended") for host in hosts)
        return {"seconds": seconds, "path_seconds": (last - first) / 1000, "hosts": hosts, "commits": commits, "commit_ms": commit_ms,
                "cpu_ms": 1000 * used}


def remove_old_releases(hosts):
    """Between rollouts: neither finds more of them than at the first, and shiftd never as many as it is to keep."""
    for host in hosts:
        named = {(host.base / link).resolve().name for link in ("current", "previous")}
        for release in (host.base / "releases").iterdir():
            if release.name not in named:
                shutil.rmtree(release)


def cpu_of(pid: int) -> float:
    """User and system time of a process, seconds."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def where_time_went(records: list, hosts) -> list:
    """For each host the milliseconds of every part of its path, from the records' own times. One decision is one commit, and
    all of its records have one time: so the commits on a host's path can be counted."""
    found = []
    for host in hosts:
        entered, times = {}, set()
        for record in records:
            if record.get("host") != host.name and record.get("member", "").rpartition("/")[2] != host.name:
                continue
            if record["is"] == "host_moved":
                entered[record["phase"]] = record["at"]
            if "depooling" in entered:
                times.add(record["at"])
        joining, checked = entered["joining"], entered.get("awaiting_health", entered["joining"])
        found.append({
            "began": entered["depooling"],
            "ended": entered["serving_new"],
            "leave": entered["draining"] - entered["depooling"],
            "drain": entered["upgrading"] - entered["draining"],
            "upgrade": entered["verifying"] - entered["upgrading"],
            "host": time_on_host(host),
            "check": checked - entered["verifying"],
            "health": joining - checked,
            "join": entered["serving_new"] - joining,
            "path": entered["serving_new"] - entered["depooling"],
            "commits": len(times),
        })
    return found


def time_on_host(host) -> float:
    """What the host itself took, milliseconds: from the first link of the swap to the end of the restart script."""
    ended = int((host.home / "restarted").read_text())
    return ended / 1000 - os.lstat(host.base / "previous").st_mtime_ns / 1e6


class PlainSsh:
    """The loop that people write: one ssh call for each step, over connections that are open."""

    def __init__(self, world):
        self.world = world

    def common(self, host) -> list:
        fleet = self.world.fleet
        return ["ssh", "-F", "none", "-S", host.home / "ctl", "-p", str(host.ssh_port), "-i", fleet.key, "-l", fleet.user, "-o",
                f"UserKnownHostsFile={fleet.known_hosts}", "-o", "BatchMode=yes", host.address]

    def open(self):
        for host in self.world.fleet.hosts:
            command = self.common(host)
            processes.start([command[0], "-M", "-N", *command[1:]], host.home / "ssh.log")
        for host in self.world.fleet.hosts:
            processes.until(10, (host.home / "ctl").exists, f"{host.name}: ssh's ControlMaster")

    def ssh(self, host, script: str, stdin=subprocess.DEVNULL):
        code, _, error = processes.run([*self.common(host), script], 60, stdin)
        if code != 0:
            raise processes.WorldError(f"{host.name}: ssh ended with {code}: {error}")

    def until(self, host, question, what: str):
        processes.until(20, lambda: question(self.world.balancer.members()[host.name]), f"{host.name} {what}", POLL)

    def get(self, host, path: str) -> str:
        connection = http.client.HTTPConnection(host.address, host.port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode("latin-1").strip()
            return body if answer.status == 200 else ""
        except OSError:
            return ""
        finally:
            connection.close()

    def upgrade_host(self, host, release) -> dict:
        values = {"base": host.base, "home": host.home, "digest": release.digest}
        marks = [time.monotonic()]
        mark = lambda: marks.append(time.monotonic())  # noqa: E731
        with release.tarball.open("rb") as tarball:
            self.ssh(host, PREPARE.format(**values), tarball)
        mark()
        self.world.balancer.set(host.name, "state drain")
        mark()
        self.until(host, lambda member: not member.pooled and member.requests_now == 0, "drained")
        mark()
        self.ssh(host, UPGRADE.format(**values))
        mark()
        processes.until(20, lambda: self.get(host, "/version") == release.digest, f"{host.name} on the release", POLL)
        processes.until(20, lambda: self.get(host, "/healthz") == "ok", f"{host.name} healthy", POLL)
        mark()
        self.until(host, lambda member: member.passing, "passing HAProxy's check")
        mark()
        self.world.balancer.set(host.name, "state ready")
        self.until(host, lambda member: member.status == "UP" and member.pooled, "in the pool")
        mark()
        parts = [1000 * (after - before) for before, after in zip(marks, marks[1:])]
        found = dict(zip(("prepare", "leave", "drain", "upgrade", "check", "health", "join"), parts))
        return found | {"host": time_on_host(host), "path": 1000 * (marks[-1] - marks[1])}

    def upgrade(self, batch: int, release) -> dict:
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(batch) as pool:
            hosts = list(pool.map(lambda host: self.upgrade_host(host, release), self.world.fleet.hosts))
        return {"seconds": time.monotonic() - began, "hosts": hosts}


def median_of(runs: list, part: str) -> float:
    return statistics.median(host[part] for run in runs for host in run["hosts"])


def summary(runs: list) -> dict:
    found = {"seconds": round(statistics.median(run["seconds"] for run in runs), 3),
             "seconds_each": [round(run["seconds"], 3) for run in runs]}
    for key in ("path_seconds", "commits", "commit_ms", "cpu_ms"):
        if key in runs[0]:
            found[key] = round(statistics.median(run[key] for run in runs), 3)
    # Chance: HAProxy's check may find a host down while it restarts, and then has to find it up again.
    found["found_down"] = statistics.mean(sum(host["health"] > 50 for host in run["hosts"]) for run in runs)
    found["host_ms"] = {part: round(median_of(runs, part), 2) for part in runs[0]["hosts"][0] if part != "commits"}
    if "commits" in runs[0]:
        found["commits_on_a_path"] = median_of(runs, "commits")
        found["commits_on_a_path_most"] = max(host["commits"] for run in runs for host in run["hosts"])
    return found


def ours_ms(plain: dict, runs: list) -> list:
    """What is left of a host's path when its own commands (links, sync, restart), its drain, its checks (as long as they take the plain loop), the wait for
    HAProxy's check and the commits' own time are taken away: the least, the first quartile and the median over the hosts. What else the machine does adds to all but the
    least."""
    checks = plain["host_ms"]["check"]
    each = sorted(
        host["path"] - host["host"] - host["drain"] - host["health"] - checks - host["commits"] * run["commit_ms"]
        for run in runs for host in run["hosts"]
    )
    return [round(value, 1) for value in (each[0], each[len(each) // 4], statistics.median(each))]


ROWS = (
    ("prepare", "bring, verify, unpack the code (shiftd: ahead of its turn, not on the path)"),
    ("leave", "depool: write, confirm"),
    ("drain", "until the last request has ended"),
    ("upgrade", "swap and restart over SSH"),
    ("host", "  of which on the host: links, sync, restart script"),
    ("check", "version and /healthz"),
    ("health", "until HAProxy's own check passes"),
    ("join", "repool: write, confirm"),
    ("path", "from the depool to taking traffic again"),
)


def print_table(batch: int, ours: dict, plain: dict):
    print(f"\nbatch {batch}: shiftd {ours['seconds']:.2f} s, plain ssh {plain['seconds']:.2f} s (whole fleet, medians of "
          f"{ours['seconds_each']} and {plain['seconds_each']})")
    print(f"  {'median of a host, ms':<78}{'shiftd':>9}{'plain ssh':>11}")
    for part, words in ROWS:
        left = f"{ours['host_ms'][part]:9.1f}" if part in ours["host_ms"] else f"{'':>9}"
        print(f"  {words:<78}{left}{plain['host_ms'][part]:11.1f}")
    print(f"  {'hosts of a rollout that its check found down, and had to find up again':<78}{ours['found_down']:9.1f}{plain['found_down']:11.1f}")
    print(f"  commits on a host's path: {ours['commits_on_a_path']:g} (most {ours['commits_on_a_path_most']}), {ours['commit_ms']:.2f} ms each; "
          f"of the whole rollout {ours['commits']:g}")
    least, quartile, median = ours["ours_ms"]
    print(f"  ours, without the host's commands, drain, checks and commits: {median:.1f} ms a host (first quartile {quartile:.1f}, "
          f"least {least:.1f}); shiftd used {ours['cpu_ms']:.0f} ms of CPU")


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/rolling", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, default=10, metavar="N")
    parser.add_argument("--rate", type=float, default=20, metavar="N", help="requests a second meanwhile (default 20)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 5], metavar="N", help="sizes of a batch (default 1 5)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rollouts of each kind (default 5), taking turns")
    chosen = parser.parse_args()
    if any(not 1 <= batch < chosen.hosts for batch in chosen.batch):
        parser.error("--batch: at least 1, and fewer than the hosts")
    return chosen


def main() -> int:
    chosen = arguments()
    load_before = os.getloadavg()[0]
    runs = {(who, batch): [] for batch in chosen.batch for who in ("shiftd", "plain")}
    # As real ones are: with a check every 200 ms chance decides the fleet's time, how many hosts are found down as they restart.
    balancer.Balancer.check_every = f"{CHECK_EVERY}s fastinter 200ms"
    moments = random.Random(1)
    with World(chosen.hosts, chosen.rate, "5xx") as world:
        world.observer.stop()  # it asks HAProxy twenty times a second
        for host in world.fleet.hosts:
            script = host.home / "timed-restart"
            script.write_text(TIMED_RESTART.format(home=host.home))
            script.chmod(0o755)
        shiftd = Shiftd(world, chosen.batch)
        shiftd.start()
        plain = PlainSsh(world)
        plain.open()
        serial = 10
        for repetition in range(-1, chosen.repeat):  # the first round opens connections and is not counted
            for batch in chosen.batch:
                for who, how in (("shiftd", shiftd), ("plain", plain)):
                    serial += 1
                    release = releases.pack(str(serial), world.folder)
                    # Two rollouts take about half of that, and would always meet the same hosts' checks.
                    time.sleep(moments.uniform(0, CHECK_EVERY))
                    done = how.upgrade(batch, release)
                    remove_old_releases(world.fleet.hosts)
                    if repetition >= 0:
                        runs[who, batch].append(done)
        shiftd.stop()
    result = {"hosts": chosen.hosts, "repeat": chosen.repeat, "load_average": [round(load_before, 1), round(os.getloadavg()[0], 1)], "batches": []}
    for batch in chosen.batch:
        ours, theirs = summary(runs["shiftd", batch]), summary(runs["plain", batch])
        ours["ours_ms"] = ours_ms(theirs, runs["shiftd", batch])
        print_table(batch, ours, theirs)
        result["batches"].append({"batch": batch, "shiftd": ours, "plain_ssh": theirs})
    print(f"load average before and after: {result['load_average']}, {os.cpu_count()} CPUs")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except processes.WorldError as error:
        print(f"rolling: {error}", file=sys.stderr)
        sys.exit(2)
