"""What becomes of a rollout on conftool when a PyBal freezes, stops listening or begins anew, and when a host loses its power."""

import json
import pathlib
import socket
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene  # noqa: E402


def closed(record):
    return record["is"] == "pool_closed"


class PybalFaults(unittest.TestCase):
    def ends_well(self, scene, rollout):
        self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
        self.assertEqual(scene.complaints("2"), [])
        for host in scene.hosts:
            self.assertEqual(scene.world.etcd.get(scene.world.key(host.name)), json.dumps({"weight": 100, "pooled": "yes"}))
            self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2"], 1), host.name)

    def stored(self, scene) -> list:
        return [scene.world.etcd.get(scene.world.key(host.name)) for host in scene.hosts]

    def nobody_noticed(self, scene):
        self.assertEqual(scene.failures(), [])

    def test_one_of_two_frozen_midway_the_rollout_holds_names_it_and_goes_on(self):
        with Scene(pool="conftool", lbs=2, strategy="  confirm_limit: 2s\n") as scene:
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            frozen = scene.world.pybals[1]
            frozen.freeze()
            try:
                scene.wait_for(rollout, lambda record: record["is"] == "source_lost", "that lvs2 does not answer")
                held = scene.wait_until(lambda: scene.status(rollout)["lost"], "the reason in the status")
                self.assertIn("view lvs2/app_80", str(held))
                held = scene.wait_until(lambda: scene.status(rollout)["held"], "that it holds")
                self.assertIn("lvs2/app_80", held)
                # What a person sees of it.
                code, words, error = scene.shiftctl("status", rollout)
                self.assertEqual((code, error), (0, ""))
                self.assertRegex(words, r"(?s)held: .*lvs2/app_80.*lost      view lvs2/app_80: ")
                code, words, error = scene.shiftctl("pool", "web")
                self.assertEqual((code, error), (0, ""))
                self.assertRegex(words, r"(?s)lvs2/app_80 does not answer: .*web3 +yes 100 +flowing 100 up +cannot tell")
                self.assertEqual([scene.restarts(host)[1:] for host in scene.hosts], [["2"], [], []])
                # Should the next host have been on its way out before the silence was noticed, it is put back; then nothing moves.
                original = json.dumps({"weight": 100, "pooled": "yes"})
                scene.wait_until(lambda: self.stored(scene) == [original] * 3, "every host in its pool")
                limit_is_over = time.monotonic() + 3
                scene.wait_until(lambda: time.monotonic() > limit_is_over, "more than confirm_limit")
                self.assertEqual(self.stored(scene), [original] * 3)
                self.assertEqual([scene.restarts(host)[1:] for host in scene.hosts], [["2"], [], []])
                self.assertFalse(scene.status(rollout)["paused"])
            finally:
                frozen.thaw()
            scene.wait_for(rollout, lambda record: record["is"] == "source_back", "that lvs2 answers again")
            self.ends_well(scene, rollout)
            self.nobody_noticed(scene)
            print("one of two PyBals frozen while the first host bakes: held, 'view lvs2/app_80' named, went on; 0 failed requests")

    def test_one_that_stopped_listening_closes_the_pool_by_name(self):
        with Scene(pool="conftool") as scene:
            pybal, etcd = scene.world.pybals[0], scene.world.etcd
            pybal.end_watch(cleanly=False)
            etcd.set(scene.world.key("web3"), "yes", 101)  # a person's doing, before the rollout; PyBal does not hear of it
            rollout = scene.start("2")
            record = scene.wait_for(rollout, closed, "that the pool is closed")
            self.assertIn("web3: its store holds yes, weight 101, it has yes, weight 100", record["why"])
            self.assertEqual([host.current() for host in scene.hosts], [scene.world.releases["1"].digest] * 3)
            pybal.stop()
            pybal.launch()
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.assertEqual(etcd.get(scene.world.key("web3")), json.dumps({"weight": 101, "pooled": "yes"}))
            self.assertEqual(scene.complaints("2", except_hosts=("web3",)), [])
            print("PyBal deaf after a reset: the pool is closed with the member that shows it; restarted, the rollout succeeds")

    def test_begun_anew_midway_nothing_is_written_in_its_first_rounds(self):
        with Scene(pool="conftool") as scene:
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            pybal = scene.world.pybals[0]
            pybal.stop()
            pybal.launch()
            record = scene.wait_for(rollout, closed, "that the pool is closed")
            self.assertRegex(record["why"], "lvs1/app_80: (it has been up for|not every monitor has spoken of|no monitor has said)")
            self.ends_well(scene, rollout)
            emptied = [change.text for change in scene.world.observer.changes if change.text == "taken out of the pool"]
            self.assertLessEqual(len(emptied), 3 + 3)  # each host once to be upgraded; once more by PyBal's own start
            print("PyBal begun anew while the first host bakes: closed until its monitors had two rounds, then succeeded")

    def test_a_threshold_raised_midway_lets_nobody_leave_and_hinders_no_roll_back(self):
        with Scene(hosts=4, pool="conftool") as scene:
            pybal = scene.world.pybals[0]
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            # 2 of 4 have to be up, and one more for its monitors; then 3 of 4 and one more.
            pybal.stop()
            pybal.set_threshold(0.7)
            pybal.launch()
            changed = scene.wait_for(rollout, lambda record: record["is"] == "threshold_changed", "the new threshold")
            self.assertEqual((changed["threshold"]["share"], changed["threshold"]["counted"]), (0.7, 4))
            held = scene.wait_for(rollout, lambda record: record["is"] == "held" and "threshold" in record.get("why", ""), "that it holds")
            self.assertIn("the least needed by lvs1/app_80 (threshold 0.7 of 4 members, 1 more for its monitors) is 4", held["why"])
            self.assertLessEqual(len([host for host in scene.hosts if len(scene.restarts(host)) > 1]), 2)
            scene.command(rollout, "rollback", reason="wrong day")
            self.assertEqual(scene.end_of(rollout)["outcome"], "rolled_back")
            self.assertEqual(scene.complaints("1"), [])
            print("PyBal's threshold raised from 0.5 to 0.7 of 4 hosts midway: nobody leaves, the sum is the reason; a roll back goes on")


    def test_a_roll_back_beside_a_frozen_one_waits_for_a_host_with_connections_or_for_a_person(self):
        limits = "".join(f"  {name}_limit: 2s\n" for name in ("confirm", "drain", "health"))
        with Scene(pool="conftool", lbs=2, strategy=limits) as scene:
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            host = scene.hosts[0]
            frozen = scene.world.pybals[1]
            frozen.freeze()
            try:
                # Somebody whom the frozen one may have sent there.
                with socket.create_connection((host.address, host.port)):
                    code, _, error = scene.shiftctl("rollback", rollout, "--reason", "it is slow")
                    self.assertEqual((code, error), (0, ""))
                    why = scene.wait_until(
                        lambda: next((known["why"] for known in scene.status(rollout)["hosts"] if "established" in known["why"]), None),
                        "that it waits for the connection",
                    )
                    self.assertIn("1 connection is still established", why)
                    self.assertEqual(scene.members()["web1"][0], False)  # whom the living one sends is sent elsewhere
                    self.assertEqual(scene.restarts(host), ["1", "2"])
                    code, _, error = scene.shiftctl("rollback", rollout, "--force", "--reason", "they may be cut")
                    self.assertEqual((code, error), (0, ""))
                    end = scene.end_of(rollout)
                self.assertEqual(end["outcome"], "rolled_back", end)
                self.assertIn("web1 was given back, which not every load balancer showed", end["reason"])
                self.assertEqual(scene.restarts(host), ["1", "2", "1"])
                self.assertEqual(scene.complaints("1"), [])
            finally:
                frozen.thaw()
            self.nobody_noticed(scene)
            print("rolled back beside a frozen PyBal: the host with a connection waits for --force; originals back, 0 failed requests")


class HostsOfConftool(unittest.TestCase):
    def test_are_upgraded_without_being_named_anywhere_else(self):
        limit = "  max_members: 3\n"
        with Scene(pool="conftool", strategy=limit, names_are_addresses=True, hosts_of_conftool=True) as scene:
            code, page, error = scene.shiftctl("pool", "web")
            self.assertEqual((code, error), (0, ""))
            for host in scene.hosts:
                self.assertRegex(page, f"{host.name} +yes 100 +flowing 100 up")
            rollout = scene.start("2")
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.assertEqual(scene.complaints("2"), [])
            self.assertEqual([known["name"] for known in scene.status(rollout)["hosts"]], [host.name for host in scene.hosts])
            # One more in the pool is one more than a rollout may touch.
            scene.world.etcd.set(scene.world.key("127.0.0.250"), "no", 100)
            status, refused = scene.try_start("1")
            self.assertEqual(status, 400, refused)
            self.assertIn("it would touch 4 members", str(refused))
            self.assertEqual(scene.failures(), [])
            print("three hosts that only conftool names: upgraded; a fourth is one more than max_members: refused")


class PowerLost(unittest.TestCase):
    def test_a_host_without_power_is_set_to_no_and_comes_back_on_the_release_that_it_missed(self):
        self.loses_its_power("before the rollout", "web3")

    def test_so_does_one_that_loses_it_midway(self):
        self.loses_its_power("while the first host bakes", "web6")

    def loses_its_power(self, when, name):
        # Seven, so that the others can do without it and one more.
        strategy = "  max_load: 2\n  drain_limit: 3s\n  upgrade_limit: 5s\n"
        with Scene(hosts=7, pool="conftool", strategy=strategy, sections="stragglers: {ask_every: 1s}\n") as scene:
            host = scene.world.fleet.by_name(name)
            if when == "before the rollout":
                host.power_off()
                rollout = scene.start("2")
            else:
                rollout = scene.start("2")
                scene.wait_for_phase(rollout, "serving_new", "web1")
                host.power_off()
            end = scene.end_of(rollout)
            key = scene.world.key(host.name)
            self.assertEqual(json.loads(scene.world.etcd.get(key))["pooled"], "no", end)
            self.assertIn(host.name, end["reason"])
            self.assertEqual(scene.complaints("2", except_hosts=(host.name,)), [])
            # Its power comes back, with the release that it had: nobody is sent to it before it is on the other one.
            scene.world.fleet.power_on(host)
            came_back = scene.next_rollout(rollout)
            self.assertEqual(scene.end_of(came_back)["outcome"], "succeeded")
            self.assertEqual(scene.complaints("2"), [])
            served = {request.release for request in scene.world.requests() if request.host == host.name and 1000 * request.at > end["at"]}
            self.assertEqual(served, {"2"})
            print(f"{host.name} without power {when}: {end['outcome']}, set to no and named; brought up to date before it served again")


if __name__ == "__main__":
    unittest.main()
