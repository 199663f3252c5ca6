"""The little web service that the playground upgrades.

One copy travels in every release tarball, beside a file `release` (the name it answers with) and, in a bad release, a
file `bad` (what is wrong with it). Where its host has a web.conf, that may say another greeting, or the name instead, what code it
is for, and what is wrong: with other code the service answers with both names, which are no release's. It speaks HTTP/1.1 with
keep-alive, one thread a connection: it must start in a few hundredths of a second, so it imports as little as it can.

  /          a greeting and the release's name; X-Release and X-Host say who answered
  /healthz   200 while the process lives, also in a bad release: health checks alone do not catch it
  /deep      the same, and asked by nobody but those who configure it as a check
  /version   the digest of the release directory it was started from
  /slow      as /, but the answer takes three seconds: a request that a drain has to wait for

A file pause-NAME beside the pid file makes the host slow: /NAME is answered that many seconds later. (Not /: users come there.)

SIGTERM: stops listening, finishes the requests that it has begun, and ends.
"""

import os
import select
import signal
import socket
import sys
import threading
import time

LONGEST_REQUEST = 16384
GRACE_SECONDS = 3.0
CRASH_AFTER_REQUESTS = 10
SLOW_PIECES = 10
SLOW_PAUSE = 0.3  # seconds


def chance(one_in: int) -> bool:
    return int.from_bytes(os.urandom(4), "big") % one_in == 0


class Service:
    def __init__(self, base: str, host: str, beside: str):
        # `current` is resolved once: a swap under a running process must not change what it says it is.
        self.home = os.path.realpath(os.path.join(base, "current"))
        self.digest = os.path.basename(self.home)
        self.host = host
        self.beside = beside
        self.release = self.read("release") or "?"
        self.bad = self.read("bad")
        self.greeting = "hello"
        self.configure(os.path.join(beside, "web.conf"))
        self.user_requests = 0
        self.stopping = threading.Event()
        self.busy = 0
        self.lock = threading.Lock()
        self.idle = threading.Condition(self.lock)
        self.connections = set()

    def configure(self, path: str):
        try:
            with open(path, encoding="ascii") as file:
                said = dict(line.strip().split(" ", 1) for line in file if line.strip())
        except FileNotFoundError:
            return
        self.greeting = said.get("greeting", self.greeting)
        if "release" in said:
            self.release = said["release"] if said["code"] == self.release else f"{self.release}+{said['release']}"
        self.bad = said.get("bad", self.bad)

    def read(self, name: str) -> str:
        try:
            with open(os.path.join(self.home, name), encoding="ascii") as file:
                return file.read().strip()
        except FileNotFoundError:
            return ""

    def answer(self, path: str, connection: socket.socket):
        """Status and body; None when this request is never answered."""
        if path != "/":
            self.pause(path[1:])
        if path in ("/healthz", "/deep"):
            return 200, "ok"
        if path == "/version":
            return 200, self.digest
        self.user_requests += 1
        if self.bad == "5xx" and chance(20):
            return 500, "this release is broken"
        if self.bad == "crash" and self.user_requests > CRASH_AFTER_REQUESTS and chance(20):
            os._exit(70)
        if self.bad == "hang" and chance(20):
            self.hang(connection)
            return None
        return 200, f"{self.greeting} from release {self.release}"

    def pause(self, name: str):
        try:
            with open(os.path.join(self.beside, f"pause-{name}"), encoding="ascii") as file:
                seconds = float(file.read())
        except (OSError, ValueError):
            return  # nobody asked for a pause
        self.stopping.wait(seconds)

    def hang(self, connection: socket.socket):
        while not self.stopping.is_set():
            readable, _, _ = select.select([connection], [], [], 0.2)
            if readable:  # the other side gave up
                return

    def serve(self, connection: socket.socket):
        with self.lock:
            self.connections.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pending = b""
            while not self.stopping.is_set():
                head, pending = read_head(connection, pending)
                if head is None or not self.one_request(connection, head):
                    return
        except OSError:
            return  # the other side is gone
        finally:
            with self.lock:
                self.connections.discard(connection)
            connection.close()

    def one_request(self, connection: socket.socket, head: bytes) -> bool:
        """Whether the connection stays open for another one."""
        with self.lock:
            self.busy += 1
        try:
            lines = head.decode("latin-1").split("\r\n")
            words = lines[0].split(" ")
            path = words[1] if len(words) == 3 else "/"
            path = path.split("?")[0]
            answer = self.answer(path, connection)
            if answer is None:
                return False
            status, body = answer
            asked_to_close = words[-1] == "HTTP/1.0" or any(line.lower() == "connection: close" for line in lines[1:])
            stays = not asked_to_close and not self.stopping.is_set()
            pieces = SLOW_PIECES if path == "/slow" else 0
            reply = self.reply(status, body, stays, len(body) + 1 + pieces)
            connection.sendall(reply[:-1])
            for _ in range(pieces):
                time.sleep(SLOW_PAUSE)
                connection.sendall(b".")
            connection.sendall(reply[-1:])
            return stays
        finally:
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()

    def reply(self, status: int, body: str, stays: bool, length: int) -> bytes:
        reason = "OK" if status == 200 else "Internal Server Error"
        return (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n"
            f"X-Release: {self.release}\r\nX-Host: {self.host}\r\n"
            f"Connection: {'keep-alive' if stays else 'close'}\r\n\r\n{body}\n"
        ).encode("latin-1")

    def finish(self):
        """Waits for the requests that have begun, then closes the connections that only wait for more."""
        with self.idle:
            self.idle.wait_for(lambda: self.busy == 0, GRACE_SECONDS)
            for connection in self.connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # closed by its own thread meanwhile


def read_head(connection: socket.socket, pending: bytes):
    """One request's head and what came after it; None when the connection ends. Requests here carry no body."""
    while b"\r\n\r\n" not in pending:
        if len(pending) > LONGEST_REQUEST:
            return None, b""
        more = connection.recv(4096)
        if not more:
            return None, b""
        pending += more
    head, _, rest = pending.partition(b"\r\n\r\n")
    return head, rest


def main() -> int:
    base, host, address, port, pid_file = sys.argv[1:]
    os.closerange(3, 256)  # a daemon keeps nothing open of whoever started it: a lock, an SSH channel
    service = Service(base, host, os.path.dirname(pid_file))
    if service.bad == "dead":
        sys.exit("this release does not start")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(128)
    # A signal wakes the accept loop through this pair: Python would otherwise restart the interrupted call.
    wake, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGTERM, lambda *_: service.stopping.set())
    signal.signal(signal.SIGINT, lambda *_: service.stopping.set())

    with open(pid_file + ".new", "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(pid_file + ".new", pid_file)
    # Whoever started us reads this line, and knows by the end of the pipe when we could not listen.
    print(f"listening {service.digest}", flush=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    while not service.stopping.is_set():
        readable, _, _ = select.select([listener, wake], [], [])
        if listener in readable:
            connection, _ = listener.accept()
            threading.Thread(target=service.serve, args=(connection,), daemon=True).start()
    listener.close()
    service.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
