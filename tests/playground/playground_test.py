"""The playground in a terminal: Ctrl-C at any moment ends everything that it started, and leaves no folder behind."""

import os
import pathlib
import pty
import select
import signal
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 60.0  # seconds


class Playground:
    """conf/playground/playground.py on a terminal of its own, with a folder for temporary files of its own."""

    def __init__(self, temporary: str, *words: str):
        self.output = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ["TMPDIR"] = temporary
            script = str(ROOT / "conf" / "playground" / "playground.py")
            os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", script, *words])

    def read(self) -> bool:
        """What it has printed since; False: it has closed its terminal."""
        if not select.select([self.terminal], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self.terminal, 65536)
        except OSError:  # as Linux says that nobody holds the other side any more
            piece = b""
        self.output += piece.decode("utf-8", errors="replace")
        return bool(piece)

    def wait_for(self, came):
        until = time.monotonic() + LIMIT
        while not came():
            if not self.read() or time.monotonic() > until:
                raise AssertionError(f"it did not come:\n{self.output}")

    def press_ctrl_c(self, times: int = 1):
        os.write(self.terminal, b"\x03" * times)

    def exit_code(self) -> int:
        until = time.monotonic() + LIMIT
        while self.read():
            if time.monotonic() > until:
                os.kill(self.pid, signal.SIGTERM)  # ends its world as Ctrl-C should have
                raise AssertionError(f"Ctrl-C did not end it:\n{self.output}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def processes_of(folder: str) -> list:
    """Whose command line or working directory lies in `folder`: hosts forget our environment, but not where they live."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", errors="replace")
            if folder in command or os.readlink(entry / "cwd").startswith(folder):
                found.append(f"{entry.name}: {command}")
        except OSError:
            continue  # no process, or one that has ended
    return found


class CtrlC(unittest.TestCase):
    def ends_cleanly_after(self, words: str, *arguments: str, file: str = "*", presses: int = 1, code: int = 130):
        """Once it has said `words` and made `file` (a pattern) in its folder."""
        with tempfile.TemporaryDirectory(prefix="shiftd-", dir="/tmp") as temporary:
            playground = Playground(temporary, "--hosts", "3", "--bake", "1", *arguments)
            playground.wait_for(lambda: words in playground.output and any(pathlib.Path(temporary).glob(file)))
            playground.press_ctrl_c(presses)
            self.assertEqual(playground.exit_code(), code, playground.output)
            self.assertEqual(processes_of(temporary), [])
            self.assertEqual(os.listdir(temporary), [])
            self.assertNotIn("Traceback", playground.output)

    def test_while_the_world_is_made(self):
        self.ends_cleanly_after("Starting", file="*/hosts/web2/sshd.log")

    def test_while_a_host_is_out(self):
        self.ends_cleanly_after("taken out of the pool", "--pool", "haproxy")

    def test_pressed_in_anger(self):
        self.ends_cleanly_after("back in the pool", "--pool", "haproxy", presses=5)

    def test_ends_what_was_kept(self):
        self.ends_cleanly_after("Ctrl-C ends it", "--pool", "haproxy", "--good-only", "--rate", "1000", "--keep", code=0)


if __name__ == "__main__":
    unittest.main()
