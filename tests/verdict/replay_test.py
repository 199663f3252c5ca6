"""`shiftctl verdict replay` on every recorded rollout: 287 of them, with what the reference implementation says of each.

tests/data/verdict/traces.tar.xz holds dev and dev2 (traces with labels), the reference's verdicts, and its log E tick by
tick for 21 of them. score.py scores a judge's output: docs/verdict.md shows its table.
"""

import json
import math
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHIFTCTL = ROOT / "build" / "shiftctl"
SETS = ("dev", "dev2")


def replay(files, *options):
    command = [str(SHIFTCTL), "verdict", "replay", *options, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def verdicts(lines):
    """By trace: what was said first of each kind, and at which row."""
    said = {}
    for line in lines.splitlines():
        one = json.loads(line)
        said.setdefault(one["id"], {}).setdefault(one["verdict"], one["tick"])
    return said


class Replay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.unpacked = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.unpacked.name)
        with tarfile.open(ROOT / "tests/data/verdict/traces.tar.xz") as archive:
            archive.extractall(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.unpacked.cleanup()

    def test_says_what_the_reference_says_of_every_trace(self):
        for name in SETS:
            ours = replay(sorted((self.folder / name).glob("*.trace")))
            self.assertEqual(ours.returncode, 0, ours.stderr)
            wanted = verdicts((self.folder / "reference" / f"{name}.jsonl").read_text())
            self.assertGreater(len(wanted), 100)
            self.assertEqual(verdicts(ours.stdout), wanted)
            lines = self.folder / f"{name}.jsonl"
            lines.write_text(ours.stdout)
            score = [sys.executable, "-B", str(ROOT / "tests/verdict/score.py"), str(self.folder / name), f"shiftd={lines}"]
            print(name, subprocess.run(score, capture_output=True, text=True, check=True).stdout, sep="\n")

    def test_agrees_with_the_reference_tick_by_tick(self):
        vectors = sorted((self.folder / "testvectors").glob("*.txt"))
        self.assertEqual(len(vectors), 21)
        for vector in vectors:
            where = "dev2" if vector.stem.startswith("adv") else "dev"
            ours = replay([self.folder / where / f"{vector.stem}.trace"], "--ticks")
            wanted = [line.split() for line in vector.read_text().splitlines()]
            got = [json.loads(line) for line in ours.stdout.splitlines()]
            self.assertGreater(len(got), 0)  # we stop at the roll back, the reference goes on
            for one, (row, _, log_e, log_promote) in zip(got, wanted):
                self.assertEqual(one["tick"], int(row), vector.stem)
                for value, reference in ((one["log_e"], float(log_e)), (one["log_promote"], float(log_promote))):
                    if value is None:
                        self.assertEqual(reference, -math.inf, vector.stem)
                    else:
                        self.assertLessEqual(abs(value - reference), 1e-9 * max(1, abs(reference)), f"{vector.stem} row {row}")

    def test_explains_a_run_and_takes_other_settings(self):
        trace = self.folder / "dev" / "dev-103.trace"
        told = replay([trace], "--explain")
        self.assertEqual(told.returncode, 0, told.stderr)
        self.assertIn("ROLL BACK", told.stdout)
        tolerant = replay([trace], "--tune", "tolerate=100x", "--tune", "ignore_below=90%")
        self.assertNotIn("ROLLBACK", tolerant.stdout)

    def test_refuses_what_it_cannot_read_and_says_where(self):
        broken = self.folder / "broken.trace"
        broken.write_text("shiftd-trace 1\nid x\ntick 5\nhosts 2\ncanary 7\nnext_share 0.5\nrows 1\n0 0 0 1 1 1 1\n")
        self.assertIn("broken.trace: line 5: ", replay([broken]).stderr)
        self.assertIn("tolerate must be 1 to 100", replay([broken], "--tune", "tolerate=half").stderr)
        self.assertIn("the names are", replay([broken], "--tune", "rho=1").stderr)
        self.assertNotEqual(replay([self.folder / "none.trace"]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
