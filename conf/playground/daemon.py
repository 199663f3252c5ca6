"""shiftd in the playground: its configuration, its process, and what we ask of it. Everything that knows shiftd is here.

Its own words are used for two things only: a rollout's outcome and reason. What users saw is counted elsewhere.
"""

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

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
OUTCOMES = ("succeeded", "rolled_back", "failed", "aborted")
FEED = "/api/v1/feed"
LONGEST_ROLLOUT = 900.0  # seconds

SHIFTD_YAML = """\
journal: "{folder}/shiftd.journal"
api:
  socket: "{folder}/shiftd.sock"
  listen: "127.0.0.1:{port}"
  token_file: "{folder}/token"
services: [web.yaml]
log: {{level: info}}
"""

WEB_YAML = """\
service: web
ssh: {{user: "{user}", key_file: "{key}", known_hosts: "{known_hosts}"}}
hosts:
{hosts}
pools:
  - haproxy: {{name: lb1, socket: "{socket}", backend: {backend}}}
front_end:
  haproxy: {{}}
release:
  path: "{folder}/hosts/{{{{host}}}}/srv"
  restart: "{folder}/hosts/{{{{host}}}}/restart"
  version: {{url: "http://{{{{address}}}}/version"}}
checks:
  - http: {{path: /healthz, status: 200, timeout: 2s}}
check_policy: {{attempts: 10, pause: 100ms, deadline: 10s}}
strategy:
  canary: 1
  stages: [{stages}]
  batch: 1
  max_failed: 1
  floor: {floor}%
verdict: {{tolerate: 1.1, ignore_below: 0.01%, confidence: 99%, warm_up: 2s}}
"""


class Daemon:
    def __init__(self, world, bake_seconds: int):
        self.world = world
        self.folder = world.folder
        self.config = self.folder / "shiftd.yaml"
        self.port = processes.free_port("127.0.0.1")
        self.process: subprocess.Popen = None
        self.killed = threading.Event()
        self.write_configuration(bake_seconds)

    @staticmethod
    def built() -> bool:
        return (BUILD / "shiftd").exists() and (BUILD / "shiftctl").exists()

    def write_configuration(self, bake_seconds: int):
        fleet = self.world.fleet
        hosts = "\n".join(
            f'  - {{name: {host.name}, address: "{host.address}:{host.port}", ssh: "{host.address}:{host.ssh_port}"}}'
            for host in fleet.hosts
        )
        stages = ", ".join(f"{{share: {share}%, bake: {bake_seconds}s}}" for share in (1, 5, 25, 50, 100))
        # One host at a time must be allowed to be out: of two that leaves a half, of three two thirds.
        count = len(fleet.hosts)
        floor = min(70, 100 * (count - 1) // count)
        token = self.folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32) + "\n")
        self.config.write_text(SHIFTD_YAML.format(folder=self.folder, port=self.port))
        (self.folder / "web.yaml").write_text(
            WEB_YAML.format(
                user=fleet.user, key=fleet.key, known_hosts=fleet.known_hosts, hosts=hosts, socket=self.world.balancer.socket,
                backend=BACKEND, folder=self.folder, stages=stages, floor=floor,
            )
        )

    def start(self):
        self.process = processes.start([BUILD / "shiftd", "--config", self.config], self.folder / "shiftd.log")
        processes.until(10, self.ready, f"shiftd ready (see {self.folder}/shiftd.log)")

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise WorldError(f"shiftd ended with {self.process.returncode}:\n{tail(self.folder / 'shiftd.log')}")
        try:
            return self.get("/-/ready").startswith("HTTP/1.1 200")
        except OSError:
            return False

    def stop(self):
        if self.process is not None:
            processes.stop(self.process, 10)

    def connect(self, path: str) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(5)
            connection.connect(str(self.folder / "shiftd.sock"))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: shiftd\r\nConnection: close\r\n\r\n".encode("ascii"))
        except OSError:
            connection.close()
            raise
        return connection

    def get(self, path: str) -> str:
        with self.connect(path) as connection:
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return answer.decode("utf-8")

    def shiftctl(self, *words) -> list:
        return [str(BUILD / "shiftctl"), "--socket", str(self.folder / "shiftd.sock"), *(str(word) for word in words)]

    def roll(self, release) -> tuple:
        """Rolls the fleet to `release`; the outcome and the reason, as shiftd says them."""
        log = self.folder / f"start-{release.name}.log"
        command = self.shiftctl(
            "start", "web", "--release", release.name, "--source", release.tarball, "--sha256", release.digest, "--wait"
        )
        starting = processes.start(command, log)
        try:
            starting.wait(LONGEST_ROLLOUT)
        except subprocess.TimeoutExpired:
            raise WorldError(f"release {release.name}: the rollout did not end within {LONGEST_ROLLOUT:g} s\n{tail(log)}") from None
        finally:
            processes.stop(starting)
        # A shiftctl whose shiftd was killed cannot tell; the restarted one can.
        status = processes.until(
            LONGEST_ROLLOUT, lambda: self.ended(release.name), f"release {release.name}: an ended rollout\n{tail(log)}", pause=0.2
        )
        return status["outcome"], status.get("reason", "")

    def ended(self, release: str):
        """The newest rollout's status when it is about `release` and has ended."""
        _, output, _ = processes.run(self.shiftctl("status", "web", "-o", "json"), 10)
        try:
            status = json.loads(output)
        except json.JSONDecodeError:
            return None
        about = status.get("release")
        version = about.get("version") if isinstance(about, dict) else about
        return status if version == release and status.get("outcome") in OUTCOMES else None

    def kill_at(self, phase: str):
        """Once, when the feed says that a host entered `phase`: kill -9, and a new shiftd on the same journal."""
        threading.Thread(target=self.follow_and_kill, args=(phase,), daemon=True).start()

    def follow_and_kill(self, phase: str):
        connection = self.connect(FEED)
        connection.settimeout(LONGEST_ROLLOUT)
        with connection, connection.makefile(encoding="utf-8") as feed:
            for line in feed:
                if line.startswith("data:") and f'"{phase}"' in line:
                    break
            else:
                return  # shiftd ended before any host came there
        self.process.kill()
        self.process.wait()
        print(f"  {'':>7}  shiftd killed (kill -9) with a host in '{phase}'; started again", flush=True)
        time.sleep(0.5)
        self.start()
        self.killed.set()


def tail(path: pathlib.Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(nothing was logged)"
