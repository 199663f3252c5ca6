"""The playground's world, rolled by hand: what its numbers say must be true before shiftd is judged by them."""

import os
import pathlib
import re
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "conf" / "playground"))

import daemon  # noqa: E402
import fleet as fleets  # noqa: E402
import processes  # noqa: E402
import releases  # noqa: E402
import report  # noqa: E402
from world import World  # noqa: E402

RATE = 200


def roll_by_hand(world, host, release, drain=True):
    """Depool, drain, swap, restart, prove, repool: what shiftd is to do, in the fewest words."""
    if drain:
        world.balancer.set(host.name, "state drain")
        processes.until(10, lambda: world.balancer.members()[host.name].requests_now == 0, f"{host.name} drained")
        # What is over before the observer looks again it cannot tell.
        seen = lambda: any(change.host == host.name and change.text == "taken out of the pool" for change in world.observer.changes)  # noqa: E731
        processes.until(10, seen, f"{host.name} seen out of the pool")
    fleets.install(host, release)
    world.fleet.restart(host)
    if host.running() != release.digest:
        raise AssertionError(f"{host.name} runs {host.running()}, not {release.digest}")
    if drain:
        processes.until(10, lambda: world.balancer.members()[host.name].passing, f"{host.name} passes HAProxy's checks")
        world.balancer.set(host.name, "state ready")


def wait_for_requests(world, name, wanted, limit=20.0):
    """Until the hosts on release `name` were asked `wanted` times since now."""
    since = time.time()

    def served():
        requests = world.settled_requests(0)
        return report.count(requests, name, since, time.time(), world.observer)[2] >= wanted

    processes.until(limit, served, f"{wanted} requests on release {name}", pause=0.1)


class RollingByHand(unittest.TestCase):
    def test_users_see_nothing_when_a_host_is_drained_first(self):
        with World(3, RATE, "5xx") as world:
            since = time.time()
            for host in world.fleet.hosts:
                roll_by_hand(world, host, world.releases["2"])
            wait_for_requests(world, "2", 100)
            until = time.time()
            requests = world.settled_requests(until)
            total, failed, canary, canary_failed = report.count(requests, "2", since, until, world.observer)
            self.assertGreater(total, 100)
            self.assertEqual((failed, canary_failed), (0, 0))
            self.assertGreaterEqual(canary, 100)
            self.assertAlmostEqual(total / (until - since), RATE, delta=RATE * 0.1)
            told = [change.text for change in world.observer.changes if change.host == "web1"]
            self.assertEqual(told, ["taken out of the pool", "release 1 -> 2", "back in the pool, weight 100"])
            for host in report.host_reports(world.fleet, world.balancer, world.releases.values()):
                self.assertEqual((host.release, host.pooled, host.weight, host.original_weight), ("2", True, 100, 100))

    def test_users_see_a_release_that_answers_5xx(self):
        self.assertGreater(self.failures_of("5xx", lambda request: request.status == 500), 0)

    def test_users_see_a_release_that_crashes_and_stays_dead(self):
        with World(2, RATE, "crash") as world:
            since = time.time()
            host = world.fleet.by_name("web1")
            roll_by_hand(world, host, world.releases["3"])
            processes.until(20, lambda: world.balancer.members()["web1"].status == "DOWN", "web1 crashed")
            until = time.time()
            requests = world.settled_requests(until)
            self.assertGreater(report.count(requests, "3", since, until, world.observer)[3], 0)
            self.assertEqual(host.running(), "")

    def test_users_see_a_release_that_hangs(self):
        self.assertGreater(self.failures_of("hang", lambda request: request.status == 504), 0)

    def failures_of(self, bad, expected):
        """Failed requests on a host that runs the bad release, which HAProxy's checks still find healthy."""
        with World(2, RATE, bad) as world:
            since = time.time()
            roll_by_hand(world, world.fleet.by_name("web1"), world.releases["3"])
            wait_for_requests(world, "3", 300)
            until = time.time()
            requests = world.settled_requests(until)
            self.assertEqual(world.balancer.members()["web1"].status, "UP")
            failed = [request for request in requests if request.failure]
            self.assertTrue(all(expected(request) and request.host == "web1" for request in failed), failed)
            return report.count(requests, "3", since, until, world.observer)[3]

    def test_a_weight_decides_the_share_of_the_requests(self):
        with World(2, RATE, "5xx") as world:
            roll_by_hand(world, world.fleet.by_name("web1"), world.releases["2"])
            world.balancer.set("web1", "weight 1")
            since = time.time()
            processes.until(5, lambda: time.time() > since + 2, "two seconds of requests")
            requests = world.settled_requests(since + 2)
            total, _, canary, _ = report.count(requests, "2", since, since + 2, world.observer)
            self.assertLess(canary / total, 0.03)


class TheWorld(unittest.TestCase):
    def test_ends_every_process_that_it_started_and_removes_its_folder(self):
        with World(2, RATE, "5xx") as world:
            folder = world.folder
            started = set(processes.descendants())
            self.assertGreaterEqual(len(started), 2 * 2 + 2)  # two sshd, two services, HAProxy, users
        self.assertFalse(folder.exists())
        self.assertEqual([pid for pid in started if os.path.exists(f"/proc/{pid}")], [])

    def test_lets_shiftd_in_over_ssh_and_restarts_a_host_there_quickly(self):
        with World(2, 1, "5xx") as world:
            host = world.fleet.hosts[0]
            began = time.monotonic()
            code, output, error = processes.run(
                ["ssh", "-F", "none", "-i", world.fleet.key, "-p", host.ssh_port, "-o", "BatchMode=yes",
                 "-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={world.fleet.known_hosts}",
                 f"{world.fleet.user}@{host.address}", host.home / "restart"],
                20,
            )
            self.assertEqual((code, output), (0, f"web1 runs {world.releases['1'].digest}\n"), error)
            self.assertLess(time.monotonic() - began, 3.0)

    def test_a_restart_that_fails_says_so(self):
        with World(2, 1, "5xx") as world:
            host = world.fleet.hosts[0]
            (host.base / "current" / "server.py").write_text("raise SystemExit('no such luck')\n")
            with self.assertRaisesRegex(processes.WorldError, "web1 did not start: no such luck"):
                world.fleet.restart(host)

    def test_writes_a_configuration_whose_every_file_exists(self):
        with World(3, 1, "5xx") as world:
            daemon.Daemon(world, bake_seconds=5)
            written = (world.folder / "web.yaml").read_text()
            self.assertIn("floor: 66%", written)
            self.assertIn("{{host}}", written)
            for path in re.findall(r'(?:key_file|known_hosts|socket): "([^"]+)"', written):
                self.assertTrue(os.path.exists(path), path)
            self.assertEqual((world.folder / "token").stat().st_mode & 0o777, 0o600)


class Tarballs(unittest.TestCase):
    def test_have_the_same_digest_every_time(self):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            one = releases.pack("3", pathlib.Path(first), "hang")
            two = releases.pack("3", pathlib.Path(second), "hang")
            self.assertEqual(one.digest, two.digest)
            self.assertNotEqual(one.digest, releases.pack("3", pathlib.Path(first), "5xx").digest)

    def test_refuse_an_unknown_kind_of_bad(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(ValueError):
            releases.pack("3", pathlib.Path(folder), "ugly")


class Sparkline(unittest.TestCase):
    def test_draws_shares_from_none_to_all(self):
        self.assertEqual(report.sparkline([0, 0.01, 0.5, 1.0, None], "utf-8"), " ▁▅█?")

    def test_does_without_block_characters_where_the_terminal_has_none(self):
        self.assertEqual(report.sparkline([0, 0.01, 0.5, 1.0], "ascii"), " .+#")


if __name__ == "__main__":
    unittest.main()
