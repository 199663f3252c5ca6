#!/usr/bin/python3
"""Draws docs/verdict.md's pictures from recorded rollouts: docs/pictures/draw_verdict.py (after a build).

Each picture: above, what fails of each cohort's requests, ten seconds at a time; below, the evidence against the release and
the proof for it, as `shiftctl verdict replay --ticks` says, on a scale of factors.
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
WIDTH, LEFT, RIGHT = 760, 70, 150
TOP, UPPER, GAP, LOWER = 34, 150, 34, 150
CANARY, BASELINE, PROOF, GREY = "#c2410c", "#2563eb", "#15803d", "#6b7280"


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


def draw(name, path, title):
    said = subprocess.run([ROOT / "build" / "shiftctl", "verdict", "replay", path], capture_output=True, text=True, check=True).stdout
    spoken = [json.loads(one) for one in said.splitlines()]
    ticks = subprocess.run([ROOT / "build" / "shiftctl", "verdict", "replay", "--ticks", path], capture_output=True, text=True, check=True).stdout
    ticks = [json.loads(one) for one in ticks.splitlines()]
    rows = read(path)
    last = max([one["tick"] for one in ticks] + [1])
    begin, end = -60.0, rows[last - 1][0]
    shown = [row for row in rows[:last] if row[0] >= begin]

    def x(t):
        return LEFT + (t - begin) / (end - begin) * (WIDTH - LEFT - RIGHT)

    canary, baseline = rates([row for row in shown if row[1] == 2], 2), rates(shown, 3)
    most = max([rate for _, rate in canary + baseline] + [0.001]) * 1.1

    def upper(rate):
        return TOP + UPPER - rate / most * UPPER

    low, high = math.log(0.3), math.log(300)

    def lower(log_value):
        return TOP + UPPER + GAP + LOWER - (min(max(log_value, low), high) - low) / (high - low) * LOWER

    height = TOP + UPPER + GAP + LOWER + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>', text(LEFT, 20, title, size=15)]
    for share in (0, most / 2.2, most / 1.1):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{upper(share):.1f}" y2="{upper(share):.1f}" stroke="#e5e7eb"/>')
        out.append(text(LEFT - 6, upper(share) + 4, f"{100 * share:.2g}%", GREY, "end"))
    for factor in (1, 10, 100):
        y = lower(math.log(factor))
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e7eb"/>')
        out.append(text(LEFT - 6, y + 4, str(factor), GREY, "end"))
    out.append(line(baseline, BASELINE, x, upper))
    out.append(line(canary, CANARY, x, upper))
    at = {one["tick"]: rows[one["tick"] - 1][0] for one in ticks}
    for key, colour in (("log_e", CANARY), ("log_promote", PROOF)):
        points = [(at[one["tick"]], one[key]) for one in ticks if one[key] is not None and one["tick"] <= last]
        out.append(line(points, colour, x, lower))
    right = WIDTH - RIGHT + 8
    out += [text(right, TOP + 14, "failing requests:", GREY), text(right, TOP + 32, "old release", BASELINE), text(right, TOP + 50, "new release", CANARY),
            text(right, lower(math.log(100)) + 4, "against: rolls back", CANARY), text(right, lower(math.log(10)) + 4, "for: promotes", PROOF)]
    for one in spoken:
        if one["tick"] > last:
            continue
        t = rows[one["tick"] - 1][0]
        words = {"ROLLBACK": "rolled back", "PROMOTE": "promoted"}.get(one["verdict"])
        if not words:
            continue
        colour = CANARY if words == "rolled back" else PROOF
        out.append(f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="{TOP}" y2="{height - 30}" stroke="{colour}" stroke-dasharray="4 3"/>')
        out.append(text(x(t) - 5, TOP + UPPER + GAP / 2 + 4, f"{words} after {t:.0f} s", colour, "end"))
    for t in range(int(begin), int(end) + 1, max(30, int((end - begin) / 8 / 30) * 30)):
        out.append(text(x(t), height - 10, f"{t} s", GREY, "middle"))
    out.append("</svg>")
    (ROOT / "docs" / "pictures" / f"{name}.svg").write_text("\n".join(part for part in out if part) + "\n")


with tempfile.TemporaryDirectory() as folder, tarfile.open(TRACES) as archive:
    archive.extractall(folder)
    for one, (trace, its_title) in PICTURES.items():
        draw(one, pathlib.Path(folder) / "dev" / f"{trace}.trace", its_title)
