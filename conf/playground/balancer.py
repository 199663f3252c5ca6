"""The playground's load balancer: a real HAProxy in front of the hosts.

It retries nothing: an error of a host is an error that a user sees, so that nothing is prettier than it is.
"""

import csv
import dataclasses
import os
import pathlib
import signal
import socket
import subprocess

import processes
from processes import WorldError

HAPROXY = "/usr/sbin/haproxy"
BACKEND = "app"
WEIGHT = 100
FORCED_DRAIN_OR_MAINT = 0x01 | 0x08  # bits of srv_admin_state in `show servers state`

CONFIG = """\
global
    stats socket {socket} level admin mode 600 expose-fd listeners
    server-state-file {state}
    maxconn 2000
    nbthread 1

defaults
    mode http
    load-server-state-from-file global
    timeout connect 1s
    timeout client 60s
    timeout server 2s
    timeout queue 1s
    retries 0

frontend users
    bind 127.0.0.1:{port}
    # Answers that HAProxy makes itself (502, 503, 504) name the host that they are about, too.
    http-after-response set-header X-Host %s
    default_backend {backend}

backend {backend}
    balance roundrobin
"""
OWN_CHECKS = """\
    option httpchk GET /healthz
    default-server check inter {check_every} rise 2 fall 2 weight {weight}
"""
# In the place of IPVS: PyBal checks and says who is in. As under IPVS a connection carries one user's requests.
NO_CHECKS = """\
    option http-server-close
    default-server disabled weight {weight}
"""


@dataclasses.dataclass(frozen=True)
class Member:
    status: str  # first word of HAProxy's: UP, DRAIN, DOWN, MAINT
    passing: bool  # its own checks all pass
    weight: int
    original_weight: int
    pooled: bool
    requests_now: int


class Balancer:
    check_every = "200ms"

    def __init__(self, folder: pathlib.Path, name="haproxy", checks=True):
        self.folder, self.name, self.checks = folder, name, checks
        self.socket = folder / f"{name}.sock"
        self.config = folder / f"{name}.cfg"
        self.state = folder / f"{name}.state"
        self.port = 0
        self.process: subprocess.Popen = None

    def start(self, hosts):
        self.port = processes.free_port("127.0.0.1")
        text = CONFIG.format(socket=self.socket, port=self.port, backend=BACKEND, state=self.state)
        text += (OWN_CHECKS if self.checks else NO_CHECKS).format(weight=WEIGHT, check_every=self.check_every)
        text += "".join(f"    server {host.name} {host.address}:{host.port}\n" for host in hosts)
        self.config.write_text(text)
        self.launch()
        if self.checks:
            processes.until(10, lambda: self.all_up(len(hosts)), "HAProxy: every host up")
        else:
            processes.until(10, self.socket.exists, f"HAProxy's socket (see {self.folder}/{self.name}.log)")

    def launch(self):
        # Master and worker, in the foreground: so it can be reloaded.
        self.process = processes.start([HAPROXY, "-W", "-f", self.config], self.folder / f"{self.name}.log")

    def stop(self):
        """SIGTERM: it ends at once, with the requests that it has. What was set over its socket is forgotten."""
        self.state.unlink(missing_ok=True)
        processes.stop(self.process)

    def reload(self, keeping_state: bool):
        """As a reload unit does it: the state is kept in a file or forgotten, and a new worker takes over."""
        if keeping_state:
            self.state.write_text(self.command("show servers state"))
        else:
            self.state.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)

    def freeze(self):
        for pid in [*self.workers(), self.process.pid]:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in [self.process.pid, *self.workers()]:
            os.kill(pid, signal.SIGCONT)

    def workers(self) -> list:
        return [pid for pid, (parent, state) in processes.parents().items() if parent == self.process.pid and state != "Z"]

    def all_up(self, count: int) -> bool:
        if self.process.poll() is not None:
            raise WorldError(f"HAProxy ended with {self.process.returncode}; see {self.folder}/{self.name}.log")
        try:
            members = self.members()
        except WorldError:
            return False  # it does not listen yet
        return len(members) == count and all(member.status == "UP" and member.passing for member in members.values())

    def socket_answers(self) -> bool:
        try:
            return bool(self.command("show info"))
        except WorldError:
            return False

    def command(self, text: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(str(self.socket))
                connection.sendall(text.encode("ascii") + b"\n")
                reply = b""
                while more := connection.recv(65536):
                    reply += more
            except OSError as error:
                raise WorldError(f"HAProxy's socket: {text}: {error}") from error
        return reply.decode("latin-1")

    def set(self, host: str, what: str):
        """`set server app/<host> <what>`: for those who roll by hand."""
        reply = self.command(f"set server {BACKEND}/{host} {what}").strip()
        if reply:
            raise WorldError(f"HAProxy: {host} {what}: {reply}")

    def members(self) -> dict:
        """Host -> Member, as HAProxy itself sees it now."""
        state = table(self.command(f"show servers state {BACKEND}").split("\n", 1)[1].lstrip("# "), " ", "srv_name")
        stat = table(self.command(f"show stat {BACKEND} 4 -1").lstrip("# "), ",", "svname")
        found = {}
        for name, row in state.items():
            if name not in stat:
                continue
            status = stat[name]["status"].split()
            found[name] = Member(
                status=status[0],
                passing=status in (["UP"], ["DRAIN"], ["no", "check"]),
                weight=int(row["srv_uweight"]),
                original_weight=int(row["srv_iweight"]),
                pooled=not int(row["srv_admin_state"]) & FORCED_DRAIN_OR_MAINT,
                requests_now=int(stat[name]["scur"]),
            )
        return found


def table(text: str, separator: str, key: str) -> dict:
    rows = csv.DictReader((line for line in text.splitlines() if line.strip()), delimiter=separator)
    return {row[key]: row for row in rows}
