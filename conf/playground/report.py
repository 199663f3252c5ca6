"""What users saw: counted from the load generator's log, never from what shiftd says of itself."""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class RolloutReport:
    release: str
    outcome: str
    reason: str
    seconds: float
    requests: int
    failed_requests: int
    canary_requests: int
    canary_failed_requests: int


@dataclasses.dataclass(frozen=True)
class HostReport:
    host: str
    release: str
    pooled: bool
    weight: int
    original_weight: int


def count(requests, release, since, until, observer):
    """Requests that left in [since, until): all, failed, and those two of the hosts on `release`."""
    totals = [0, 0, 0, 0]
    for request in requests:
        if not since <= request.at < until:
            continue
        on_canary = release_of(request, observer) == release
        failed = bool(request.failure)
        for i, counts in enumerate((True, failed, on_canary, on_canary and failed)):
            totals[i] += counts
    return totals


def release_of(request, observer) -> str:
    if request.release != "-":
        return request.release
    return observer.release_at(request.host, request.at)


def shares(requests, release, since, until, columns, observer):
    """The share of requests that `release` served, in equal slices of time; None where nobody asked."""
    width = max(until - since, 0.001) / columns
    asked, served = [0] * columns, [0] * columns
    for request in requests:
        if since <= request.at < until:
            column = min(int((request.at - since) / width), columns - 1)
            asked[column] += 1
            served[column] += release_of(request, observer) == release
    return [served[i] / asked[i] if asked[i] else None for i in range(columns)]


def sparkline(values, encoding=None) -> str:
    """One character a value: blank for no share, the full block for all of it."""
    try:
        bars = "▁▂▃▄▅▆▇█"
        bars.encode(encoding or sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        bars = ".:-=+*%#"
    text = ""
    for value in values:
        if value is None:
            text += "?"
        elif value == 0:
            text += " "
        else:
            text += bars[min(int(value * len(bars)), len(bars) - 1)]
    return text


def host_reports(fleet, balancer, releases):
    """Each host's release by asking the host, its pool state by asking HAProxy."""
    names = {release.digest: release.name for release in releases}
    members = balancer.members()
    return [
        HostReport(
            host.name,
            names.get(host.running(), "none"),
            members[host.name].pooled,
            members[host.name].weight,
            members[host.name].original_weight,
        )
        for host in fleet.hosts
    ]


def print_rollout(report, spark):
    print(f"\n  release {report.release}: {report.outcome} after {report.seconds:.1f} s" + (f" ({report.reason})" if report.reason else ""))
    print(f"  share of release {report.release}  |{spark}|")


def print_table(rollouts, hosts):
    print("\nWhat users saw")
    columns = ("release", "outcome", "seconds", "requests", "failed", "on the new release", "of those failed")
    rows = [
        (r.release, r.outcome, f"{r.seconds:.1f}", r.requests, r.failed_requests, r.canary_requests, r.canary_failed_requests)
        for r in rollouts
    ]
    print_columns(columns, rows)
    print("\nThe fleet now")
    print_columns(
        ("host", "release", "pooled", "weight", "original weight"),
        [(h.host, h.release, "yes" if h.pooled else "no", h.weight, h.original_weight) for h in hosts],
    )


def print_columns(titles, rows):
    table = [titles] + [tuple(str(cell) for cell in row) for row in rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(titles))]
    for row in table:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def as_json(rollouts, hosts) -> dict:
    return {"rollouts": [dataclasses.asdict(r) for r in rollouts], "hosts": [dataclasses.asdict(h) for h in hosts]}
