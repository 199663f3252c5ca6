"""What becomes of a rollout when a host's SSH, disk or service fails: the others go on, and the host is named."""

import os
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import BUILD, Scene, processes  # noqa: E402

ALONE = "web2"  # the host that things happen to
# Of three hosts one may fail, and nothing waits for minutes.
STRATEGY = "  upgrade_limit: 20s\n"


class HostFaults(unittest.TestCase):
    def others_are_upgraded(self, scene, rollout, why):
        """The rollout succeeds with two of three hosts and its last word names the third, which is out and not forgotten."""
        ended = scene.end_of(rollout)
        self.assertEqual(ended["outcome"], "succeeded")
        self.assertRegex(ended["reason"], f"^2 of 3 hosts serve 2; {ALONE} .*{why}")
        self.assertEqual(scene.complaints("2", except_hosts=(ALONE,)), [])
        self.assertEqual(scene.failures(), [])
        return ended["reason"]

    def everybody_is_upgraded(self, scene, rollout):
        self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
        self.assertEqual(scene.complaints("2"), [])
        self.assertEqual(scene.failures(), [])
        for host in scene.hosts:
            self.assertEqual((scene.restarts(host), scene.jobs(host, rollout)), (["1", "2"], 1), host.name)

    def test_a_connection_lost_during_the_restart_is_made_again_and_nothing_runs_twice(self):
        with Scene() as scene:
            host = scene.world.fleet.by_name(ALONE)
            host.pause("restart", 1.5)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", ALONE)
            scene.wait_until(lambda: len(scene.restarts(host)) == 2, "the restart under way")
            sessions = host.sessions()
            self.assertTrue(sessions)
            for pid in sessions:
                os.kill(pid, signal.SIGKILL)
            self.everybody_is_upgraded(scene, rollout)
            print("SSH connection killed while the restart runs: found again, succeeded, 0 failed, restarted once")

    def test_an_sshd_that_hangs_is_waited_for(self):
        with Scene() as scene:
            host = scene.world.fleet.by_name(ALONE)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", ALONE)
            frozen = [host.sshd.pid, *host.sessions()]
            for pid in frozen:
                os.kill(pid, signal.SIGSTOP)
            try:
                # Time in which a daemon that trusted a silent host would have gone on.
                waits_until = time.monotonic() + 4
                scene.wait_until(lambda: time.monotonic() > waits_until, "four seconds")
                self.assertIn(scene.phases(rollout)[ALONE], ("upgrading", "verifying"))
                self.assertEqual(scene.members()[ALONE][0], False)
            finally:
                for pid in frozen:
                    os.kill(pid, signal.SIGCONT)
            self.everybody_is_upgraded(scene, rollout)
            print("sshd frozen during the upgrade: the host stays out, then it goes on; 0 failed, restarted once")

    def test_a_host_that_refuses_ssh_is_left_behind_and_named(self):
        with Scene(strategy=STRATEGY) as scene:
            host = scene.world.fleet.by_name(ALONE)
            processes.stop(host.sshd)
            status, body = scene.try_start("2")
            self.assertEqual(status, 201, body)
            rollout = body["rollout"]
            self.assertIn("could not be asked for its release", " ".join(scene.status(rollout)["notes"]))
            reason = self.others_are_upgraded(scene, rollout, "refused")
            self.assertEqual(scene.restarts(host), ["1"])
            self.assertEqual(scene.members()[ALONE][0], False)
            print(f"sshd down: {reason}")

    def test_a_wrong_host_key_is_refused_with_the_way_to_accept_it(self):
        with Scene(strategy=STRATEGY) as scene:
            known = scene.world.fleet.known_hosts
            host, other = scene.world.fleet.by_name(ALONE), scene.hosts[0]
            text = known.read_text()
            key = (host.home / "host_key.pub").read_text().split()[1]
            known.write_text(text.replace(key, (other.home / "host_key.pub").read_text().split()[1]))
            rollout = scene.start("2")
            reason = self.others_are_upgraded(scene, rollout, "key")
            self.assertEqual(scene.restarts(host), ["1"])
            print(f"another host key: {reason}")

    @unittest.skipIf(os.geteuid() != 0, "SKIPPED: a full disk needs root, to mount a small one")
    def test_a_full_disk_is_named_before_the_host_is_touched(self):
        with Scene(strategy=STRATEGY) as scene:
            host = scene.world.fleet.by_name(ALONE)
            place = host.base / "releases"
            small = host.base / ".shiftd"
            small.mkdir()
            code, _, error = processes.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], 10)
            if code != 0:
                self.skipTest(f"SKIPPED: a full disk: mount: {error.strip()}")
            try:
                (small / "full").write_bytes(b"x" * 60_000)
                rollout = scene.start("2")
                reason = self.others_are_upgraded(scene, rollout, "(No space|full|free)")
                self.assertEqual((scene.restarts(host), len(list(place.iterdir()))), (["1"], 1))
                print(f"a full disk: {reason}")
            finally:
                scene.daemon.stop()
                processes.run(["umount", "-l", small], 10)

    def test_the_list_for_a_restricted_key_names_what_is_not_there(self):
        with Scene(started=False) as scene:
            scene.daemon.write_configuration(1, scene.wishes)

            def listed(*words):
                return processes.run([BUILD / "shiftd", "--config", scene.daemon.config, "--host-commands", *words], 10)

            code, out, error = listed("web", "web1")
            self.assertEqual((code, error), (0, ""))
            self.assertIn("input swap\n", out)
            self.assertEqual(listed("web", "nosuch"), (1, "", "shiftd: web has no host 'nosuch'\n"))
            self.assertEqual(listed("nosuch", "web1"), (1, "", "shiftd: there is no service 'nosuch'\n"))

    def test_a_wrong_digest_is_refused_at_the_start(self):
        with Scene() as scene:
            status, body = scene.try_start("2", sha256="ab" * 32)
            self.assertEqual(status, 400, body)
            words = body["error"]["what"]
            self.assertRegex(words, scene.world.releases["2"].digest)
            self.assertEqual(scene.complaints("1"), [])
            for host in scene.hosts:
                self.assertEqual(scene.restarts(host), ["1"])
            print(f"a wrong digest: {words}")

    def test_a_service_that_does_not_come_back_is_put_back(self):
        with Scene(bad="dead", strategy=STRATEGY) as scene:
            rollout = scene.start("3")
            ended = scene.end_of(rollout)
            self.assertEqual(ended["outcome"], "rolled_back")
            self.assertIn("this release does not start", ended["reason"])
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual(scene.failures(), [])
            print(f"a release that does not start: rolled back, 0 failed: {ended['reason']}")

    def test_a_restart_that_leaves_the_old_release_running_is_found_out(self):
        with Scene(strategy=STRATEGY) as scene:
            for host in scene.hosts:
                (host.home / "restart").write_text("#!/bin/sh\nexit 0\n")
            rollout = scene.start("2")
            ended = scene.end_of(rollout)
            self.assertEqual(ended["outcome"], "rolled_back")
            self.assertRegex(ended["reason"], "another release answers: '" + scene.world.releases["1"].digest[:8])
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual(scene.failures(), [])
            print(f"the old release answers after the restart: rolled back, 0 failed: {ended['reason']}")

    def test_a_check_that_hangs_ends_at_its_deadline_and_the_host_is_put_back(self):
        with Scene(strategy=STRATEGY, check="/deep") as scene:
            host = scene.world.fleet.by_name(ALONE)
            host.pause("deep", 3600)
            rollout = scene.start("2")
            failed = scene.wait_for_phase(rollout, "reverting", ALONE)
            self.assertRegex(failed["why"], "verify_new: .*http.*within")
            host.pause("deep", 0)  # what hung was the new release
            ended = scene.end_of(rollout)
            self.assertEqual(ended["outcome"], "succeeded")
            self.assertIn(ALONE, ended["reason"])
            self.assertEqual(scene.complaints("2", except_hosts=(ALONE,)), [])
            self.assertEqual(scene.failures(), [])
            self.assertEqual(scene.restarts(host), ["1", "2", "1"])
            print(f"a check that hangs: {ended['reason']}")


if __name__ == "__main__":
    unittest.main()
