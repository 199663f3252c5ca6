"""SSH to loopback hosts: shiftd's executor beside pssh, clush, ansible and scp, in one run.

Every host is a real sshd on a loopback address of its own, with its own host key and sshd's own limits (MaxStartups,
MaxSessions). There are two fleets, one after the other: "defaults", where client and sshd agree on what they like best, and
"equal", where sshd has one key exchange, one kind of host key, one cipher and one MAC, so that every tool uses the same.

Each round of a tool is one process, from its start to its end, over connections that it opens; the tools take turns. A tool
that is not installed is named and left out. ansible keeps no masters (ControlPersist): nothing would use them.
"""

import argparse
import concurrent.futures
import functools
import getpass
import hashlib
import io
import json
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "conf" / "playground"))

import fleet as playground_fleet  # noqa: E402
import processes  # noqa: E402
from processes import WorldError  # noqa: E402

# What libssh2 1.10 and OpenSSH have in common.
EQUAL = """\
KexAlgorithms curve25519-sha256
HostKeyAlgorithms ssh-ed25519
Ciphers aes128-ctr
MACs hmac-sha2-256
"""
SSH_CONFIG = """\
Host *
  Port {port}
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile none
  BatchMode yes
"""
# What `prepare` of shiftd does on the host once the tarball is there, as somebody would write it into one ssh call.
UNPACK = """\
set -e; umask 022; cd {home}/plain; echo "{digest}  ../upload" | sha256sum -c --status -
rm -rf part; mkdir part; tar -xzf ../upload --no-same-owner -C part; sync -f part; mv -T part {digest}; sync .; rm ../upload
"""
LIMIT = 600  # seconds; no round takes as long


class Fleet:
    """Use as a context. All hosts have the same port: clush and scp are told one for all."""

    def __init__(self, folder: pathlib.Path, count: int, more_config: str):
        self.folder = folder
        self.more_config = more_config
        self.hosts = [
            playground_fleet.Host(f"web{i + 1}", folder / "hosts" / f"web{i + 1}", f"127.0.{1 + i // 250}.{1 + i % 250}") for i in range(count)
        ]
        self.known_hosts = folder / "known_hosts"

    def __enter__(self):
        playground_fleet.prepare_machine()
        playground_fleet.make_key(self.folder / "user_key")
        port = processes.free_port(self.hosts[0].address)
        pam = "yes" if playground_fleet.locked() else "no"
        for host in self.hosts:
            host.ssh_port = port
            (host.home / "plain").mkdir(parents=True)
            playground_fleet.make_key(host.home / "host_key")
            (host.home / "sshd_config").write_text(
                playground_fleet.SSHD_CONFIG.format(address=host.address, port=port, home=host.home, keys=self.folder, pam=pam) + self.more_config
            )
            host.sshd = processes.start([playground_fleet.SSHD, "-D", "-e", "-f", host.home / "sshd_config"], host.home / "sshd.log")
        for host in self.hosts:
            playground_fleet.Fleet.wait_for_sshd(self, host)
        playground_fleet.Fleet.write_known_hosts(self)
        (self.folder / "ssh_config").write_text(SSH_CONFIG.format(port=port, user=getpass.getuser(), folder=self.folder))
        return self

    def __exit__(self, *_):
        processes.end_all()

    def list_hosts(self, count: int, line: str) -> pathlib.Path:
        """A file of the first hosts in the form that a tool reads."""
        file = self.folder / "list"
        file.write_text("".join(line.format(host=host) + "\n" for host in self.hosts[:count]))
        return file

    def settle(self):
        """Until nobody is logged in any more: what sshd does after a round must not fall into the next one's time."""
        processes.until(30, lambda: len(processes.descendants()) == len(self.hosts), "the end of all sessions", 0.1)
        os.sync()


def timed(command, environment=None) -> dict:
    """One round of a tool: its output, seconds from its start to its end, and the processor time of it and its children."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    code, output, error = processes.run(["env", *(f"{name}={value}" for name, value in (environment or {}).items()), *command], LIMIT)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if code != 0:
        raise WorldError(f"{command[0]} ended with {code}: {error[-500:]}{output[-500:]}")
    return {"output": output, "seconds": seconds, "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def shiftd(fleet: Fleet, kind: str, count: int, at_once: int, *more) -> dict:
    hosts = fleet.list_hosts(count, "{host.name} {host.address} {host.ssh_port}")
    done = timed([fleet.program, kind, "--hosts", hosts, "--user", getpass.getuser(), "--key", fleet.folder / "user_key", "--known-hosts",
                  fleet.known_hosts, "--at-once", at_once, *more])
    return done | json.loads(done["output"]) if kind == "sessions" else done


def run_shiftd(fleet, count, at_once):
    return shiftd(fleet, "run", count, at_once)


def run_pssh(fleet, count, at_once):
    hosts = fleet.list_hosts(count, "{host.address}")
    return heard(count, timed(["parallel-ssh", "-i", "-h", hosts, "-p", at_once, "-t", LIMIT, "-x", f"-F {fleet.folder}/ssh_config", "echo ok"]))


def run_clush(fleet, count, at_once):
    hosts = fleet.list_hosts(count, "{host.address}")
    return heard(count, timed(["clush", f"--hostfile={hosts}", "-f", at_once, "-o", f"-F {fleet.folder}/ssh_config", "echo ok"]))


def run_ansible(fleet, count, at_once):
    hosts = fleet.list_hosts(count, "{host.address}")
    (fleet.folder / "ansible.cfg").touch()  # instead of whatever this machine has
    settings = {"ANSIBLE_CONFIG": fleet.folder / "ansible.cfg", "ANSIBLE_SSH_ARGS": f"-F {fleet.folder}/ssh_config", "ANSIBLE_LOCAL_TEMP": fleet.folder / "ansible"}
    return heard(count, timed(["ansible", "all", "-i", hosts, "-f", at_once, "-m", "raw", "-a", "echo ok"], settings))


def heard(count: int, done: dict) -> dict:
    """Every host has answered."""
    answers = sum(line.split()[-1:] == ["ok"] for line in done["output"].splitlines())
    if answers != count:
        raise WorldError(f"{answers} of {count} hosts answered: {done['output'][-500:]}")
    return done


TOOLS = {"shiftd": (None, run_shiftd), "pssh": ("parallel-ssh", run_pssh), "clush": ("clush", run_clush), "ansible": ("ansible", run_ansible)}


class Tarball:
    """Incompressible, so that what travels is what is unpacked."""

    def __init__(self, folder: pathlib.Path, mebibytes: int):
        self.file = folder / "release.tar.gz"
        self.bytes = mebibytes << 20
        with tarfile.open(self.file, "w:gz", compresslevel=1) as tar:
            entry = tarfile.TarInfo("content")
            entry.size = self.bytes
            tar.addfile(entry, io.BytesIO(os.urandom(self.bytes)))
        self.digest = hashlib.sha256(self.file.read_bytes()).hexdigest()


def by_scp(fleet, count, at_once, after=None) -> dict:
    def bring(host):
        words = ["-F", fleet.folder / "ssh_config"]
        for command in (["scp", "-q", *words, fleet.tarball.file, f"{host.address}:{host.home}/upload"],
                        after and ["ssh", *words, host.address, after.format(home=host.home, digest=fleet.tarball.digest)]):
            if command:
                code, _, error = processes.run(command, LIMIT)
                if code != 0:
                    raise WorldError(f"{command[0]} to {host.name} ended with {code}: {error}")

    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(bring, fleet.hosts[:count]))
    seconds, after_all = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu_s": after_all.ru_utime + after_all.ru_stime - before.ru_utime - before.ru_stime}


def by_send(fleet, count, at_once) -> dict:
    return shiftd(fleet, "send", count, at_once, "--file", fleet.tarball.file, "--path", fleet.folder / "hosts/{{host}}/upload")


def by_prepare(fleet, count, at_once) -> dict:
    return shiftd(fleet, "prepare", count, at_once, "--file", fleet.tarball.file, "--sha256", fleet.tarball.digest, "--path",
                  fleet.folder / "hosts/{{host}}/srv")


BRINGING = {
    "shiftd, brought": by_send,
    "scp": by_scp,
    "shiftd, prepared": by_prepare,
    "scp, then ssh that unpacks": functools.partial(by_scp, after=UNPACK),
}


def in_turns(fleet: Fleet, ways: dict, repeat: int, *numbers) -> dict:
    runs = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            for host in fleet.hosts:
                for left in ("upload", "srv", f"plain/{fleet.tarball.digest}"):
                    gone = host.home / left
                    shutil.rmtree(gone) if gone.is_dir() else gone.unlink(missing_ok=True)
            fleet.settle()
            runs[name].append(way(fleet, *numbers))
    fleet.settle()
    return {name: summary(each) for name, each in runs.items()}


def summary(runs: list) -> dict:
    return {"seconds": round(statistics.median(run["seconds"] for run in runs), 3), "seconds_each": [round(run["seconds"], 3) for run in runs],
            "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 3)}


def ratio_to_best(found: dict):
    others = [each["seconds"] for name, each in found.items() if name != "shiftd"]
    return round(found["shiftd"]["seconds"] / min(others), 3) if others else None


def measure(fleet: Fleet, chosen, ways: dict) -> dict:
    """What is asked of either fleet."""
    rounds = []
    for _ in range(chosen.repeat):
        fleet.settle()
        rounds.append(shiftd(fleet, "sessions", chosen.sessions, chosen.parallel))
    numbers = [key for key, value in rounds[0].items() if isinstance(value, (int, float)) and key not in ("seconds", "cpu_s")]
    sessions = {key: round(statistics.median(run[key] for run in rounds), 3) for key in numbers}
    # The median of one round's sum, not the sum of medians.
    sessions["cpu_ms"] = round(statistics.median(run["connect_ms"] + run["command_ms"] for run in rounds), 3)
    commands = in_turns(fleet, ways, chosen.repeat, chosen.hosts, chosen.parallel)
    return {"sessions": sessions, "commands": commands, "to_best": ratio_to_best(commands)}


def print_sessions(name: str, found: dict):
    print(f"\n{name}: {found['sessions']:g} sessions at once, {found['threads']:g} thread(s); of each")
    print(f"  CPU {found['cpu_ms']:.2f} ms: connect {found['connect_ms']:.2f}, first command {found['command_ms']:.2f} (another {found['command_again_ms']:.2f})")
    print(f"  memory {found['rss_kib']:.0f} KiB resident, {found['heap_kib']:.0f} KiB given out by malloc ({found['heap_later_kib']:.0f} once each has "
          "read 200 kB of output)")
    print(f"  all connected in {found['connect_s']:.2f} s, all commands at once in {found['command_s']:.2f} s")


def print_commands(name: str, found: dict, hosts: int, parallel: int):
    print(f"\n{name}: `echo ok` on {hosts} hosts, {parallel} at once")
    print(f"  {'':<30}{'seconds':>9}{'own CPU, s':>12}   each")
    for tool, each in found["commands"].items():
        print(f"  {tool:<30}{each['seconds']:9.2f}{each['cpu_s']:12.2f}   {each['seconds_each']}")
    if found["to_best"]:
        print(f"  shiftd takes {found['to_best']:.2f} of the best of the others")


def print_bringing(found: dict, chosen, tarball: Tarball) -> dict:
    mebibytes = tarball.bytes / (1 << 20) * chosen.copies
    print(f"\nequal: a tarball of {chosen.mebibytes} MiB to {chosen.copies} hosts, all at once")
    print(f"  {'':<30}{'seconds':>9}{'MiB/s':>9}{'own CPU, s':>12}   each")
    for way, each in found.items():
        each["mib_per_s"] = round(mebibytes / each["seconds"], 1)
        print(f"  {way:<30}{each['seconds']:9.2f}{each['mib_per_s']:9.1f}{each['cpu_s']:12.2f}   {each['seconds_each']}")
    rate = lambda ours, theirs: round(found[ours]["mib_per_s"] / found[theirs]["mib_per_s"], 3)  # noqa: E731
    rates = {"brought": rate("shiftd, brought", "scp"), "prepared": rate("shiftd, prepared", "scp, then ssh that unpacks")}
    print(f"  shiftd's rate: {rates['brought']:.2f} of scp's; prepared: {rates['prepared']:.2f}")
    return rates


def arguments():
    parser = argparse.ArgumentParser(prog="tests/bench/ssh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build", metavar="DIR", help="built with SHIFTD_BENCH (default build)")
    parser.add_argument("--sessions", type=int, default=500, metavar="N", help="open at once (default 500)")
    parser.add_argument("--hosts", type=int, default=200, metavar="N", help="that run the command (default 200)")
    parser.add_argument("--parallel", type=int, default=32, metavar="N", help="hosts at a time, for every tool (default 32, pssh's own)")
    parser.add_argument("--copies", type=int, default=20, metavar="N", help="hosts that get the tarball, all at once (default 20)")
    parser.add_argument("--mebibytes", type=int, default=50, metavar="N", help="of the tarball (default 50)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="rounds of each kind (default 5)")
    parser.add_argument("--only", nargs="+", choices=("defaults", "equal", "bringing"), default=["defaults", "equal", "bringing"])
    chosen = parser.parse_args()
    if not (chosen.build / "bench/ssh_bench").exists():
        parser.error(f"{chosen.build}/bench/ssh_bench is missing: cmake -B {chosen.build} -DSHIFTD_BENCH=ON && ninja -C {chosen.build} ssh_bench")
    return chosen


def main() -> int:
    chosen = arguments()
    load_before = os.getloadavg()[0]
    missing = [name for name, (program, _) in TOOLS.items() if program and not shutil.which(program)]
    ways = {name: way for name, (_, way) in TOOLS.items() if name not in missing}
    if missing:
        print(f"not installed, and left out: {', '.join(missing)}")
    result = {"parallel": chosen.parallel, "hosts": chosen.hosts, "repeat": chosen.repeat, "missing": missing}
    processes.adopt_orphans()
    for name, config in (("defaults", ""), ("equal", EQUAL)):
        wanted = {name, "bringing"} if name == "equal" else {name}
        if not wanted & set(chosen.only):
            continue
        with tempfile.TemporaryDirectory(prefix="shiftd-bench-ssh-") as folder:
            folder = pathlib.Path(folder)
            folder.chmod(0o755)
            with Fleet(folder, max(chosen.sessions, chosen.hosts, chosen.copies), config) as fleet:
                fleet.program = chosen.build / "bench/ssh_bench"
                fleet.tarball = Tarball(folder, chosen.mebibytes)
                if name in chosen.only:
                    result[name] = measure(fleet, chosen, ways)
                    print_sessions(name, result[name]["sessions"])
                    print_commands(name, result[name], chosen.hosts, chosen.parallel)
                if name == "equal" and "bringing" in chosen.only:
                    bringing = in_turns(fleet, BRINGING, chosen.repeat, chosen.copies, chosen.copies)
                    result["bringing"] = bringing | {"rates": print_bringing(bringing, chosen, fleet.tarball)}
    result["load_average"] = [round(load_before, 1), round(os.getloadavg()[0], 1)]
    print(f"\nload average before and after: {result['load_average']}, {os.cpu_count()} CPUs")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except WorldError as error:
        print(f"ssh: {error}", file=sys.stderr)
        sys.exit(2)
