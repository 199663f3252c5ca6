#!/usr/bin/python3
"""Draws docs/verdict.md's pictures from recorded rollouts: docs/pictures/draw_verdict.py (after a build).

Each picture: above, what fails of each cohort's requests, ten seconds at a time; below, the evidence against the release and
the proof for it, as `shiftctl verdict replay --ticks` says, on a scale of factors. The pictures of the knobs show one rollout
judged with two settings.
"""

import json
import math
import pathlib
import subprocess
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRACES = ROOT / "tests" / "data" / "verdict" / "traces.tar.xz"
PICTURES = {
    "verdict_good": ("dev-026", "A good release while everybody's rate drifts"),
    "verdict_incident": ("dev-028", "A good release, and an incident that hits both releases"),
    "verdict_bad": ("dev-072", "A bad release: half a percent more of its requests fail"),
    "verdict_late": ("dev-093", "A release that turns bad after it was promoted"),
}
KNOBS = {  # picture: trace, title, what is drawn, two settings
    "knob_tolerate": ("dev-059", "A release of which twice as many requests fail", "log_e", ("tolerate=1.1", "tolerate=2")),
    "knob_ignore_below": ("dev-066", "A release of which 1% of the requests fail, not 0.2%", "log_e", ("ignore_below=0.01%", "ignore_below=1%")),
    "knob_confidence": ("dev-034", "A good release that has bad luck", "log_e", ("confidence=99%", "confidence=90%")),
    "knob_warm_up": ("dev-043", "A good release whose hosts fail while they are cold", "log_e", ("warm_up=20s", "warm_up=0s")),
    "knob_min_bake": ("dev-016", "A good release", "log_promote", ("min_bake=1m", "min_bake=5m")),
}
WIDTH, LEFT, RIGHT = 760, 70, 150
TOP, UPPER, GAP, LOWER = 34, 150, 34, 150
CANARY, BASELINE, PROOF, GREY, OTHER = "#c2410c", "#2563eb", "#15803d", "#6b7280", "#7c3aed"


def read(path):
    """Rows of (t, phase, canary (requests, failures), baseline (requests, failures)), as differences."""
    lines = path.read_text().splitlines()
    canary = {int(word) for word in lines[4].split()[1:]}
    rows, before = [], None
    for line in lines[7:]:
        words = line.split()
        numbers = [int(word) for word in words[3:]]
        counters = list(zip(numbers[::2], numbers[1::2]))
        if before is None:
            before = counters
            continue
        sums = [[0, 0], [0, 0]]
        for host, (now, then) in enumerate(zip(counters, before)):
            if now[0] < 0:
                continue
            began_again = now[0] < then[0] or now[1] < then[1]
            difference = now if began_again else (now[0] - then[0], now[1] - then[1])
            sums[0 if host in canary else 1][0] += difference[0]
            sums[0 if host in canary else 1][1] += max(0, min(difference[1], difference[0]))
        before = [now if now[0] >= 0 else then for now, then in zip(counters, before)]
        rows.append((float(words[0]), int(words[1]), sums[0], sums[1]))
    return rows


def rates(rows, which, every=10):
    points, requests, failures, until = [], 0, 0, None
    for row in rows:
        until = row[0] + every if until is None else until
        requests += row[which][0]
        failures += row[which][1]
        if row[0] + 1e-9 >= until - every / 2 and requests and row[0] >= until - 1:
            points.append((row[0], failures / requests))
            requests, failures, until = 0, 0, row[0] + every
    return points


def line(points, colour, x, y, dashes=""):
    if not points:
        return ""
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dashes}/>'


def text(x, y, words, colour="#111", anchor="start", size=12):
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" text-anchor="{anchor}" font-size="{size}">{words}</text>'


def replay(path, *options):
    """The lines that `shiftctl verdict replay` writes of a trace."""
    command = [ROOT / "build" / "shiftctl", "verdict", "replay", *options, path]
    return [json.loads(one) for one in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()]


class Picture:
    """Two panels over one time, in seconds since the canary's first request: rates above, factors below."""

    def __init__(self, rows, end, title, least=0.3, most=300.0):
        self.begin, self.end = -60.0, end
        self.low, self.high = math.log(least), math.log(most)
        self.height = TOP + UPPER + GAP + LOWER + 30
        shown = [row for row in rows if self.begin <= row[0] <= end]
        self.canary, self.baseline = rates([row for row in shown if row[1] == 2], 2), rates(shown, 3)
        self.most = max([rate for _, rate in self.canary + self.baseline] + [0.001]) * 1.1
        self.out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" font-family="sans-serif">',
                    f'<rect width="{WIDTH}" height="{self.height}" fill="white"/>', text(LEFT, 20, title, size=15)]
        for share in (0, self.most / 2.2, self.most / 1.1):
            self.across(self.upper(share), "#e5e7eb")
            self.out.append(text(LEFT - 6, self.upper(share) + 4, f"{100 * share:.2g}%", GREY, "end"))
        for factor in (1, 10, 100):
            self.across(self.lower(math.log(factor)), "#e5e7eb")
            self.out.append(text(LEFT - 6, self.lower(math.log(factor)) + 4, str(factor), GREY, "end"))
        self.out += [line(self.baseline, BASELINE, self.x, self.upper), line(self.canary, CANARY, self.x, self.upper)]
        self.beside(TOP + 14, "failing requests:", GREY)
        self.beside(TOP + 32, "old release", BASELINE)
        self.beside(TOP + 50, "new release", CANARY)
        for t in range(int(self.begin), int(end) + 1, max(30, int((end - self.begin) / 8 / 30) * 30)):
            self.out.append(text(self.x(t), self.height - 10, f"{t} s", GREY, "middle"))

    def x(self, t):
        return LEFT + (t - self.begin) / (self.end - self.begin) * (WIDTH - LEFT - RIGHT)

    def upper(self, rate):
        return TOP + UPPER - rate / self.most * UPPER

    def lower(self, log_value):
        return TOP + UPPER + GAP + LOWER - (min(max(log_value, self.low), self.high) - self.low) / (self.high - self.low) * LOWER

    def across(self, y, colour, dashes=""):
        self.out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}"{dashes}/>')

    def beside(self, y, words, colour):
        self.out.append(text(WIDTH - RIGHT + 8, y, words, colour))

    def curve(self, points, colour):
        self.out.append(line(points, colour, self.x, self.lower))

    def moment(self, t, words, colour, row=0):
        x = self.x(t)
        self.out.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{self.height - 30}" stroke="{colour}" stroke-dasharray="4 3"/>')
        right = x < LEFT + 8 * len(words)  # no room before it
        self.out.append(text(x + 5 if right else x - 5, TOP + UPPER + GAP / 2 + 4 + 13 * row, words, colour, "start" if right else "end"))

    def write(self, name):
        text_of_all = "\n".join(part for part in [*self.out, "</svg>"] if part) + "\n"
        (ROOT / "docs" / "pictures" / f"{name}.svg").write_text(text_of_all)


VERDICTS = {"ROLLBACK": "rolled back", "PROMOTE": "promoted"}


def draw(name, path, title):
    rows, ticks = read(path), replay(path, "--ticks")
    last = max([one["tick"] for one in ticks] + [1])
    picture = Picture(rows, rows[last - 1][0], title)
    for key, colour in (("log_e", CANARY), ("log_promote", PROOF)):
        picture.curve([(rows[one["tick"] - 1][0], one[key]) for one in ticks if one[key] is not None], colour)
    picture.beside(picture.lower(math.log(100)) + 4, "against: rolls back", CANARY)
    picture.beside(picture.lower(math.log(10)) + 4, "for: promotes", PROOF)
    for one in replay(path):
        words = VERDICTS.get(one["verdict"])
        if words:
            t = rows[one["tick"] - 1][0]
            picture.moment(t, f"{words} after {t:.0f} s", CANARY if words == "rolled back" else PROOF)
    picture.write(name)


def draw_knob(name, path, title, key, settings):
    """One rollout, judged with each of two settings."""
    rows = read(path)
    ticks = [replay(path, "--ticks", "--tune", setting) for setting in settings]
    last = max(one["tick"] for spoken in ticks for one in spoken)
    picture = Picture(rows, rows[last - 1][0], title)
    for row, (setting, spoken, colour) in enumerate(zip(settings, ticks, (PROOF if key == "log_promote" else CANARY, OTHER))):
        picture.curve([(rows[one["tick"] - 1][0], one[key]) for one in spoken if one[key] is not None], colour)
        of, value = setting.split("=")
        verdict = replay(path, "--tune", setting)[-1]
        words = VERDICTS.get(verdict["verdict"])
        if words:
            t = rows[verdict["tick"] - 1][0]
            picture.moment(t, f"{value}: {words} after {t:.0f} s", colour, row)
        bar = 100 - float(value.rstrip("%")) if of == "confidence" else 10 if key == "log_promote" else 1
        picture.beside(picture.lower(math.log(bar if key == "log_promote" else 100 / bar)) + 4, f"{value}: {'promotes' if key == 'log_promote' else 'rolls back'}", colour) \
            if row == 0 or of == "confidence" else picture.beside(TOP + UPPER + GAP + LOWER - 4, f"{of} {value}", colour)
    picture.write(name)


def draw_harm(name, path, title, limits):
    """How much harm a bad release has done, and where each limit would have ended it."""
    rows, spoken = read(path), replay(path)
    end = rows[max(one["tick"] for one in spoken) - 1][0]
    picture = Picture(rows, end, title, 1, 3000)
    harm, served, failed, points, open_limits = 0.0, 0, 0, [], list(limits)
    for t, phase, canary, baseline in rows:
        served, failed = served + baseline[0], failed + baseline[1]
        if phase != 2 or t > end or not baseline[0]:
            continue
        tolerated = 1.1 * max(failed / served, baseline[1] / baseline[0]) + 0.0001
        harm = max(0.0, harm + canary[1] - tolerated * canary[0])
        points.append((t, math.log(max(harm, 1))))
        for limit in [one for one in open_limits if harm >= one]:
            picture.moment(t, f"harm_limit {limit}: after {t:.0f} s", OTHER, len(limits) - len(open_limits))
            open_limits.remove(limit)
    picture.curve(points, CANARY)
    picture.beside(picture.lower(math.log(100)) + 4, "failed requests", CANARY)
    picture.beside(picture.lower(math.log(100)) + 18, "too many, in all", CANARY)
    picture.write(name)


def draw_max_bake(name, path, title, least, most):
    """A stage that may pass from `least` seconds on, has its proof later, and would have waited for it until `most`."""
    rows, ticks = read(path), replay(path, "--ticks")
    proof = [(rows[one["tick"] - 1][0], one["log_promote"]) for one in ticks if one["log_promote"] is not None]
    picture = Picture(rows, most + 60.0, title)
    picture.curve([point for point in proof if point[0] <= most + 60], PROOF)
    picture.beside(picture.lower(math.log(10)) + 4, "for: promotes", PROOF)
    passed = next(t for t, value in proof if t >= least and value >= math.log(10))
    picture.moment(least, "min_bake", GREY)
    picture.moment(passed, f"passes after {passed:.0f} s", PROOF, 1)
    picture.moment(most, "max_bake: at_max_bake", OTHER)
    picture.write(name)


with tempfile.TemporaryDirectory() as folder, tarfile.open(TRACES) as archive:
    archive.extractall(folder)
    for one, (trace, its_title) in PICTURES.items():
        draw(one, pathlib.Path(folder) / "dev" / f"{trace}.trace", its_title)
    for one, (trace, its_title, drawn, both) in KNOBS.items():
        draw_knob(one, pathlib.Path(folder) / "dev" / f"{trace}.trace", its_title, drawn, both)
    draw_harm("knob_harm_limit", pathlib.Path(folder) / "dev" / "dev-072.trace", PICTURES["verdict_bad"][1], (5, 10))
    draw_max_bake("knob_max_bake", pathlib.Path(folder) / "dev" / "dev-033.trace", "A good release whose proof takes its time", 60, 300)
