"""Processes and ports of the playground: nothing that it started outlives it, nothing else is touched.

The playground makes itself the subreaper: a process that a host detaches (the web service, a job started over SSH)
becomes our child when its parent ends, so the tree below us is exactly what we started. It is ended by pid.
"""

import ctypes
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time

PR_SET_CHILD_SUBREAPER = 36


class WorldError(Exception):
    """Something of the playground's own world did not work; the message says what and where to look."""


def adopt_orphans():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise WorldError(f"cannot become the subreaper: {os.strerror(ctypes.get_errno())}")


def free_port(address: str) -> int:
    """A port that nobody uses, below those that the kernel hands out by itself.

    A service gives its port up for a moment when it restarts; in the kernel's own range, somebody's outgoing connection
    or "any port" would take it in that moment.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_of_the_kernel = int(file.read().split()[0])
    below = range(10000, first_of_the_kernel) if first_of_the_kernel > 12000 else range(10000, 32768)
    for _ in range(100):
        port = random.choice(below)
        with socket.socket() as probe:
            try:
                probe.bind((address, port))
            except OSError:
                continue  # taken
            return port
    raise WorldError(f"no free port on {address}")


# The children whose end somebody asks for by name. Held together with the fork and with the reaping, so that an ended
# child is never taken for an adopted one: its exit code would be lost.
awaited = set()
forking = threading.Lock()


def start(command, log: pathlib.Path) -> subprocess.Popen:
    """Starts a process in a group of its own, so that Ctrl-C reaches the playground alone, which then ends it in order."""
    with log.open("ab") as output:
        return fork(command, stdout=output, stderr=output)


def run(command, limit: float, stdin=subprocess.DEVNULL):
    """Runs a command to its end: its exit code, standard output and standard error."""
    process = fork(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        output, error = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # what it started holds its output, too
        process.communicate()
        raise WorldError(f"{' '.join(process.args)}: not ended within {limit:g} s") from None
    with forking:
        awaited.discard(process.pid)
    return process.returncode, output, error


def fork(command, **options) -> subprocess.Popen:
    with forking:
        process = subprocess.Popen(
            [str(word) for word in command], **{"stdin": subprocess.DEVNULL, "start_new_session": True, **options}
        )
        awaited.add(process.pid)
    return process


def stop(process: subprocess.Popen, patience: float = 5.0):
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def parents() -> dict:
    """pid -> (parent's pid, state) of every process on the machine."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", encoding="utf-8", errors="replace") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended while we looked
        found[int(entry.name)] = (int(parent), state)
    return found


def descendants() -> list:
    """Everything below this process that still lives, children before their children."""
    table = parents()
    below = []
    front = [os.getpid()]
    while front:
        front = [pid for pid, (parent, _) in table.items() if parent in front]
        below += [pid for pid in front if table[pid][1] != "Z"]
    return below


def reap_adopted():
    """Clears away ended processes that we adopted, as init would."""
    with forking:
        for pid, (parent, state) in parents().items():
            if parent == os.getpid() and state == "Z" and pid not in awaited:
                os.waitpid(pid, os.WNOHANG)


def end_all(patience: float = 5.0):
    """Ends everything below us: first asked, then made."""
    deadline = time.monotonic() + patience
    asked = set()
    while True:
        alive = descendants()
        if not alive:
            return
        late = time.monotonic() > deadline
        for pid in alive:
            if pid in asked and not late:
                continue
            asked.add(pid)
            try:
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
            except ProcessLookupError:
                continue  # ended by itself
        time.sleep(0.02)


def until(limit: float, question, what: str, pause: float = 0.02):
    """Asks until the answer is true; the answer. Says what did not come when the limit (seconds) passes."""
    deadline = time.monotonic() + limit
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise WorldError(f"{what}: not within {limit:g} s")
        time.sleep(pause)
