"""Real crashes at random moments, under load: what they cost users is what they cost without a rollout, and nobody is forgotten.

shiftd dies by kill -9; HAProxy, or etcd where the pool lives in conftool, dies the same way and comes back; the SSH of a host is
frozen. First comes the control: HAProxy dies with no rollout under way, and once while somebody restarts a host by hand. A HAProxy
that comes back has forgotten who is out; its requests to a stopped service fail until it is told again, and are counted by themselves.

  python3 tests/playground/chaos_test.py [--kills N] [--seed N]     shiftd is killed N times (default 50) over as many rollouts as that takes
  python3 -m unittest tests/playground/chaos_test.py                the short form, for tests/run
"""

import argparse
import collections
import os
import pathlib
import random
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import ROLLOUTS, WEIGHT, Scene  # noqa: E402

SHORT_KILLS = 3  # of shiftd, for each kind of pool
LONGEST_ROLLOUT = 90.0  # seconds, crashes included
CONTROL_KILLS = 3
MOST_TOLD = 20
FORGOTTEN_FOR = 1.0  # seconds; shiftd looks ten times a second, HAProxy's own check takes two failures
ONE_IN_TAKEN_BACK = 4  # rollouts, by a person, midway


class Chaos:
    """One world, its crashes, and the books that are kept of them."""

    def __init__(self, scene: Scene, seed: int, kinds: tuple):
        self.scene = scene
        self.chance = random.Random(seed)
        self.kinds = kinds
        self.struck = collections.Counter()
        self.balancer_died = []  # from when to when it was killed
        self.frozen = {}  # pid -> when it is let go
        self.serving = "1"
        self.outcomes = collections.Counter()
        self.complaints = []
        self.named = 0

    # The crashes. Each returns once what died has been started again.

    def shiftd(self):
        self.scene.kill()
        self.pause(0.3)
        self.scene.daemon.start()

    def haproxy(self):
        balancer = self.scene.balancer
        workers = balancer.workers()
        dying = time.time()
        kill(balancer.process, workers)
        self.balancer_died.append((dying, time.time()))
        self.pause(0.5)
        balancer.launch()
        self.scene.wait_until(balancer.socket_answers, "HAProxy back")

    def etcd(self):
        etcd = self.scene.world.etcd
        kill(etcd.process)
        self.pause(1.0)
        etcd.start()

    def ssh(self):
        """Frozen for longer, at times, than shiftd waits for a sign of life. Other crashes come meanwhile."""
        host = self.chance.choice(self.scene.hosts)
        until = time.monotonic() + self.chance.uniform(0.2, 8.0)
        for pid in [host.sshd.pid, *host.sessions()]:
            send(pid, signal.SIGSTOP)
            self.frozen[pid] = until

    def pause(self, most: float):
        time.sleep(self.chance.uniform(0.0, most))

    def thaw(self, everybody=False):
        for pid in [pid for pid, until in self.frozen.items() if everybody or time.monotonic() > until]:
            del self.frozen[pid]
            send(pid, signal.SIGCONT)

    def strike(self):
        kind = self.chance.choices(self.kinds, [3 if kind == "shiftd" else 1 for kind in self.kinds])[0]
        self.struck[kind] += 1
        getattr(self, kind)()

    # The rollouts.

    def control(self) -> str:
        """What HAProxy's deaths cost without a rollout, in words."""
        for _ in range(CONTROL_KILLS):
            self.haproxy()
            self.pause(1.0)
            self.scene.wait_until(lambda: self.scene.balancer.all_up(len(self.scene.hosts)), "every host up again")
        explained, forgotten, others = self.failures()
        by_hand = time.time()
        host = self.scene.hosts[0]
        self.set_pooled(host, False)
        self.scene.wait_until(lambda: self.scene.balancer.members()[host.name].requests_now == 0, f"{host.name} drained by hand")
        send(int((host.home / "service.pid").read_text()), signal.SIGKILL)
        self.haproxy()
        time.sleep(1.0)
        self.scene.world.fleet.restart(host)
        self.scene.wait_until(lambda: self.scene.balancer.all_up(len(self.scene.hosts)), "every host up again")
        sent_by_hand = self.failures(by_hand)[1]
        self.balancer_died = []
        return (
            f"HAProxy died {CONTROL_KILLS} times: {len(explained)} failed requests, {len(forgotten) + len(others)} others; "
            f"once while a host was restarted by hand: {len(sent_by_hand)} sent to the stopped service"
        )

    def roll_until(self, kills: int):
        while self.struck["shiftd"] < kills:
            self.roll("1" if self.serving == "2" else "2", self.chance.randrange(ONE_IN_TAKEN_BACK) == 0)

    def roll(self, release: str, take_back: bool):
        scene = self.scene
        before = {host.name: len(scene.restarts(host)) for host in scene.hosts}
        rollout = scene.start(release)
        deadline = time.monotonic() + LONGEST_ROLLOUT
        while (status := self.look(rollout))["outcome"] == "none":
            if time.monotonic() > deadline:
                raise AssertionError(f"{rollout} has not ended: {status['phase']}, held: {status['held']}, lost: {status['lost']}")
            if status["paused"]:
                scene.ask("POST", f"{ROLLOUTS}/{rollout}/resume", {})  # as the person would whom it waits for
            if take_back and any(host["phase"] == "serving_new" for host in status["hosts"]):
                take_back = False
                scene.ask("POST", f"{ROLLOUTS}/{rollout}/rollback", {"reason": "chaos"})  # unless it has just ended
            self.thaw()
            self.pause(2.0)
            if self.look(rollout)["outcome"] == "none":
                self.strike()
        self.thaw(everybody=True)
        self.outcomes[status["outcome"]] += 1
        self.account_for(rollout, release, self.look(rollout), before)

    def look(self, rollout: str) -> dict:
        return self.scene.wait_until(lambda: self.answer(f"{ROLLOUTS}/{rollout}"), "an answer of shiftd")

    def answer(self, path: str):
        status, body = self.scene.ask("GET", path)
        return body if status == 200 else None

    def account_for(self, rollout: str, release: str, status: dict, before: dict):
        """Every member is at its original and its host on the release that the rollout ended with, or its reason names the host."""
        scene, reason = self.scene, status["reason"]
        succeeded = status["outcome"] == "succeeded"
        if succeeded:
            self.serving = release
        elif status["outcome"] == "aborted":
            self.complaints.append(f"{rollout}: aborted, and nobody asked for it: {reason}")
        named = {host.name for host in scene.hosts if re.search(rf"\b{host.name}\b", reason)}
        self.complaints += [f"{rollout} {status['outcome']} ({reason}): {found}" for found in scene.complaints(self.serving, named)]
        for host in scene.hosts:
            restarts = len(scene.restarts(host)) - before[host.name]
            if succeeded and host.name not in named and restarts != 1:
                self.complaints.append(f"{rollout}: {host.name} was restarted {restarts} times")
        for host in scene.hosts:
            if host.name in named:
                self.named += 1
                self.mend(host)
        print(f"  {rollout}: {status['outcome']}: {reason}", flush=True)

    def mend(self, host):
        """What the person does who was called: as before, and nobody notices."""
        scene = self.scene
        self.set_pooled(host, False)
        scene.wait_until(lambda: scene.balancer.members()[host.name].requests_now == 0, f"{host.name} drained by hand")
        scene.world.fleet.install_and_restart(host, scene.world.releases[self.serving])
        scene.wait_until(lambda: scene.balancer.members()[host.name].passing, f"{host.name} passes its checks")
        self.set_pooled(host, True)
        scene.wait_until(lambda: scene.members()[host.name] == (True, WEIGHT), f"{host.name} in its pool by hand")

    def set_pooled(self, host, pooled: bool):
        if self.scene.world.etcd:
            self.scene.world.etcd.set(self.scene.world.key(host.name), "yes" if pooled else "no", WEIGHT)
        else:
            self.scene.balancer.set(host.name, f"weight {WEIGHT}")
            self.scene.balancer.set(host.name, "state ready" if pooled else "state drain")

    # What users saw.

    def failures(self, since=0.0) -> tuple:
        """Failed requests that a death of HAProxy explains, whatever else goes on: they ended after it, and left before it answered
        anybody again. Then those that it sent, shortly after, to a service that was stopped. And all others."""
        requests = [request for request in self.scene.world.settled_requests(time.time()) if request.at >= since]
        served = sorted(request.at for request in requests if not request.failure)
        windows = [(dying, next((at for at in served if at > dead), time.time())) for dying, dead in self.balancer_died]
        explained, forgotten, others = [], [], []
        for request in requests:
            if not request.failure:
                continue
            ended = request.at + request.milliseconds / 1000
            if any(ended >= dying and request.at <= back for dying, back in windows):
                explained.append(request)
            elif request.status == 503 and any(back <= request.at < back + FORGOTTEN_FOR for _, back in windows):
                forgotten.append(request)
            else:
                others.append(request)
        return explained, forgotten, others

    def told(self, failed: tuple) -> str:
        crashes = ", ".join(f"{kind} {count} times" for kind, count in sorted(self.struck.items()))
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        explained, forgotten, others = failed
        return (
            f"{crashes}; {sum(self.outcomes.values())} rollouts: {outcomes}; {self.named} hosts left behind and named; "
            f"failed requests: {len(explained)} by HAProxy's {len(self.balancer_died)} deaths, {len(forgotten)} that it sent to a stopped "
            f"service as it came back, {len(others)} others"
        )


def kill(process, children=()):
    for pid in [process.pid, *children]:
        send(pid, signal.SIGKILL)
    process.wait()


def send(pid: int, number: int):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # a session that has ended


def run(pool: str, kills: int, seed: int) -> list:
    """Complaints; prints what was done and seen."""
    print(f"chaos with {pool}: seed {seed}", flush=True)
    kinds = ("shiftd", "haproxy", "ssh") if pool == "haproxy" else ("shiftd", "etcd", "ssh")
    with Scene(pool=pool) as scene:
        chaos = Chaos(scene, seed, kinds)
        began = time.time()
        if "haproxy" in kinds:
            print(f"  control, no rollout: {chaos.control()}", flush=True)
            began = time.time()
        chaos.roll_until(kills)
        failed = chaos.failures(began)
        print(f"  {chaos.told(failed)}; {time.time() - began:.0f} s", flush=True)
        return chaos.complaints + [f"a failed request that no death of HAProxy explains: {request}" for request in failed[2][:MOST_TOLD]]


class RandomCrashes(unittest.TestCase):
    def unharmed(self, pool):
        self.assertEqual(run(pool, SHORT_KILLS, random.SystemRandom().randrange(10**6)), [])

    def test_the_pool_in_haproxy(self):
        self.unharmed("haproxy")

    def test_the_pool_in_conftool(self):
        self.unharmed("conftool")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, metavar="N")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), metavar="N")
    parser.add_argument("--pool", choices=("haproxy", "conftool"), action="append", help="one of them only")
    chosen = parser.parse_args()
    pools = chosen.pool or ["haproxy", "conftool"]
    complaints = []
    for pool in pools:
        complaints += run(pool, -(-chosen.kills // len(pools)), chosen.seed)
    for complaint in complaints:
        print(f"NOT AS IT SHOULD BE: {complaint}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
