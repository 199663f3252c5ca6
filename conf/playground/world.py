"""The playground's world: hosts, load balancer, users and the observer, started in order and ended by pid.

shiftd is not part of it (daemon.py): the world is as real without it.
"""

import pathlib
import shutil
import signal
import sys
import tempfile
import threading

import load
import processes
import releases
from balancer import Balancer
from fleet import Fleet
from observer import Observer
from processes import WorldError

LONGEST_SOCKET_PATH = 100  # bytes; the kernel's limit is 107


class World:
    """Use as a context: leaving it ends everything and removes the folder, unless something went wrong in it."""

    def __init__(self, hosts: int, rate: float, bad: str, tell=lambda change: None):
        processes.adopt_orphans()
        self.folder = make_folder()
        self.rate = rate
        self.releases = {
            "1": releases.pack("1", self.folder),
            "2": releases.pack("2", self.folder),
            "3": releases.pack("3", self.folder, bad),
        }
        self.fleet = Fleet(self.folder, hosts)
        self.balancer = Balancer(self.folder)
        self.observer = Observer(self.fleet, self.balancer, self.releases.values(), tell)
        self.request_log = self.folder / "requests.log"
        self.users = None
        self.ending = threading.Event()
        self.reaper = threading.Thread(target=self.reap, daemon=True)

    def __enter__(self):
        try:
            self.reaper.start()
            self.fleet.start(self.releases["1"])
            self.balancer.start(self.fleet.hosts)
            self.observer.start()
            self.users = processes.start(
                [sys.executable, "-I", load.__file__, "127.0.0.1", self.balancer.port, self.rate, self.request_log],
                self.folder / "load.log",
            )
            processes.until(5, lambda: self.request_log.exists() and self.request_log.stat().st_size, "the first requests")
        except BaseException:
            self.end(keep_folder=True)
            raise
        return self

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
        processes.end_all()
        for process in [self.balancer.process, *(host.sshd for host in self.fleet.hosts)]:
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
        if len(str(folder / "haproxy.sock.12345.tmp")) <= LONGEST_SOCKET_PATH:
            return folder
        folder.rmdir()
    raise WorldError("the folder for temporary files has too long a name for a unix socket; set TMPDIR to a shorter one")
