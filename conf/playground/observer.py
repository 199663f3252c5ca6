"""What happens to the fleet, seen from outside shiftd: the time line.

Reads HAProxy's own state and each host's `current` link twenty times a second and remembers every change. Nothing here
asks shiftd, so the time line cannot flatter it.
"""

import dataclasses
import threading
import time

from processes import WorldError


@dataclasses.dataclass(frozen=True)
class Change:
    at: float  # wall clock, seconds
    host: str
    text: str


class Observer:
    def __init__(self, fleet, balancer, releases, tell=lambda change: None):
        self.fleet, self.balancer, self.tell = fleet, balancer, tell
        self.names = {release.digest: release.name for release in releases}
        self.changes = []
        self.installed = {host.name: [] for host in fleet.hosts}  # host -> [(since, release name)]
        self.last = {}
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def start(self):
        self.look()
        self.thread.start()

    def stop(self):
        self.ending.set()
        if self.thread.ident is not None:
            self.thread.join()

    def run(self):
        while not self.ending.wait(0.05):
            self.look()

    def look(self):
        # Links first: a host that was swapped by now was depooled before, so the members read next must show that.
        current = {host.name: self.names.get(host.current(), "?") for host in self.fleet.hosts}
        now = time.time()
        try:
            members = self.balancer.members()
        except WorldError:
            members = {}  # a load balancer that is down shows nothing; the next look will
        for name, release in current.items():
            member = members.get(name)
            before = self.last.get(name)
            if member and before and before.pooled and not member.pooled:
                self.note(now, name, "taken out of the pool")
            self.compare_release(now, name, release)
            if member and before:
                self.compare(now, name, before, member)
            if member:
                self.last[name] = member

    def compare_release(self, now, name, release):
        history = self.installed[name]
        if history and history[-1][1] != release:
            self.note(now, name, f"release {history[-1][1]} -> {release}")
        if not history or history[-1][1] != release:
            history.append((now, release))

    def compare(self, now, name, before, member):
        if before.weight != member.weight:
            self.note(now, name, f"weight {before.weight} -> {member.weight}")
        if not before.pooled and member.pooled:
            self.note(now, name, f"back in the pool, weight {member.weight}")
        if before.pooled and member.pooled and before.status != member.status and "DOWN" in (before.status, member.status):
            self.note(now, name, "fails HAProxy's checks" if member.status == "DOWN" else "passes HAProxy's checks again")

    def note(self, now, host, text):
        change = Change(now, host, text)
        self.changes.append(change)
        self.tell(change)

    def release_at(self, host: str, when: float) -> str:
        """The release installed on the host at that time: whose failure it was when HAProxy answered in its place."""
        found = "-"
        for since, release in self.installed.get(host, []):
            if since <= when:
                found = release
        return found
