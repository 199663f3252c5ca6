"""The playground: ten real hosts behind conftool, PyBal's stand-in and a real HAProxy, under load, go to a good release and refuse a bad one.

  conf/playground/run                 release 1 -> 2 (good), then 3 (bad), which is rolled back
  conf/playground/run --shell         a small fleet on release 1, and a shell to roll it yourself
  conf/playground/run --help          everything that can be chosen

Ends with 0 when users saw what they should: no failed request in the good rollout, the bad one taken back.
"""

import argparse
import json
import signal
import sys
import time

import report
import shell
from balancer import WEIGHT
from daemon import Daemon, Wishes
from etcd import PREFIX
from processes import WorldError
from releases import KINDS_OF_BAD
from world import CONFTOOL, World

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
FEW_FAILURES = 100  # of the canary, in a bad rollout at 200 requests a second
MOST_COLUMNS = 60  # of the drawing of the share over time


def arguments(words=None):
    parser = argparse.ArgumentParser(
        prog="conf/playground/run", description="Rolls a real fleet on this machine to a good release, then to a bad one."
    )
    parser.add_argument("--bad", choices=KINDS_OF_BAD, help="how release 3 is bad (default 5xx; with --shell dead)")
    parser.add_argument(
        "--change", choices=("code", "config", "both"), default="code", help="what is new in releases 2 and 3 (default code)"
    )
    parser.add_argument("--good-only", action="store_true", help="roll release 2 only")
    parser.add_argument("--hosts", type=int, metavar="N", help="hosts in the fleet (default 10; with --shell 3)")
    parser.add_argument("--rate", type=float, default=200, metavar="N", help="requests a second (default 200)")
    parser.add_argument("--bake", type=int, metavar="SECONDS", help="bake time of every stage (default 5; with --shell 1)")
    parser.add_argument(
        "--pool", choices=("conftool", "haproxy"), default="conftool",
        help="where the pool's state lives: in conftool's objects in etcd, which PyBal follows (default), or in HAProxy",
    )
    parser.add_argument("--lbs", type=int, choices=(1, 2), default=1, help="PyBals that follow conftool (default 1)")
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, and say how to play with it")
    parser.add_argument(
        "--shell", action="store_true", help="roll nothing: open a shell in which docs/releases.md and docs/hosts.md can be typed; its end ends it all"
    )
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    parser.add_argument("--kill-at", metavar="PHASE", help="kill -9 shiftd once when a host enters PHASE, and start it again")
    chosen = parser.parse_args(words)
    if chosen.hosts is None:
        chosen.hosts = 3 if chosen.shell else 10
    if chosen.bad is None:
        chosen.bad = "dead" if chosen.shell else "5xx"
    if chosen.bake is None:
        chosen.bake = 1 if chosen.shell else 5
    if chosen.shell and (chosen.keep or chosen.json or chosen.good_only or chosen.kill_at):
        parser.error("--shell: it rolls nothing by itself")
    if chosen.pool == "haproxy" and chosen.lbs != 1:
        parser.error("--lbs: with --pool conftool only")
    if chosen.hosts < 2:
        parser.error("--hosts: a fleet of one cannot be upgraded without downtime; 2 or more")
    if not 1 <= chosen.rate <= 2000:
        parser.error("--rate: 1 to 2000 requests a second")
    if chosen.bake < 1:
        parser.error("--bake: at least 1 second")
    return chosen


class Story:
    """Runs the rollouts and tells what is seen, with the seconds since the first one began."""

    def __init__(self, chosen):
        self.chosen = chosen
        self.began = time.time()
        self.reports = []

    def tell(self, change):
        print(f"  {change.at - self.began:7.1f}  {change.host:<6} {change.text}", flush=True)

    def tell_of_shiftd(self, at, words):
        print(f"  {at - self.began:7.1f}  shiftd {words}", flush=True)

    def run(self) -> int:
        chosen = self.chosen
        balancer = "HAProxy" if chosen.pool == "haproxy" else "etcd, PyBal" if chosen.lbs == 1 else "etcd, two PyBals"
        print(f"Starting {chosen.hosts} hosts, {balancer} and {chosen.rate:g} requests a second ...", flush=True)
        tell = (lambda change: None) if chosen.shell else self.tell  # a shell has the terminal to itself
        with World(chosen.hosts, chosen.rate, chosen.bad, tell, chosen.pool, chosen.lbs, chosen.change) as world:
            daemon = Daemon(world, chosen.bake, Wishes(shares=shell.SHARES) if chosen.shell else Wishes())
            daemon.start()
            if chosen.shell:
                open_shell(world, daemon)
                return 0
            self.began = time.time()
            daemon.follow(self.tell_of_shiftd, chosen.kill_at)
            self.roll(world, daemon, "2", "a good release")
            if not chosen.good_only:
                self.roll(world, daemon, "3", f"a bad release ({chosen.bad})")
            hosts = report.host_reports(world.fleet, world.balancer, world.releases.values())
            report.print_table(self.reports, hosts)
            complaints = self.complaints(hosts, daemon)
            for complaint in complaints:
                print(f"NOT AS IT SHOULD BE: {complaint}")
            if chosen.keep:
                how_to_play(world, daemon)
            daemon.stop()
        if chosen.json:
            print(json.dumps(report.as_json(self.reports, hosts)))
        return 1 if complaints else 0

    def roll(self, world, daemon, name, what):
        print(f"\nRelease {name}, {what}:", flush=True)
        since = time.time()
        outcome, reason = daemon.roll(world.releases[name])
        until = time.time()
        # Requests that left before the end may still be under way: they count when they have ended.
        requests = world.settled_requests(until)
        totals = report.count(requests, name, since, until, world.observer)
        self.reports.append(report.RolloutReport(name, outcome, reason, round(until - since, 1), *totals))
        columns = max(1, min(MOST_COLUMNS, totals[0] // 10))
        shares = report.shares(requests, name, since, until, columns, world.observer)
        report.print_rollout(self.reports[-1], report.sparkline(shares))

    def complaints(self, hosts, daemon):
        found = []
        good = self.reports[0]
        if good.outcome != "succeeded" or good.failed_requests:
            found.append(f"release 2 {good.outcome} with {good.failed_requests} failed requests, not succeeded with 0")
        if not self.chosen.good_only:
            bad = self.reports[1]
            if bad.outcome != "rolled_back":
                found.append(f"release 3 {bad.outcome}, not rolled_back")
            if bad.canary_failed_requests >= FEW_FAILURES * max(1.0, self.chosen.rate / 200):
                found.append(f"{bad.canary_failed_requests} failed requests on the canary")
        for host in hosts:
            if (host.release, host.pooled, host.weight, host.original_weight) != ("2", True, WEIGHT, WEIGHT):
                found.append(f"{host.host} ended on release {host.release}, pooled {host.pooled}, weight {host.weight}")
        if self.chosen.kill_at and not daemon.killed.is_set():
            found.append(f"no host ever entered '{self.chosen.kill_at}': shiftd was not killed")
        return found


def open_shell(world, daemon):
    env = shell.furnish(world, daemon)
    print(f"""
Every host is on release 1. This shell knows shiftctl, shiftd and the hosts (ssh web1); what it can be asked is in docs/releases.md
and docs/hosts.md. `exit` ends it all. For another terminal:  . {env}
""", flush=True)
    shell.serve(env)
    print("ending ...", flush=True)
    daemon.stop()


def how_to_play(world, daemon):
    env = shell.furnish(world, daemon)
    release, good = (" ".join(shell.words(world.releases[name])) for name in ("3", "1"))
    words = f"""
It keeps running; Ctrl-C ends it. In another terminal:
  first              . {env}
  users' entrance    curl -i $ENTRANCE
  what was done      tail -f announcements.log
  watch              shiftctl watch
  status             shiftctl status
  the bad release    shiftctl start web {release} --wait
  a good one         shiftctl start web {good} --wait
  a host             ssh web1
  HAProxy            echo 'show servers state' | socat - {world.balancer.socket.name}
{conftool_words(world)}  everything else    ls"""
    try:
        print(words, flush=True)
        # In slices: a signal between two looks of the interpreter and the system's own wait would else be waited for forever.
        while True:
            time.sleep(0.2)
    except KeyboardInterrupt:
        print("\nending ...", flush=True)


def conftool_words(world) -> str:
    if not world.etcd:
        return ""
    lines = [f"  etcd               curl -s '{world.etcd.url}/v2/keys{PREFIX}/{CONFTOOL}?recursive=true&sorted=true'"]
    lines += ["  pool by pool       shiftctl pool web --watch"]
    for pybal in world.pybals:
        lines.append(f"  {pybal.name + ', a PyBal':<18} curl -s http://127.0.0.1:{pybal.port}/pools/{pybal.pool}")
    last = world.pybals[-1]
    lines.append(f"  freeze {last.name:<11} kill -STOP {last.process.pid}; and kill -CONT {last.process.pid} to let it go on")
    return "\n".join(lines) + "\n"


def end_in_order(_number, _frame):
    """The first of these signals unwinds everything; a second one must not cut that short."""
    for number in ENDING:
        signal.signal(number, lambda *_: None)
    raise KeyboardInterrupt


def main() -> int:
    chosen = arguments()
    if not Daemon.built():
        print("build/shiftd and build/shiftctl are missing: conf/playground/run builds them", file=sys.stderr)
        return 2
    for number in ENDING:
        signal.signal(number, end_in_order)
    try:
        return Story(chosen).run()
    except WorldError as error:
        print(f"playground: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
