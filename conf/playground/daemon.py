"""shiftd in the playground: its configuration, its process, and what we ask of it. Everything that knows shiftd is here.

Its own words are used for two things only: a rollout's outcome and reason. What users saw is counted elsewhere.
"""

import dataclasses
import http.client
import json
import pathlib
import secrets
import socket
import subprocess
import threading
import time

import processes
from balancer import BACKEND
from processes import WorldError
from pybal import MONITORS, MONITORS_COME_FROM
from world import CHECK_EVERY, CONFTOOL

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
ROLLOUTS = "/api/v1/rollouts"
# Records of the feed that belong into a time line for people; what happens to hosts is seen from outside (observer.py).
TOLD = ("stage_begun", "stage_passed", "gate_reached", "held", "shrunk", "rolling_back", "member_taken", "source_lost", "source_back")
LONGEST_ROLLOUT = 300.0  # seconds

SHIFTD_YAML = """\
journal: "{journal}"
api:
  socket: "{folder}/shiftd.sock"
  listen: "127.0.0.1:{port}"
  token_file: "{folder}/token"
  desired_token_file: "{folder}/desired-token"
services: [{services}]
log: {{level: info}}
announce: [{{file: {{path: "{folder}/announcements.log"}}}}]
"""

WEB_YAML = """\
service: {name}
ssh: {{user: "{user}", key_file: "{key}", known_hosts: "{known_hosts}"}}
{hosts}
pools:
{pool}front_end:
  haproxy: {{}}
release:
  path: "{folder}/hosts/{{{{host}}}}/srv"
  restart: "{folder}/hosts/{{{{host}}}}/{restart}"
  version: {{url: "http://{{{{address}}}}/version"}}
  reboot: "{folder}/hosts/{{{{host}}}}/reboot"
  boot_id: "{folder}/hosts/{{{{host}}}}/boot_id"
  prove_limit: 3s
{release}checks:
  - http: {{path: {check}, status: 200, timeout: 2s}}
check_policy: {{attempts: 10, pause: 100ms, deadline: 5s}}
{idle}{sections}strategy:
{strategy}verdict: {{tolerate: 1.1, ignore_below: 0.01%, confidence: 99%, warm_up: 2s, watch_first: 0s}}
"""

STRATEGY = """\
  canary: 1
  stages: [{stages}]
  batch: 1
  max_failed: 1
  floor: {floor}%
"""

HAPROXY_POOL = """\
  - haproxy: {{name: lb1, socket: "{socket}", backend: {backend}}}
"""

# PyBal's monitors keep a connection to every host, also to one that it has left.
IDLE = """\
idle: {{sockets: ["{{{{address}}}}"], ignore: ["{monitors}"]}}
"""

# Every host that is in the pool has the same ports.
HOSTS_OF_CONFTOOL = """\
hosts_from:
  conftool: {{dc: {dc}, cluster: {cluster}, service: {service}, address: "{{{{host}}}}:{port}", ssh: "{{{{host}}}}:{ssh_port}"}}
"""

CONFTOOL_POOL = """\
  - conftool:
      endpoints: ["{etcd}"]
      dc: {dc}
      cluster: {cluster}
      service: {service}
      weight_most: 256  # of the HAProxy that stands in for IPVS, and so are the requests that it shares
      shares_requests: true
      pybal:
{pybals}      count_at: {{name: lvs1, socket: "{socket}", backend: {backend}}}
"""

PYBAL = """\
        - {{name: {name}, address: "127.0.0.1:{port}", pool: {pool}, monitors: [{monitors}], monitor_round: {round:g}s}}
"""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: pathlib.Path, limit: float):
        super().__init__("shiftd", timeout=limit)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


@dataclasses.dataclass
class Wishes:
    """How shiftd is to roll, where a test or a person wants it otherwise than the playground does."""

    shares: tuple = (1, 5, 25, 50, 100)
    strategy: str = ""  # further lines of that section, each "  key: value\n"
    sections: str = ""  # further lines of the service's file
    strategies: dict = dataclasses.field(default_factory=dict)  # instead of both: by service, all lines of that section
    restart: str = "restart"  # the program in a host's home
    release: str = ""  # further lines of the release section
    check: str = "/healthz"
    socket: pathlib.Path = None  # instead of HAProxy's own
    pybal_port: int = 0  # instead of the first PyBal's own
    journal: pathlib.Path = None
    services: tuple = ("web",)  # all of them on the same hosts and pool
    fleets: dict = dataclasses.field(default_factory=dict)  # by service, the names of its hosts; all of them unless told
    of_service: dict = dataclasses.field(default_factory=dict)  # by service, further lines of its file, in which FOLDER is the world's
    hosts_of_conftool: bool = False  # named by nobody else; the world's names have to be addresses


class Daemon:
    def __init__(self, world, bake_seconds: int, wishes: Wishes = Wishes()):
        self.world = world
        self.folder = world.folder
        self.config = self.folder / "shiftd.yaml"
        self.journal = wishes.journal or self.folder / "shiftd.journal"
        self.port = processes.free_port("127.0.0.1")
        self.process: subprocess.Popen = None
        self.killed = threading.Event()
        self.ending = threading.Event()
        self.lost = None  # why shiftd did not come back after it was killed
        self.write_configuration(bake_seconds, wishes)

    @staticmethod
    def built() -> bool:
        return (BUILD / "shiftd").exists() and (BUILD / "shiftctl").exists()

    def write_configuration(self, bake_seconds: int, wishes: Wishes):
        fleet = self.world.fleet
        stages = ", ".join(f"{{share: {share}%, bake: {bake_seconds}s}}" for share in wishes.shares)
        # One host at a time must be allowed to be out: of two that leaves a half, of three two thirds.
        count = min(len(names) for names in wishes.fleets.values()) if wishes.fleets else len(fleet.hosts)
        floor = min(70, 100 * (count - 1) // count)
        for name in ("token", "desired-token"):
            token = self.folder / name
            token.touch(mode=0o600)
            token.write_text(secrets.token_hex(32) + "\n")
        usual = STRATEGY.format(stages=stages, floor=floor) + wishes.strategy
        strategies = wishes.strategies or {name: usual for name in wishes.services}
        services = ", ".join(f"{name}.yaml" for name in strategies)
        self.config.write_text(SHIFTD_YAML.format(folder=self.folder, journal=self.journal, port=self.port, services=services))
        for name, strategy in strategies.items():
            sections = wishes.sections + wishes.of_service.get(name, "").replace("FOLDER", str(self.folder))
            (self.folder / f"{name}.yaml").write_text(
                WEB_YAML.format(
                    name=name, user=fleet.user, key=fleet.key, known_hosts=fleet.known_hosts, hosts=self.hosts(wishes, name),
                    pool=self.pool(wishes), folder=self.folder, restart=wishes.restart, release=wishes.release, check=wishes.check, strategy=strategy,
                    idle=IDLE.format(monitors=MONITORS_COME_FROM) if self.world.etcd else "", sections=sections,
                )
            )

    def hosts(self, wishes: Wishes, service: str) -> str:
        hosts = self.world.fleet.hosts
        if service in wishes.fleets:
            hosts = [host for host in hosts if host.name in wishes.fleets[service]]
        if wishes.hosts_of_conftool:
            dc, cluster, service = CONFTOOL.split("/")
            return HOSTS_OF_CONFTOOL.format(dc=dc, cluster=cluster, service=service, port=hosts[0].port, ssh_port=hosts[0].ssh_port)
        lines = [f'  - {{name: {host.name}, address: "{host.address}:{host.port}", ssh: "{host.address}:{host.ssh_port}"}}' for host in hosts]
        return "\n".join(["hosts:", *lines])

    def pool(self, wishes: Wishes) -> str:
        world = self.world
        socket = wishes.socket or world.balancer.socket
        if not world.etcd:
            return HAPROXY_POOL.format(socket=socket, backend=BACKEND)
        dc, cluster, service = CONFTOOL.split("/")
        ports = [pybal.port for pybal in world.pybals]
        ports[0] = wishes.pybal_port or ports[0]
        pybals = "".join(
            PYBAL.format(name=pybal.name, port=port, pool=pybal.pool, monitors=", ".join(MONITORS), round=2 * CHECK_EVERY)
            for pybal, port in zip(world.pybals, ports)
        )
        return CONFTOOL_POOL.format(
            etcd=world.etcd.url, dc=dc, cluster=cluster, service=service, pybals=pybals, socket=socket, backend=BACKEND
        )

    def start(self):
        self.process = processes.start([BUILD / "shiftd", "--config", self.config], self.folder / "shiftd.log")
        processes.until(10, self.ready, f"shiftd ready (see {self.folder}/shiftd.log)")

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise WorldError(f"shiftd ended with {self.process.returncode}:\n{tail(self.folder / 'shiftd.log')}")
        return self.get("/-/ready") is not None

    def stop(self):
        self.ending.set()
        if self.process is not None:
            processes.stop(self.process, 10)

    def get(self, path: str):
        """The body of a 200; None when shiftd says anything else, or nothing."""
        connection = UnixConnection(self.folder / "shiftd.sock", 5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode("utf-8")
            return body if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def newest(self):
        """The newest rollout as the API lists it; None when there is none or nobody answers."""
        body = self.get(ROLLOUTS)
        listed = json.loads(body)["rollouts"] if body else []
        return listed[0] if listed else None

    def shiftctl(self, *words) -> list:
        return [str(BUILD / "shiftctl"), "--socket", str(self.folder / "shiftd.sock"), *(str(word) for word in words)]

    def roll(self, release) -> tuple:
        """Rolls the fleet to `release`; the outcome and the reason, as shiftd says them."""
        log = self.folder / f"start-{release.name}.log"
        command = self.shiftctl("start", "web", *release.words(), "--wait")
        starting = processes.start(command, log)
        try:
            starting.wait(LONGEST_ROLLOUT)
        except subprocess.TimeoutExpired:
            raise WorldError(f"release {release.name}: the rollout did not end within {LONGEST_ROLLOUT:g} s\n{tail(log)}") from None
        finally:
            processes.stop(starting)
        # A shiftctl whose shiftd was killed cannot tell; the restarted one can.
        ended = processes.until(
            LONGEST_ROLLOUT if self.killed.is_set() else 10, lambda: self.ended(release.name),
            f"release {release.name}: an ended rollout; shiftctl said:\n{tail(log)}", pause=0.2,
        )
        return ended["outcome"], ended["reason"]

    def ended(self, release: str):
        if self.lost:
            raise self.lost
        newest = self.newest()
        return newest if newest and newest["version"] == release and newest["outcome"] != "none" else None

    def follow(self, tell, kill_at: str):
        """Tells what the live feed says of every rollout, in a thread. With `kill_at`: kills shiftd (kill -9) once, when
        the feed says that a host entered that phase, and starts a new one on the same journal."""
        threading.Thread(target=self.follow_rollouts, args=(tell, kill_at), daemon=True).start()

    def follow_rollouts(self, tell, kill_at):
        seen = {}  # rollout -> the next record's number
        while not self.ending.wait(0.05):
            newest = self.newest()
            if newest and (newest["outcome"] == "none" or newest["rollout"] not in seen):
                self.follow_rollout(newest["rollout"], seen, tell, kill_at)

    def follow_rollout(self, rollout, seen, tell, kill_at):
        connection = UnixConnection(self.folder / "shiftd.sock", 60)
        try:
            headers = {"Last-Event-ID": str(seen[rollout] - 1)} if seen.get(rollout) else {}
            connection.request("GET", f"{ROLLOUTS}/{rollout}/events", headers=headers)
            for line in connection.getresponse():
                kind, _, value = line.decode("utf-8").strip().partition(": ")
                if kind == "id":
                    seen[rollout] = int(value) + 1
                if kind != "data" or not value.startswith("{"):
                    continue
                record = json.loads(value)
                if record.get("is") in TOLD:
                    tell(record["at"] / 1000, words_of(record))
                if record.get("is") == "host_moved" and record.get("phase") == kill_at and not self.killed.is_set():
                    self.kill(tell, f"{record['host']} {kill_at}")
                    return
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            return  # shiftd went away in the middle of a line; the next look goes on after the last number seen
        finally:
            connection.close()

    def kill(self, tell, when: str):
        self.killed.set()
        self.process.kill()
        self.process.wait()
        tell(time.time(), f"killed (kill -9) with {when}; started again")
        try:
            self.start()
        except WorldError as error:
            self.lost = error


def words_of(record: dict) -> str:
    kind = record["is"]
    stage = f"stage {record.get('stage', 0) + 1}"
    if kind == "stage_begun":
        return f"{stage} begins"
    if kind == "stage_passed":
        return f"{stage} passed: {record['evidence']}"
    if kind == "gate_reached":
        return f"{stage} waits at its gate"
    if kind == "held":
        return f"holds: {record['why']}" if record.get("why") else "goes on"
    if kind == "rolling_back":
        return f"rolls back: {record['reason']}"
    return " ".join([kind.replace("_", " ")] + [f"{key}={value}" for key, value in record.items() if key not in ("v", "at", "is")])


def tail(path: pathlib.Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(nothing was logged)"
