"""Releases of configuration alone, and of code and configuration, on a small real fleet under load."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene, processes  # noqa: E402


def said(host) -> dict:
    """What stands in the host's web.conf; empty when there is none."""
    try:
        return dict(line.split() for line in (host.home / "web.conf").read_text().splitlines() if line)
    except FileNotFoundError:
        return {}


class Configuration(unittest.TestCase):
    def roll(self, change):
        with Scene(bad="dead", change=change) as scene:
            releases = scene.world.releases
            code = "1" if change == "config" else "2"

            code_of_plan, plan, _ = scene.shiftctl("-o", "json", "plan", "web", *releases["2"].words())
            self.assertEqual(code_of_plan, 2, plan)
            shown = json.loads(plan)
            self.assertEqual(shown["request"]["release"]["digest"], releases["2"].digest)
            differences = {name: run["text"] for run in shown["dry_runs"] for name in run["hosts"]}
            self.assertEqual(sorted(differences), ["web1", "web2", "web3"])
            self.assertIn("+release 2\n", differences["web3"])
            self.assertEqual([said(host) for host in scene.hosts], [{}, {}, {}], "a plan changes nothing")

            self.assertEqual(scene.daemon.roll(releases["2"])[0], "succeeded")
            self.assertEqual(scene.complaints("2"), [])
            self.assertEqual([said(host) for host in scene.hosts], [{"release": "2", "code": code}] * 3)
            self.assertEqual(scene.failures(), [])
            self.assertEqual(scene.shiftctl("plan", "web", *releases["2"].words())[0], 0, "there is nothing left to do")

            # Of each host the journal has the key that let shiftd in, and what its files were rendered as.
            code_of_keygen, listed, _ = processes.run(["ssh-keygen", "-lf", f"{scene.world.fleet.key}.pub"], 10)
            self.assertEqual(code_of_keygen, 0)
            fingerprint = listed.split()[1]
            rollout = scene.daemon.newest()["rollout"]
            kept = {record["host"]: (record["key"], record["rendered"]) for record in scene.all_records(rollout) if "key" in record}
            on_host = {
                host.name: (fingerprint, next(host.base.glob("current/.shiftd-configuration/digest")).read_text().strip())
                for host in scene.hosts
            }
            self.assertEqual(kept, on_host)
            shown = {host["name"]: (host["key"], host["rendered"]) for host in scene.status(rollout)["hosts"]}
            self.assertEqual(shown, on_host)

            # The bad one does not even start: the host that tried it has its former code and configuration again.
            outcome, reason = scene.daemon.roll(releases["3"])
            self.assertEqual(outcome, "rolled_back", reason)
            self.assertEqual(scene.complaints("2"), [])
            self.assertEqual([said(host) for host in scene.hosts], [{"release": "2", "code": code}] * 3)
            self.assertEqual(scene.failures(), [])

            # And to what stood there before any of it.
            self.assertEqual(scene.daemon.roll(releases["1"])[0], "succeeded")
            self.assertEqual(scene.complaints("1"), [])
            self.assertEqual([said(host) for host in scene.hosts], [{}, {}, {}])
            self.assertEqual(scene.failures(), [])

    def test_configuration_alone_is_rolled_out_and_back_without_a_failed_request(self):
        self.roll("config")

    def test_code_and_configuration_go_and_come_back_together(self):
        self.roll("both")


if __name__ == "__main__":
    unittest.main()
