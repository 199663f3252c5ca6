"""The verdict's commands for people, against a living shiftd: a metric that nobody can read, and what became of a rollout."""

import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene, processes  # noqa: E402

# (After the strategy's own lines, where a section of the service's may begin.)
METRICS = """\
metrics:
  prometheus: {{address: "127.0.0.1:{port}", label: instance}}
  of:
    - name: slow
      ratio: {{bad: "slow_total", all: "requests_total"}}
      may: roll_back
      weight: 15%
"""


class VerdictOnLine(unittest.TestCase):
    def test_a_metric_that_nobody_can_read_holds_until_a_person_ignores_it_and_the_rollout_can_be_judged_again(self):
        nobody = processes.free_port("127.0.0.1")
        with Scene(strategy=METRICS.format(port=nobody)) as scene:
            rollout = scene.start("2")
            held = scene.wait_until(lambda: "slow" in (held := scene.status(rollout)["held"]) and held, "that it holds and names the metric")
            self.assertIn("the bake is over, and the evidence is not enough to go on", held)
            self.assertEqual(scene.status(rollout)["stage"], 0)
            code, _, error = scene.shiftctl("ignore-metric", "fast", "--reason", "a typing mistake")
            self.assertEqual(code, 6)
            self.assertIn("no metric fast", error)
            code, _, error = scene.shiftctl("ignore-metric", "slow", "--reason", "Prometheus is being moved")
            self.assertEqual((code, error), (0, ""))
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            (ignored,) = [record for record in scene.all_records(rollout) if record["is"] == "metric_ignored"]
            self.assertEqual((ignored["metric"], ignored["reason"]), ("slow", "Prometheus is being moved"))
            self.assertTrue(ignored["by"])
            self.assertEqual(scene.shiftctl("ignore-metric", "slow", "--reason", "too late")[0], 6)

            code, trace, error = scene.shiftctl("verdict", "export", rollout)
            self.assertEqual((code, error), (0, ""))
            file = scene.world.folder / "rollout.trace"
            file.write_text(trace)
            code, said, error = scene.shiftctl("verdict", "replay", file)
            self.assertEqual((code, error), (0, ""))
            judged = json.loads(said.splitlines()[-1])
            self.assertEqual(judged["id"], rollout)
            self.assertNotEqual(judged["verdict"], "ROLLBACK")
            code, words, error = scene.shiftctl("verdict", "calibrate", "web")
            self.assertEqual((code, error), (1, ""))
            self.assertRegex(words, "nothing can be said: .* of history are too little")
            self.assertEqual(scene.failures(), [])
            print("a metric without its Prometheus: held, named, ignored by a person with a reason; exported and judged again")


if __name__ == "__main__":
    unittest.main()
