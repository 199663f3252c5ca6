"""docs/pybal.md's walk, walked: what an operator sees in etcd, at PyBal and with shiftctl while a rollout goes over one host.

SHIFTD_REWRITE=1 writes the page's section anew. What differs from run to run (ports, ids, etcd's indices) is not compared.
"""

import os
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene, processes  # noqa: E402
from etcd import PREFIX  # noqa: E402

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "pybal.md"
BEGIN, END = "<!-- walk -->\n", "<!-- end of the walk -->\n"


def comparable(text: str) -> str:
    for pattern, word in (
        (r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"),
        (r"web-\d{8}-\d{6}", "ROLLOUT"),
        (r'"(modified|created)Index":\d+', r'"\1Index":N'),
    ):
        text = re.sub(pattern, word, text)
    return text


class Walk(unittest.TestCase):
    maxDiff = None

    def test_is_what_the_page_shows(self):
        with Scene(pool="conftool", lbs=2, shares=(5, 100)) as scene:
            walked = self.walk(scene)
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        shown, after = rest.split(END)
        if os.environ.get("SHIFTD_REWRITE"):
            PAGE.write_text(before + BEGIN + walked + END + after, encoding="utf-8")
            return
        self.assertEqual(comparable(walked), comparable(shown))
        print("the walk of docs/pybal.md: five moments of web1, in etcd, at PyBal and by shiftctl, as the page shows them")

    def walk(self, scene) -> str:
        walked = self.look(scene, "Before:")
        users = scene.slow_users()
        scene.hosts[0].pause("restart", 60)
        rollout = scene.start("2")
        scene.wait_for_phase(rollout, "quiescing", "web1")
        self.confirmed(scene, rollout)
        walked += self.look(scene, "web1's turn has come. It takes as few new connections as its weight lets it, and finishes those that it has:")
        users.leave()
        scene.wait_for_phase(rollout, "upgrading", "web1")
        scene.wait_until(lambda: self.is_down(scene), "both PyBals to find web1 down")
        walked += self.look(
            scene,
            "It is idle, so it has left, and is being upgraded: PyBal finds it down while its service restarts. Its weight of before stands beside it, with the command that brings it back "
            "if nobody else does:",
        )
        scene.hosts[0].pause("restart", 0)
        scene.wait_for_phase(rollout, "serving_new", "web1")
        walked += self.look(scene, "The canary, in a stage of 5%:")
        scene.end_of(rollout)
        walked += self.look(scene, "At the end the exact original bytes are back, and nobody's hands are on it:")
        users.stop()
        self.assertEqual((scene.complaints("2"), scene.failures(), users.failed), ([], [], []))
        return walked

    def confirmed(self, scene, rollout):
        scene.wait_for(rollout, lambda record: record["is"] == "member_confirmed" and record["member"].endswith("/web1"), "web1 confirmed")

    def is_down(self, scene) -> bool:
        """For each monitor of each PyBal; shiftd calls a host down when one of them does."""
        pages = [processes.run(["curl", "-s", self.pools(pybal)], 20)[1] for pybal in scene.world.pybals]
        return all("web1:\tdisabled/down/not pooled" in page for page in pages)

    @staticmethod
    def pools(pybal) -> str:
        return f"http://127.0.0.1:{pybal.port}/pools/{pybal.pool}"

    def look(self, scene, words: str) -> str:
        key = f"{scene.world.etcd.url}/v2/keys{PREFIX}/{scene.world.key('web1')}?quorum=true"
        pools = self.pools(scene.world.pybals[0])
        seen = f"{words}\n\n```\n"
        for shown, command in (
            (f"curl -s '{key}'", ["curl", "-s", key]),
            (f"curl -s {pools} | sort", ["curl", "-s", pools]),  # PyBal names them in no order
            ("shiftctl pool web", scene.daemon.shiftctl("pool", "web")),
        ):
            code, output, error = processes.run(command, 20)
            self.assertEqual((code, error), (0, ""))
            if shown.endswith("| sort"):
                output = "\n".join(sorted(output.splitlines()))
            seen += f"$ {shown}\n{output.rstrip()}\n"
        return seen + "```\n\n"


if __name__ == "__main__":
    unittest.main()
