"""A rolling reboot: every host goes down with its connections and its service, comes back with both, and no user notices."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import ROLLOUTS, Scene  # noqa: E402


class RollingReboot(unittest.TestCase):
    def start(self, scene) -> str:
        status, body = scene.ask("POST", ROLLOUTS, {"service": "web", "release": {"version": "reboot"}})
        self.assertEqual(status, 201, body)
        return body["rollout"]

    def test_every_host_is_rebooted_once_and_no_request_fails(self):
        with Scene() as scene:
            boots = [(host.home / "boot_id").read_text() for host in scene.hosts]
            code, said, error = scene.shiftctl("restart", "web", "--reboot", "--reason", "a kernel", "--wait")
            self.assertEqual(code, 0, said + error)
            for host, boot in zip(scene.hosts, boots):
                self.assertNotEqual((host.home / "boot_id").read_text(), boot)
                self.assertEqual((host.reboots(), scene.restarts(host)), (1, ["1", "1"]), host.name)
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual(scene.failures(), [])
            print(f"{len(scene.hosts)} hosts rebooted one after the other, 0 failed")

    def test_shiftd_killed_while_a_host_is_down_reboots_it_no_second_time(self):
        with Scene() as scene:
            host = scene.hosts[0]
            host.pause("boot", 60)
            rollout = self.start(scene)
            scene.wait_until(lambda: host.sshd.returncode is not None, "a host without power")
            scene.kill()
            self.assertEqual(scene.journalled_phase(host.name), "upgrading")
            scene.daemon.start()
            host.pause("boot", 0)
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            for each in scene.hosts:
                self.assertEqual((each.reboots(), scene.jobs(each, rollout), scene.restarts(each)), (1, 1, ["1", "1"]), each.name)
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual(scene.failures(), [])
            print("kill -9 while a host reboots: found again, succeeded, 0 failed, each host rebooted once")

    def test_a_host_that_does_not_come_back_stays_out_until_it_answers(self):
        wishes = {"release": "  reboot_limit: 2s\n", "strategy": "  max_load: 2\n  upgrade_limit: 3s\n", "sections": "stragglers: {ask_every: 1s}\n"}
        with Scene(hosts=7, **wishes) as scene:
            host = scene.hosts[0]
            host.pause("boot", 60)
            rollout = self.start(scene)
            ended = scene.end_of(rollout)
            told = [record for record in scene.all_records(rollout) if f"reboot {host.name}: it has not come back within 2s" in str(record)]
            self.assertNotEqual(told, [], ended)
            self.assertEqual(ended["outcome"], "succeeded", ended)
            self.assertIn(host.name, ended["reason"])
            self.assertFalse(scene.members()[host.name][0], "out of the pool")
            self.assertEqual(scene.complaints("1", except_hosts=(host.name,)), [])
            self.assertEqual([each.reboots() for each in scene.hosts], [1] * 7)

            host.pause("boot", 0)
            self.assertEqual(scene.end_of(scene.next_rollout(rollout))["outcome"], "succeeded")
            self.assertEqual(host.reboots(), 2)
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual(scene.failures(), [])
            print(f"a host that does not come back is out until it answers, 0 failed: {ended['reason']}")


if __name__ == "__main__":
    unittest.main()
