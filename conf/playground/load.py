"""The playground's users: a load generator at a steady rate, in a process of its own.

The loop is open: a request leaves when its time has come, whether the ones before it were answered or not, so a slow
host cannot make the load smaller. Connections are kept alive and used in turn. Nothing is tried again.

Each request becomes a line of the log: when it left (seconds, wall clock), how many milliseconds it took, the status
(0: none), the host and the release that answered ("-": unknown), and what went wrong ("-": nothing). A line "= T" says
that every request that left before T has its line.

  python3 load.py ADDRESS PORT RATE LOG       ends on SIGTERM, after the requests that are under way
"""

import asyncio
import collections
import dataclasses
import signal
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: playground\r\n\r\n"
PATIENCE = 5.0  # seconds that a user waits


@dataclasses.dataclass(frozen=True)
class Request:
    at: float
    milliseconds: float
    status: int
    host: str
    release: str
    failure: str  # empty: the user got what was asked for


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it."""

    def __init__(self, users):
        self.users = users
        self.transport = None
        self.received = b""
        self.sent_at = 0.0  # 0: no request under way
        self.sent_wall = 0.0

    def connection_made(self, transport):
        self.transport = transport

    def ask(self):
        self.sent_at = time.monotonic()
        self.sent_wall = time.time()
        self.received = b""
        self.transport.write(REQUEST)

    def data_received(self, data):
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if not end or not self.sent_at:
            return
        status, headers = parse_head(head)
        if len(body) < int(headers.get("content-length", 0)):
            return
        self.done(status, headers, "5xx" if status >= 500 else "")
        if headers.get("connection", "").lower() == "close":
            self.transport.close()
        else:
            self.users.idle.append(self)

    def connection_lost(self, error):
        if self.sent_at:
            self.done(0, {}, "reset")
        elif self in self.users.idle:
            self.users.idle.remove(self)

    def give_up(self):
        self.done(0, {}, "timeout")
        self.transport.abort()

    def done(self, status, headers, failure):
        took = (time.monotonic() - self.sent_at) * 1000
        self.sent_at = 0.0
        self.users.waiting.discard(self)
        host, release = headers.get("x-host", "-") or "-", headers.get("x-release", "-")
        self.users.log.write(f"{self.sent_wall:.3f} {took:.1f} {status} {host} {release} {failure or '-'}\n")


def parse_head(head: bytes):
    lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(lines[0].split(" ")[1]), headers


class Users:
    def __init__(self, address, port, rate, log):
        self.address, self.port, self.rate, self.log = address, port, rate, log
        self.idle = collections.deque()
        self.waiting = set()
        self.stopping = False
        self.connecting = set()

    async def request(self):
        try:
            _, connection = await asyncio.wait_for(
                asyncio.get_running_loop().create_connection(lambda: Connection(self), self.address, self.port), PATIENCE
            )
        except (OSError, asyncio.TimeoutError):
            self.log.write(f"{time.time():.3f} 0 0 - - refused\n")
            return
        self.send(connection)

    def send(self, connection):
        self.waiting.add(connection)
        connection.ask()

    async def run(self):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        next_at = next_look = time.monotonic()
        while not self.stopping:
            now = time.monotonic()
            while next_at <= now:
                next_at += 1 / self.rate
                if self.idle:
                    self.send(self.idle.popleft())
                else:
                    task = loop.create_task(self.request())
                    self.connecting.add(task)
                    task.add_done_callback(self.connecting.discard)
            if next_look <= now:
                self.give_up_late(now)
                self.say_what_is_settled()
                self.log.flush()
                next_look = now + 0.1
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
        while self.waiting or self.connecting:
            self.give_up_late(time.monotonic())
            await asyncio.sleep(0.02)
        self.say_what_is_settled()

    def say_what_is_settled(self):
        under_way = [connection.sent_wall for connection in self.waiting]
        if not self.connecting:
            self.log.write(f"= {min(under_way, default=time.time()):.3f}\n")

    def give_up_late(self, now):
        for connection in [late for late in self.waiting if now - late.sent_at > PATIENCE]:
            connection.give_up()

    def stop(self):
        self.stopping = True


def read_log(path):
    """The requests logged so far, and the time before which none is missing. A line still being written waits."""
    with open(path, "rb") as file:
        text = file.read()
    found, settled_until = [], 0.0
    for line in text[: text.rfind(b"\n") + 1].decode("latin-1").splitlines():
        words = line.split(" ")
        if words[0] == "=":
            settled_until = float(words[1])
            continue
        at, took, status, host, release, failure = words
        found.append(Request(float(at), float(took), int(status), host, release, "" if failure == "-" else failure))
    return found, settled_until


def main():
    address, port, rate, path = sys.argv[1:]
    with open(path, "w", encoding="latin-1") as log:
        asyncio.run(Users(address, int(port), float(rate), log).run())


if __name__ == "__main__":
    main()
