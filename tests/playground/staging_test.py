"""Production takes what staging has tested: the same code, by its digest, and nothing else."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene  # noqa: E402

WEB = """\
tested_in: staging
on_success: 'echo "$SHIFTD_SERVICE has $SHIFTD_VERSION by $SHIFTD_BY, in $SHIFTD_ROLLOUT" >>FOLDER/told'
"""


class StagingThenProduction(unittest.TestCase):
    def test_production_takes_exactly_what_has_succeeded_on_staging(self):
        fleets = {"staging": ("web1", "web2"), "web": ("web3", "web4", "web5")}
        with Scene(hosts=5, services=("staging", "web"), fleets=fleets, of_service={"web": WEB}, strategy="  max_load: 2\n") as scene:
            status, body = scene.try_start("2", "web")
            self.assertEqual(status, 403, body)
            self.assertIn("has not succeeded on staging", body["error"]["what"])
            self.assertEqual(scene.world.fleet.by_name("web3").restarts(), [scene.world.releases["1"].digest])

            tested = scene.start("2", "staging")
            self.assertEqual(scene.end_of(tested)["outcome"], "succeeded")
            rollout = scene.start("2", "web")
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            self.assertEqual(scene.complaints("2"), [])
            self.assertEqual([request for request in scene.world.requests() if request.failure], [])
            told = scene.daemon.folder / "told"
            scene.wait_until(told.exists, "on_success of production")
            self.assertRegex(told.read_text(), rf"^web has 2 by \S+, in {rollout}\n$")
            for host, its in (("web1", tested), ("web3", rollout)):
                note = scene.world.fleet.by_name(host).base / "current" / "DEPLOYED"
                scene.wait_until(note.exists, f"the note of success on {host}")
                self.assertRegex(note.read_text(), rf"^rollout {its}\nat 20\d\d-\S+Z\n$")
            _, plan = scene.try_plan("2", "web")
            self.assertIn(f"tested: 2 has succeeded on staging in rollout {tested}", plan["text"])

            # Who cannot wait says so, with a reason that the plan and the journal keep.
            self.assertEqual(scene.try_plan("3", "web")[0], 403)
            self.assertEqual(scene.try_plan("3", "web", untested=True)[0], 400)
            status, plan = scene.try_plan("3", "web", untested=True, reason="the site is down")
            self.assertEqual(status, 200, plan)
            self.assertIn("UNTESTED: 3 has not succeeded on staging, and goes on all the same: the site is down", plan["text"])
            print("release 2: refused by production, tested on staging, then taken; no request failed")


if __name__ == "__main__":
    unittest.main()
