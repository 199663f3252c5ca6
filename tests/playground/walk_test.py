"""The walks of the docs, walked. docs/pybal.md: what an operator sees in etcd, at PyBal and with shiftctl while a rollout goes over
one host. docs/releases.md and docs/hosts.md: each command behind a `$`, typed as it stands in the playground's shell.

SHIFTD_REWRITE=1 writes anew what the pages show. What differs from run to run (ports, times, etcd's indices) is not compared.
"""

import os
import pathlib
import re
import shlex
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import WEIGHT, Scene, processes  # noqa: E402
from etcd import PREFIX  # noqa: E402
import playground  # noqa: E402
import shell  # noqa: E402

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "pybal.md"
BEGIN, END = "<!-- walk -->\n", "<!-- end of the walk -->\n"
REWRITE = bool(os.environ.get("SHIFTD_REWRITE"))


def comparable(text: str) -> str:
    for pattern, word in (
        (r"(127\.0\.0\.\d+\]?):\d+", r"\1:PORT"),
        (r"-p \d+ ", "-p PORT "),
        (r"web-\d{8}-\d{6}(-\d+)?\b", "ROLLOUT"),
        (r"ROLLOUT +", "ROLLOUT "),  # the column of those that began in one second is wider
        (r"SHA256:[\w+/]{43}", "FINGERPRINT"),
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{12}\b", "DIGEST"),
        (r"\b20\d\d-\d\d-\d\dT", "DAY "),
        (r"\b\d\d:\d\d:\d\d", "TIME"),
        (r"asked for by \S+", "asked for by USER"),
        (r"OpenSSH_\S.*", "OpenSSH"),
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
        if REWRITE:
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


class Typed:
    """A command of a page, and the lines that stand below it."""

    def __init__(self, command: str, at: int):
        self.command, self.at = command, at  # the number of the line after it
        self.shown, self.shown_now = [], []


def typed_in(lines: list) -> list:
    found, last, fenced = [], None, False
    for number, line in enumerate(lines):
        if line.startswith("```"):
            last, fenced = None, not fenced
        elif fenced and line.startswith("$ "):
            last = Typed(line[2:], number + 1)
            found.append(last)
        elif last:
            last.shown.append(line)
    return found


def aligned(shown: list, said: list):
    """What was said as the page shows it, with `...` for any number of lines, or for the rest of one; None where they differ."""
    if not shown:
        return None if said else []
    if shown[0] == "...":
        rests = (aligned(shown[1:], said[skipped:]) for skipped in range(len(said) + 1))
        first, rest = "...", next((rest for rest in rests if rest is not None), None)
    else:
        first = cut(shown[0], said[0]) if said else None
        rest = None if first is None else aligned(shown[1:], said[1:])
    return None if rest is None else [first, *rest]


def cut(shown: str, said: str):
    """One line of what was said, as far as the page shows it; None where they differ."""
    if not shown.endswith("..."):
        return said if comparable(said) == comparable(shown) else None
    ends = (end for end in range(len(said) + 1) if comparable(said[:end]) == comparable(shown[:-3]))
    return next((f"{said[:end]}..." for end in ends), None)


class Names:
    """Rollouts, fingerprints and digests: others in each run, but what is one on the page has to be one in the run."""

    pattern = re.compile(r"web-\d{8}-\d{6}(?:-\d+)?|SHA256:[\w+/]{43}|\b[0-9a-f]{12}(?=\b|[0-9a-f]{52}\b)")

    def __init__(self):
        self.of_run, self.of_page = {}, {}

    def agree(self, shown: list, said: list) -> bool:
        pairs = zip(self.pattern.findall("\n".join(shown)), self.pattern.findall("\n".join(said)))
        return all(self.of_run.setdefault(one, other) == other and self.of_page.setdefault(other, one) == one for one, other in pairs)


class TypedPages(unittest.TestCase):
    def test_releases_md(self):
        self.type("releases.md")

    def test_hosts_md(self):
        self.type("hosts.md")

    def type(self, page: str):
        lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
        opening, *typed = typed_in(lines)
        command, *words = shlex.split(opening.command)
        self.assertEqual(command, "conf/playground/run")
        chosen = playground.arguments(words)
        self.assertEqual((chosen.shell, chosen.bake), (True, 1), "as the scene below")
        names = Names()
        with Scene(chosen.hosts, chosen.bad, chosen.rate, shell.SHARES, pool=chosen.pool, lbs=chosen.lbs, change=chosen.change) as scene:
            env = shell.furnish(scene.world, scene.daemon)
            for each in typed:
                said = self.said(scene, env, each.command)
                seen = aligned(each.shown, said)
                if (seen is None or not names.agree(each.shown, seen)) and not REWRITE:
                    self.fail("\n".join([f"docs/{page}: $ {each.command}", "the page shows:", *each.shown, "and it says:", *said]))
                each.shown_now = said if seen is None else seen
            self.assertEqual(scene.failures(), [])
            self.assertEqual(set(scene.members().values()), {(True, WEIGHT)})
            self.assertEqual([host.running() for host in scene.hosts], [host.current() for host in scene.hosts])
        if REWRITE:
            for each in reversed(typed):
                lines[each.at : each.at + len(each.shown)] = each.shown_now
            (DOCS / page).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"docs/{page}: {len(typed)} commands typed as they stand, each said what the page shows; no request failed")

    def said(self, scene, env: pathlib.Path, command: str) -> list:
        """By a command that is typed; it has to end well."""
        code, said, _ = processes.run(["bash", "-c", '. "$0"; exec 2>&1; eval "$1"', env, command], 60)
        self.assertEqual(code, 0, f"$ {command}\n{said}")
        return [line.rstrip() for line in said.replace(str(scene.world.folder), "/tmp/playground").splitlines()]


if __name__ == "__main__":
    unittest.main()
