"""The playground's world: hosts, load balancers, users and the observer, started in order and ended by pid.

The pool's state lives in HAProxy, or in conftool's objects in etcd: then PyBal (a stand-in) follows them and sends the
users through a HAProxy that stands in for IPVS. A second PyBal has its HAProxy, too, and no users: it is the one to which
they would be moved. shiftd is not part of it (daemon.py): the world is as real without it.
"""

import pathlib
import shutil
import signal
import sys
import tempfile
import threading
import time

import load
import processes
import releases
from balancer import BACKEND, WEIGHT, Balancer
from etcd import Etcd
from fleet import Fleet
from observer import Observer
from processes import WorldError
from pybal import Pybal

CONFTOOL = "dc1/web/app"  # data center, cluster, service
PYBAL_POOL = "app_80"
PYBAL_THRESHOLD = 0.3
CHECK_EVERY = 0.5  # seconds; as long a fetch may take

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107


class World:
    """Use as a context: leaving it ends everything and removes the folder, unless something went wrong in it."""

    def __init__(self, hosts: int, rate: float, bad: str, tell=lambda change: None, pool="haproxy", lbs=1, change="code", names_are_addresses=False):
        processes.adopt_orphans()
        self.folder = make_folder()
        self.rate = rate
        self.releases = releases.releases_of(change, self.folder, bad)
        self.fleet = Fleet(self.folder, hosts, names_are_addresses)
        self.etcd, self.pybals = None, []
        if pool == "conftool":
            self.etcd = Etcd(self.folder)
            names = [f"lvs{i + 1}" for i in range(lbs)]
            self.pybals = [Pybal(self.folder, name, self.etcd, CONFTOOL, PYBAL_POOL) for name in names]
            self.balancers = [Balancer(self.folder, f"haproxy-{name}", checks=False) for name in names]
        else:
            self.balancers = [Balancer(self.folder)]
        self.balancer = self.balancers[0]  # where the users come in
        self.observer = Observer(self.fleet, self.balancer, self.releases.values(), tell)
        self.request_log = self.folder / "requests.log"
        self.users = None
        self.ending = threading.Event()
        self.reaper = threading.Thread(target=self.reap, daemon=True)

    def __enter__(self):
        try:
            self.reaper.start()
            self.fleet.start(self.releases["1"])
            for balancer in self.balancers:
                balancer.start(self.fleet.hosts)
            if self.etcd:
                self.start_conftool()
            self.observer.start()
            self.users = processes.start(
                [sys.executable, "-I", load.__file__, "127.0.0.1", self.balancer.port, self.rate, self.request_log],
                self.folder / "load.log",
            )
            processes.until(30, lambda: self.request_log.exists() and self.request_log.stat().st_size, "the first requests")
        except BaseException as error:
            self.end(keep_folder=not isinstance(error, KeyboardInterrupt))
            raise
        return self

    def start_conftool(self):
        self.etcd.start()
        addresses = {host.name: f"{host.address}:{host.port}" for host in self.fleet.hosts}
        for name in addresses:
            self.etcd.set(self.key(name), "yes", WEIGHT)
        for pybal, balancer in zip(self.pybals, self.balancers):
            pybal.start(addresses, balancer.socket, BACKEND, PYBAL_THRESHOLD, CHECK_EVERY, CHECK_EVERY)
            processes.until(10, lambda: all(member.pooled for member in balancer.members().values()), f"{pybal.name}: every host in")
        # As a PyBal is that was not started a moment ago: its monitors have had their two rounds.
        for pybal in self.pybals:
            processes.until(10, lambda: time.time() - pybal.started > 4 * CHECK_EVERY + 1, f"{pybal.name}: two rounds of checks")

    def key(self, host: str) -> str:
        """The host's object in conftool, as etcd.py takes it."""
        return f"{CONFTOOL}/{host}"

    def __exit__(self, kind, error, trace):
        self.end(keep_folder=kind is not None and not issubclass(kind, KeyboardInterrupt))

    def end(self, keep_folder=False):
        # A second Ctrl-C must not leave half of it behind.
        handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        self.observer.stop()
        if self.users is not None:
            processes.stop(self.users, load.PATIENCE + 2)
        self.ending.set()
        if self.reaper.ident is not None:
            self.reaper.join()
        self.fleet.stop()
        processes.end_all()
        servers = [*self.balancers, *self.pybals, *([self.etcd] if self.etcd else [])]
        for process in [*(server.process for server in servers), *(host.sshd for host in self.fleet.hosts)]:
            if process is not None:
                process.wait()
        processes.reap_adopted()
        if keep_folder:
            print(f"the logs are in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def requests(self):
        return load.read_log(self.request_log)[0]

    def settled_requests(self, before: float):
        """All requests logged, once every one that left earlier than `before` has been answered or given up."""

        def settled():
            requests, settled_until = load.read_log(self.request_log)
            return requests if settled_until >= before else None

        return processes.until(load.PATIENCE + 5, settled, "the answers to the last requests", pause=0.1)

    def stop_users(self):
        """Lets the requests under way finish, so that the log holds all of them."""
        processes.stop(self.users, load.PATIENCE + 2)

    def reap(self):
        while not self.ending.wait(0.2):
            processes.reap_adopted()


def make_folder() -> pathlib.Path:
    for parent in (None, "/tmp"):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="shiftd-playground-", dir=parent)).resolve()
        if len(str(folder / "haproxy-lvs1.sock.12345.tmp")) <= LONGEST_SOCKET_PATH:
            return folder
        folder.rmdir()
    raise WorldError("the folder for temporary files has too long a name for a unix socket; set TMPDIR to a shorter one")
