"""What the fault tests share: a small real world under load, the real shiftd in it, and what must be true afterwards.

Nothing here believes shiftd where the world can be asked: the pool is read from HAProxy, releases from the hosts' own
answers, restarts from a file on each host, failed requests from the users' log.
"""

import http.client
import json
import pathlib
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "conf" / "playground"))

import processes  # noqa: E402
from balancer import BACKEND, WEIGHT  # noqa: E402, F401
from daemon import BUILD, ROLLOUTS, Daemon, UnixConnection, Wishes, tail  # noqa: E402, F401
from world import World  # noqa: E402

RATE = 150
LIMIT = 40.0  # seconds for anything awaited

# A test run that is ended ends its worlds, as Ctrl-C does.
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler)


class Scene:
    """Three hosts, two stages, bakes of one second. Use as a context; print what was shown with `shown`."""

    def __init__(self, hosts=3, bad="5xx", rate=RATE, shares=(50, 100), started=True, pool="haproxy", lbs=1, change="code", names_are_addresses=False, **wishes):
        self.world = World(hosts, rate, bad, pool=pool, lbs=lbs, change=change, names_are_addresses=names_are_addresses)
        self.wishes = Wishes(shares=shares, **wishes)
        self.started = started
        self.daemon = None
        self.next_record = 0
        self.ending = []

    def __enter__(self):
        self.world.__enter__()
        try:
            self.hosts = self.world.fleet.hosts
            self.balancer = self.world.balancer
            self.daemon = Daemon(self.world, 1, self.wishes)
            if self.started:
                self.daemon.start()
            self.since = time.time()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, error, trace):
        for end in reversed(self.ending):
            end()
        if kind is not None and self.daemon is not None:
            print(tail(self.daemon.folder / "shiftd.log", 60), file=sys.stderr)
        if self.daemon is not None:
            self.daemon.stop()
        self.world.__exit__(kind, error, trace)

    # Asking shiftd.

    def ask(self, method: str, path: str, body=None) -> tuple:
        """Status and body (decoded where it is JSON) of one request."""
        connection = UnixConnection(self.daemon.folder / "shiftd.sock", 45)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode("utf-8")
            return answer.status, json.loads(text) if text.startswith("{") else text
        finally:
            connection.close()

    def release_of(self, name: str, **other) -> dict:
        release = self.world.releases[name]
        return {"version": release.name, "source": str(release.tarball), "sha256": release.digest, **other}

    def try_start(self, name="2", service="web", **other) -> tuple:
        return self.ask("POST", ROLLOUTS, {"service": service, "release": self.release_of(name, **other)})

    def try_plan(self, name="2", service="web", **other) -> tuple:
        return self.ask("POST", "/api/v1/plan", {"service": service, "release": self.release_of(name), **other})

    def start(self, name="2", service="web") -> str:
        status, body = self.try_start(name, service)
        if status != 201:
            raise AssertionError(f"start: {status} {body}")
        self.next_record = 0
        return body["rollout"]

    def command(self, rollout: str, verb: str, **body):
        status, answer = self.ask("POST", f"{ROLLOUTS}/{rollout}/{verb}", body)
        if status != 200:
            raise AssertionError(f"{verb}: {status} {answer}")

    def status(self, rollout: str) -> dict:
        return self.ask("GET", f"{ROLLOUTS}/{rollout}")[1]

    def phases(self, rollout: str) -> dict:
        return {host["name"]: host["phase"] for host in self.status(rollout)["hosts"]}

    def shiftctl(self, *words) -> tuple:
        return processes.run(self.daemon.shiftctl(*words), LIMIT)

    # Following it.

    def records(self, rollout: str, since: int):
        """Number and record from `since` on, as the live feed gives them, until the rollout or the connection ends."""
        connection = UnixConnection(self.daemon.folder / "shiftd.sock", 20)
        number = -1
        try:
            connection.request("GET", f"{ROLLOUTS}/{rollout}/events?from={since}")
            deadline = time.monotonic() + LIMIT
            for line in connection.getresponse():
                if time.monotonic() > deadline:  # (its heartbeats come however long nothing happens)
                    return
                kind, _, value = line.decode("utf-8").strip().partition(": ")
                if kind == "id":
                    number = int(value)
                if kind == "event" and value == "end":
                    return
                if kind == "data" and value.startswith('{"v"'):
                    yield number, json.loads(value)
        finally:
            connection.close()

    def wait_for(self, rollout: str, wanted, what: str) -> dict:
        """The next record for which `wanted` is true, counted from where the last wait ended."""
        passed = []
        for number, record in self.records(rollout, self.next_record):
            self.next_record = number + 1
            if wanted(record):
                return record
            passed.append({key: value for key, value in record.items() if key not in ("v", "plan")})
        seen = "\n".join(json.dumps(record)[:300] for record in passed[-25:])
        raise AssertionError(f"{rollout}: {what}: it did not come; since then:\n{seen}")

    def wait_for_phase(self, rollout: str, phase: str, host=None) -> dict:
        return self.wait_for(
            rollout, lambda record: record["is"] == "host_moved" and record["phase"] == phase and host in (None, record["host"]),
            f"{host or 'a host'} {phase}",
        )

    def wait_until(self, question, what: str):
        return processes.until(LIMIT, question, what, pause=0.05)

    def next_rollout(self, former: str) -> str:
        """The one that shiftd starts by itself, after `former`."""
        self.wait_until(lambda: self.daemon.newest()["rollout"] != former, "a rollout that nobody asked for")
        self.next_record = 0
        return self.daemon.newest()["rollout"]

    def end_of(self, rollout: str) -> dict:
        """The record that ends the rollout."""
        return self.wait_for(rollout, lambda record: record["is"] == "ended", "its end")

    def all_records(self, rollout: str) -> list:
        """Of an ended rollout."""
        return [record for _, record in self.records(rollout, 0)]

    # Killing it.

    def kill(self):
        self.daemon.process.kill()
        self.daemon.process.wait()

    def journalled_phase(self, host: str) -> str:
        """The phase of a host in the newest rollout, read from the journal of a daemon that is dead."""
        with tempfile.TemporaryDirectory() as folder:
            # A copy: reading a journal in place would leave SQLite's own files beside it.
            for file in self.daemon.journal.parent.glob(f"{self.daemon.journal.name}*"):
                shutil.copy(file, folder)
            journal = sqlite3.connect(f"{folder}/{self.daemon.journal.name}")
            rows = journal.execute("SELECT record FROM records WHERE rollout = (SELECT max(key) FROM rollouts) ORDER BY seq").fetchall()
            journal.close()
        phase = "pooled_old"
        for (text,) in rows:
            record = json.loads(text)
            if record["is"] == "host_moved" and record["host"] == host:
                phase = record["phase"]
        return phase

    # Slow people and slow sockets.

    def slow_users(self):
        """Users whose requests take a while, so that no drain is over at once. Their failures count."""
        users = SlowUsers(self.balancer.port)
        self.ending.append(users.stop)
        return users

    # What must be true.

    def failures(self) -> list:
        """Failed requests since the world stood, once all that left by now have ended."""
        requests = self.world.settled_requests(time.time())
        return [request for request in requests if request.failure and request.at >= self.since]

    def members(self) -> dict:
        return {name: (member.pooled, member.weight) for name, member in self.balancer.members().items()}

    def complaints(self, release: str, except_hosts=()) -> list:
        """What is not as it must be when the whole fleet is to be on `release` with its originals."""
        digest = self.world.releases[release].digest
        found = []
        members = self.members()
        for host in self.hosts:
            if host.name in except_hosts:
                continue
            if members[host.name] != (True, WEIGHT):
                found.append(f"{host.name} is {members[host.name]} in the pool, not as it was found")
            if host.running() != digest or host.current() != digest:
                found.append(f"{host.name} runs {host.running()[:12]}, current is {host.current()[:12]}, not {digest[:12]}")
        return found

    def restarts(self, host) -> list:
        """The names of the releases with which the service was started."""
        names = {release.digest: release.name for release in self.world.releases.values()}
        return [names.get(digest, digest) for digest in host.restarts()]

    def jobs(self, host, rollout: str) -> int:
        """How many swaps were begun on the host."""
        return len(list((host.base / ".shiftd" / "jobs").glob(f"{rollout}-*.result")))


class SlowUsers:
    def __init__(self, port: int, count=24):
        self.port = port
        self.stopping = threading.Event()
        self.failed = []
        self.served = 0
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self):
        while not self.stopping.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            try:
                connection.request("GET", "/slow")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(f"{answer.status} from {answer.headers.get('X-Host')}")
                self.served += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
            finally:
                connection.close()

    def leave(self):
        """The requests under way are the last."""
        self.stopping.set()

    def stop(self):
        self.leave()
        for thread in self.threads:
            thread.join()


class SlowWay:
    """A way to a server that takes `pause` seconds for each request: a load balancer far away. `to`: a unix socket, or a port here.

    It listens at `path`, or at a port of its own: `port`.
    """

    def __init__(self, to, pause: float, path: pathlib.Path = None):
        self.to, self.pause = to, pause
        self.listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
        self.listener.bind(str(path) if path else ("127.0.0.1", 0))
        self.port = 0 if path else self.listener.getsockname()[1]
        self.listener.listen(64)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return  # stopped
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, near: socket.socket):
        by_port = isinstance(self.to, int)
        with near, socket.socket(socket.AF_INET if by_port else socket.AF_UNIX) as far:
            try:
                far.connect(("127.0.0.1", self.to) if by_port else str(self.to))
                back = threading.Thread(target=copy, args=(far, near, 0.0), daemon=True)
                back.start()
                copy(near, far, self.pause)
                back.join()
            except OSError:
                return  # either side is gone

    def stop(self):
        self.listener.close()


def copy(source: socket.socket, to: socket.socket, pause: float):
    try:
        while piece := source.recv(65536):
            if pause:
                time.sleep(pause)
            to.sendall(piece)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        return  # either side is gone
