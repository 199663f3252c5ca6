"""What becomes of a rollout when HAProxy is down, restarted, reloaded or frozen: it waits, says why, and ends well."""

import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import RATE, Scene  # noqa: E402


def lost(record):
    return record["is"] == "source_lost"


class HaproxyFaults(unittest.TestCase):
    def ends_well(self, scene, rollout):
        self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
        self.assertEqual(scene.complaints("2"), [])
        for host in scene.hosts:
            self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2"], 1), host.name)

    def test_down_at_the_start_nothing_begins_and_the_error_names_it(self):
        with Scene() as scene:
            scene.balancer.stop()
            for verb in ("plan", "rollouts"):
                release = scene.world.releases["2"]
                status, body = scene.ask(
                    "POST", f"/api/v1/{verb}",
                    {"service": "web", "release": {"version": "2", "source": str(release.tarball), "sha256": release.digest}},
                )
                self.assertEqual((status, body["error"]["code"]), (502, "unreachable"))
                self.assertRegex(body["error"]["what"], "read lb1/app: .*haproxy.sock")
            self.assertEqual(scene.ask("GET", "/api/v1/rollouts")[1]["rollouts"], [])
            for host in scene.hosts:
                self.assertEqual((scene.restarts(host), host.current()), (["1"], scene.world.releases["1"].digest))
            scene.balancer.launch()
            scene.wait_until(lambda: scene.balancer.all_up(3), "HAProxy up")
            self.ends_well(scene, scene.start("2"))
            print("HAProxy down at the start: plan and start say 502 and which socket; nothing moved; up again, it succeeds")

    def test_restarted_while_a_host_is_out_it_is_drained_again_and_the_rollout_ends_well(self):
        with Scene() as scene:
            scene.hosts[0].pause("restart", 1.5)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", "web1")
            scene.balancer.stop()
            scene.wait_for(rollout, lost, "that HAProxy does not answer")
            held = scene.status(rollout)
            self.assertIn("haproxy.sock", str(held["lost"]))
            down = time.time()
            scene.balancer.launch()
            self.ends_well(scene, rollout)
            # A HAProxy that starts takes every host for good until it has looked: some requests go to the one that is
            # being upgraded, as they would after any restart. None comes later than that.
            late = [request for request in scene.failures() if request.at > down + 1.5]
            self.assertEqual(late, [])
            print(f"HAProxy restarted while a host is out: its loss is told, succeeded, {len(scene.failures())} failed around the restart, 0 later")

    def test_reloaded_midway_with_its_state_kept_nobody_notices(self):
        with Scene() as scene:
            scene.hosts[0].pause("restart", 1.5)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", "web1")
            workers = scene.balancer.workers()
            scene.balancer.reload(keeping_state=True)
            scene.wait_until(lambda: set(scene.balancer.workers()) - set(workers), "a new worker")
            scene.wait_until(lambda: len(scene.members()) == 3, "the new worker on the socket")
            self.assertEqual(scene.members()["web1"][0], False)
            self.ends_well(scene, rollout)
            self.assertEqual([failure for failure in scene.failures() if failure.host != "-"], [])
            print("HAProxy reloaded while a host is out, state kept: succeeded, 0 failed by any host")

    def test_reloaded_midway_without_its_state_what_is_held_is_written_again(self):
        with Scene() as scene:
            scene.hosts[0].pause("restart", 3)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", "web1")
            reloaded = time.time()
            scene.balancer.reload(keeping_state=False)
            scene.wait_for(rollout, lambda record: record["is"] == "member_wanted" and record["member"].endswith("web1"), "web1 asserted again")
            scene.wait_until(lambda: scene.members().get("web1", (True,))[0] is False, "web1 drained again")
            self.ends_well(scene, rollout)
            failures = scene.failures()
            self.assertEqual([failure for failure in failures if failure.at > reloaded + 2], [])
            self.assertLess(len(failures), RATE)
            print(f"HAProxy reloaded while a host is out, state forgotten: drained again, succeeded, {len(failures)} failed in the window, 0 later")

    def test_frozen_midway_the_rollout_waits_and_says_why(self):
        with Scene() as scene:
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            scene.balancer.freeze()
            try:
                scene.wait_for(rollout, lost, "that HAProxy does not answer")
                held = scene.wait_until(lambda: scene.status(rollout)["lost"], "the reason in the status")
                self.assertIn("haproxy.sock", str(held))
                moved = [record for record in scene.status(rollout)["hosts"] if record["phase"] == "serving_new"]
                self.assertEqual(len(moved), 1)
            finally:
                scene.balancer.thaw()
            self.ends_well(scene, rollout)
            # A frozen HAProxy keeps everybody waiting; those who gave up were waiting for it and not for a host.
            self.assertEqual([failure for failure in scene.failures() if failure.failure not in ("timeout", "refused")], [])
            print("HAProxy frozen while the first host bakes: held with its name, then succeeded; nothing upgraded meanwhile")


if __name__ == "__main__":
    unittest.main()
