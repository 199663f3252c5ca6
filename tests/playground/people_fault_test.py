"""People, other rollouts, a second daemon, a full journal disk, and no daemon at all."""

import os
import pathlib
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import BACKEND, BUILD, Scene, processes  # noqa: E402

# A host that a person left at a small weight is lost capacity: without this, the other two may not leave any more.
TWO_MAY_BE_SMALL = "  max_load: 3\n  max_load_rollback: 3\n"


def taken(record):
    return record["is"] == "member_taken"


class PeopleAndJournals(unittest.TestCase):
    def test_what_a_person_changes_stays_theirs_until_it_is_released(self):
        with Scene(strategy=TWO_MAY_BE_SMALL) as scene:
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "serving_new", "web1")
            scene.balancer.command(f"set weight {BACKEND}/web2 7")
            scene.wait_for(rollout, lambda record: taken(record) and record["member"].endswith("web2"), "web2 seen as theirs")
            scene.wait_until(lambda: scene.phases(rollout)["web2"] == "left", "web2 left alone")
            why = next(host["why"] for host in scene.status(rollout)["hosts"] if host["name"] == "web2")
            self.assertRegex(why, "changed by someone else in lb1/app: yes, weight 7, we knew yes, weight 100")
            ended = scene.end_of(rollout)
            self.assertRegex(ended["reason"], "^2 of 3 hosts serve 2; web2 was changed by someone else")
            self.assertEqual(scene.members()["web2"], (True, 7))
            self.assertEqual(scene.restarts(scene.hosts[1]), ["1"])
            self.assertEqual((scene.complaints("2", except_hosts=("web2",)), scene.failures()), ([], []))
            print(f"a weight changed by a person: theirs stays, {ended['reason']}")

    def test_release_hold_goes_on_with_what_they_left_and_take_puts_the_original_back(self):
        # A gate: the rollout waits while people do what they do.
        with Scene(strategy=TWO_MAY_BE_SMALL) as scene:
            text = (scene.daemon.folder / "web.yaml").read_text()
            (scene.daemon.folder / "web.yaml").write_text(text.replace("{share: 50%, bake: 1s}", "{share: 50%, bake: 1s, gate: manual}"))
            scene.kill()
            scene.daemon.start()
            rollout = scene.start("2")
            for host, weight in (("web2", 7), ("web3", 9)):
                scene.wait_until(lambda: scene.status(rollout)["phase"] == "gated", "the gate")
                scene.balancer.command(f"set weight {BACKEND}/{host} {weight}")
                scene.wait_until(lambda name=host: scene.phases(rollout)[name] == "left", f"{host} left alone")
            code, _, error = scene.shiftctl("release-hold", "web2", "--reason", "seven is right")
            self.assertEqual(code, 0, error)
            code, _, error = scene.shiftctl("take", "web3", "--reason", "nine was a mistake")
            self.assertEqual(code, 0, error)
            scene.wait_until(lambda: scene.members()["web3"] == (True, 100), "web3's original")
            scene.command(rollout, "promote", reason="on")
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.assertEqual(scene.members(), {"web1": (True, 100), "web2": (True, 7), "web3": (True, 100)})
            for host in scene.hosts:
                self.assertEqual(scene.restarts(host), ["1", "2"])
            self.assertEqual(scene.failures(), [])
            print("release-hold: upgraded and back at the person's weight 7; take: upgraded and back at the original 100; 0 failed")

    def test_a_second_rollout_on_one_pool_is_refused_and_the_first_is_named(self):
        with Scene(services=("web", "shop")) as scene:
            first = scene.start("2")
            for service in ("web", "shop"):
                status, body = scene.try_start("2", service)
                self.assertEqual((status, body["error"]["code"]), (409, "conflict"))
                self.assertIn(f"rollout {first} of web", body["error"]["what"])
            self.assertEqual(scene.end_of(first)["outcome"], "succeeded")
            self.assertEqual((scene.complaints("2"), scene.failures()), ([], []))
            print(f"a second rollout on the same pool: 409, {body['error']['what']}")

    def test_a_second_rollout_waits_its_turn_where_the_service_says_so(self):
        with Scene(services=("web", "shop"), strategy="  when_busy: queue\n", bad="5xx") as scene:
            first = scene.start("2")
            second = scene.start("1", "shop")
            self.assertEqual(scene.status(second)["phase"], "queued")
            scene.next_record = 0
            self.assertEqual(scene.end_of(first)["outcome"], "succeeded")
            done = scene.all_records(first)[-1]["at"]
            scene.next_record = 0
            self.assertEqual(scene.end_of(second)["outcome"], "succeeded")
            self.assertGreaterEqual(next(record["at"] for record in scene.all_records(second) if record["is"] == "planned"), done)
            self.assertEqual((scene.complaints("1"), scene.failures()), ([], []))
            for host in scene.hosts:
                self.assertEqual(scene.restarts(host), ["1", "2", "1"])
            print("a second rollout with when_busy: queue: planned after the first had ended, both succeeded, 0 failed")

    def test_a_second_daemon_on_one_journal_ends_and_names_the_first(self):
        with Scene() as scene:
            code, _, error = processes.run([BUILD / "shiftd", "--config", scene.daemon.config], 20)
            self.assertNotEqual(code, 0)
            self.assertIn(str(scene.daemon.process.pid), error)
            self.assertEqual(scene.ask("GET", "/-/ready")[0], 200)
            print(f"a second daemon on the same journal: exit {code}, {error.strip().splitlines()[-1]}")

    @unittest.skipIf(os.geteuid() != 0, "SKIPPED: a full journal disk needs root, to mount a small one")
    def test_while_the_journals_disk_is_full_nothing_is_done_that_could_not_be_recorded(self):
        with Scene(started=False) as scene:
            small = scene.world.folder / "small"
            small.mkdir()
            code, _, error = processes.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small], 10)
            if code != 0:
                self.skipTest(f"SKIPPED: a full journal disk: mount: {error.strip()}")
            try:
                scene.wishes.journal = small / "shiftd.journal"
                scene.daemon.journal = scene.wishes.journal
                scene.daemon.write_configuration(1, scene.wishes)
                scene.daemon.start()
                self.full_disk(scene, small)
            finally:
                scene.daemon.stop()
                processes.run(["umount", "-l", small], 10)

    def full_disk(self, scene, small):
        # First while nothing is under way: whoever asks is told, and so is whoever wants to start.
        fill(small / "fill")
        scene.wait_until(lambda: scene.ask("GET", "/-/ready")[0] == 503, "503 of an idle daemon")
        self.assertRegex(scene.ask("GET", "/-/ready")[1], "journal cannot be written: .*the disk is full")
        self.assertEqual(scene.try_start("2")[0], 503)
        (small / "fill").unlink()
        scene.wait_until(lambda: scene.ask("GET", "/-/ready")[0] == 200, "200 again")

        first = scene.hosts[0]
        first.pause("restart", 1.5)
        rollout = scene.start("2")
        scene.wait_for_phase(rollout, "upgrading", "web1")
        fill(small / "fill")
        # The restart's end cannot be recorded, so nothing that follows from it is done.
        scene.wait_until(lambda: scene.ask("GET", "/-/ready")[0] == 503, "503")
        status, body = scene.ask("POST", f"/api/v1/rollouts/{rollout}/pause", {})
        self.assertEqual(status, 503)
        self.assertRegex(body["error"]["what"], "journal cannot be written: .*the disk is full")
        # (The restart itself was recorded before, and may run.)
        scene.wait_until(lambda: len(scene.restarts(first)) == 2 and first.running(), "the restart's end")
        before = (scene.members(), [scene.restarts(host) for host in scene.hosts])
        waits_until = time.monotonic() + 3
        scene.wait_until(lambda: time.monotonic() > waits_until, "three seconds")
        self.assertEqual((scene.members(), [scene.restarts(host) for host in scene.hosts]), before)
        self.assertEqual(scene.try_start("2")[0], 503)
        (small / "fill").unlink()
        scene.wait_for_phase(rollout, "serving_new", "web1")
        # Once more while nothing but a person's word waits to be written.
        fill(small / "fill")
        self.assertEqual(scene.ask("POST", f"/api/v1/rollouts/{rollout}/pause", {})[0], 503)
        (small / "fill").unlink()
        self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
        self.assertEqual((scene.complaints("2"), scene.failures()), ([], []))
        for host in scene.hosts:
            self.assertEqual(scene.restarts(host), ["1", "2"])
        print(f"the journal's disk full for some seconds: 503 ({body['error']['what']}), nothing moved, then succeeded, 0 failed")

    def test_without_any_daemon_rescue_prints_what_restores_the_originals(self):
        with Scene() as scene:
            host = scene.hosts[1]
            host.pause("restart", 1)
            rollout = scene.start("2")
            scene.wait_for_phase(rollout, "upgrading", "web2")
            scene.wait_until(lambda: len(scene.restarts(host)) == 2, "the restart under way")
            scene.kill()
            self.assertEqual(scene.members()["web2"][0], False)
            scene.wait_until(lambda: host.running() != "", "the job that the dead daemon left behind, ended")
            code, commands, error = processes.run([BUILD / "shiftctl", "rescue", "--journal", scene.daemon.journal], 20)
            self.assertEqual(code, 0, error)
            self.assertRegex(commands, "set server app/web2 state ready")
            self.assertRegex(commands, "web2 .*may be on 2")
            script = scene.world.folder / "rescue.sh"
            script.write_text(commands)
            code, output, error = processes.run(["sh", script], 20)
            self.assertEqual((code, error), (0, ""), output)
            self.assertEqual(set(scene.members().values()), {(True, 100)})
            self.assertEqual(scene.failures(), [])
            lines = [line for line in commands.splitlines() if not line.startswith("#")]
            print(f"no daemon: rescue printed {len(lines)} command(s); after running them every member is at its original, 0 failed")


def fill(file):
    with open(file, "wb", buffering=0) as full:
        try:
            while full.write(b"x" * 4096):
                pass
        except OSError:
            return  # that was the aim


if __name__ == "__main__":
    unittest.main()
