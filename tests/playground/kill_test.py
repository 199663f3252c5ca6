"""kill -9 of shiftd in every phase that a host goes through, forward and back, on HAProxy and on conftool: a restart carries on.

Phases that are over in a millisecond are stretched by the world, not by shiftd: a load balancer that answers late,
users whose requests take long, a slow disk, a slow restart, a slow service.
"""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene, SlowWay  # noqa: E402

FORWARD = ("preparing", "ready", "depooling", "draining", "upgrading", "verifying", "awaiting_health", "joining", "serving_new")
BACK = ("withdrawing", "emptying", "reverting", "reverifying", "rejoining")
# Where leaving cuts connections a host is made idle before it leaves.
CONFTOOL_FORWARD = ("preparing", "ready", "quiescing", *FORWARD[2:])
CONFTOOL_BACK = ("requiescing", *BACK)
WAY_PAUSE = 0.15


class Killing:
    """A scene in which every phase lasts long enough to be hit."""

    def __init__(self, pool="haproxy"):
        self.pool = pool
        # Out of an IPVS a host has nothing left to finish: the grace is what makes its draining last.
        self.scene = Scene(started=False, pool=pool, strategy="  drain_grace: 500ms\n" if pool == "conftool" else "")

    def __enter__(self):
        scene = self.scene.__enter__()
        if self.pool == "haproxy":
            scene.wishes.socket = scene.world.folder / "slow.sock"
            way = SlowWay(scene.balancer.socket, WAY_PAUSE, scene.wishes.socket)
        else:
            way = SlowWay(scene.world.pybals[0].port, WAY_PAUSE)
            scene.wishes.pybal_port = way.port
        scene.ending.append(way.stop)
        scene.daemon.write_configuration(1, scene.wishes)
        for host in scene.hosts:
            host.pause("restart", 0.6)  # long enough for the load balancer to find the host down, and to have to find it up again
        # The others are ready long before the first one is done.
        scene.hosts[0].pause("tar", 1.0)
        scene.daemon.start()
        self.users = None
        return self

    def __exit__(self, *error):
        self.scene.__exit__(*error)

    def kill_in_each(self, rollout, wanted):
        """Kills shiftd once for each (phase, host name), in the order in which they come, and starts it again.

        Counts only when the journal's last word of the host is that phase.
        """
        scene, left = self.scene, set(wanted)
        while left:
            record = scene.wait_for(
                rollout, lambda record: record["is"] == "host_moved" and (record["phase"], record["host"]) in left, f"one of {left}"
            )
            if self.pool == "conftool" and record["phase"] == "joining":
                # Its monitors have their own rounds: one of them may find the host up while shiftd still checks it.
                left.discard(("awaiting_health", record["host"]))
            scene.kill()
            found = scene.journalled_phase(record["host"])
            if found != record["phase"]:
                raise AssertionError(f"the kill came too late: {record['host']} was {found}, not {record['phase']}")
            left.discard((record["phase"], record["host"]))
            if record["phase"] in ("draining", "emptying", "quiescing", "requiescing"):
                self.users.leave()
            if record["phase"] == "preparing":
                self.users = scene.slow_users()
            scene.daemon.start()

    def kill_on_the_way_back(self, rollout, phases):
        """Has the rollout taken back when its first host serves, and kills shiftd in each of that host's `phases`. Returns the host."""
        scene = self.scene
        host = scene.hosts[0]
        scene.wait_for_phase(rollout, "serving_new", host.name)
        host.pause("version", 0.5)
        self.users = scene.slow_users()
        scene.wait_until(lambda: scene.balancer.members()[host.name].requests_now > 3, "slow users on the host")
        scene.command(rollout, "rollback", reason="to see it go back")
        self.kill_in_each(rollout, [(phase, host.name) for phase in phases])
        return host


class KillTest(unittest.TestCase):
    def unharmed(self, killing, release):
        """Nothing that a user, or the pool, or a host, could tell."""
        scene = killing.scene
        killing.users.stop()
        self.assertEqual(scene.complaints(release), [])
        self.assertEqual(scene.failures(), [])
        self.assertEqual(killing.users.failed, [])
        self.assertGreater(killing.users.served, 0)


class KillNine(KillTest):
    def test_in_every_phase_of_the_way_forward(self):
        with Killing() as killing:
            scene = killing.scene
            # The second host is slow to say which release it runs; the others wait for HAProxy's checks instead.
            scene.hosts[1].pause("version", 0.5)
            rollout = scene.start("2")
            killing.kill_in_each(rollout, zip(FORWARD, ("web1", "web2", "web1", "web1", "web1", "web2", "web3", "web3", "web3")))
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.unharmed(killing, "2")
            for host in scene.hosts:
                self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2"], 1), host.name)
            self.assertEqual(set(scene.phases(rollout).values()), {"serving_new"})
            print(f"kill -9 in {len(FORWARD)} phases forward ({', '.join(FORWARD)}): succeeded, 0 failed, each host restarted once")

    def test_in_every_phase_of_the_way_back(self):
        with Killing() as killing:
            scene = killing.scene
            rollout = scene.start("2")
            host = killing.kill_on_the_way_back(rollout, BACK)
            self.assertEqual(scene.end_of(rollout)["outcome"], "rolled_back")
            self.unharmed(killing, "1")
            self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2", "1"], 2))
            for other in scene.hosts[1:]:
                self.assertIn(scene.restarts(other), (["1"], ["1", "2", "1"]))
            self.assertLessEqual(set(scene.phases(rollout).values()), {"restored", "pooled_old", "ready"})
            print(f"kill -9 in {len(BACK)} phases back ({', '.join(BACK)}): rolled back, 0 failed, nothing swapped twice")


class KillNineOnConftool(KillTest):
    def test_in_every_phase_forward_and_back(self):
        with Killing("conftool") as killing:
            scene = killing.scene
            scene.hosts[1].pause("version", 0.5)
            scene.hosts[2].pause("restart", 1.5)  # PyBal finds it down for sure
            rollout = scene.start("2")
            hosts = ("web1", "web2", "web1", "web1", "web1", "web1", "web2", "web3", "web3", "web3")
            killing.kill_in_each(rollout, zip(CONFTOOL_FORWARD, hosts))
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.unharmed(killing, "2")
            for host in scene.hosts:
                self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2"], 1), host.name)
            forward = rollout

            rollout = scene.start("1")
            host = killing.kill_on_the_way_back(rollout, CONFTOOL_BACK)
            self.assertEqual(scene.end_of(rollout)["outcome"], "rolled_back")
            self.unharmed(killing, "2")
            self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2", "1", "2"], 2))
            self.told_once(scene, forward)
            self.told_once(scene, rollout)
            print(
                f"kill -9 on conftool in {len(CONFTOOL_FORWARD)} phases forward and {len(CONFTOOL_BACK)} back "
                f"({', '.join(CONFTOOL_FORWARD + CONFTOOL_BACK)}): succeeded, then rolled back, 0 failed, every original byte back"
            )

    def unharmed(self, killing, release):
        super().unharmed(killing, release)
        scene = killing.scene
        for host in scene.hosts:
            self.assertEqual(scene.world.etcd.get(scene.world.key(host.name)), json.dumps({"weight": 100, "pooled": "yes"}))

    def told_once(self, scene, rollout):
        """Whatever was killed when: each change was announced, and only the one under way at a kill may have been told twice."""
        log = (scene.world.folder / "announcements.log").read_text().splitlines()
        said = [line for line in log if rollout in line]
        self.assertIn("started by", said[0])
        self.assertRegex(said[-1], "(succeeded|rolled back) after")
        settings = {host.name: ["yes", "100"] for host in scene.hosts}
        for line in said:
            words = line.partition("conftool action : set/")[2]
            if not words:
                continue
            change, _, selector = words.partition("; selector: dc=dc1,cluster=web,service=app,name=")
            for part in change.split(":"):
                name, value = part.split("=")
                settings[selector.split()[0]][0 if name == "pooled" else 1] = value
        self.assertEqual(settings, {host.name: ["yes", "100"] for host in scene.hosts})


if __name__ == "__main__":
    unittest.main()
