"""The playground in a terminal: Ctrl-C at any moment, or the end of its shell, ends everything that it started, and leaves no folder
behind."""

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
                self.give_up("it did not come")

    def type(self, line: str):
        os.write(self.terminal, f"{line}\n".encode())

    def press_ctrl_c(self, times: int = 1):
        os.write(self.terminal, b"\x03" * times)

    def exit_code(self) -> int:
        until = time.monotonic() + LIMIT
        while self.read():
            if time.monotonic() > until:
                self.give_up("it did not end")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def give_up(self, what: str):
        """Ends its world as Ctrl-C should have, while there is still a folder for it."""
        said = self.output
        os.kill(self.pid, signal.SIGTERM)
        until = time.monotonic() + LIMIT
        while self.read() and time.monotonic() < until:
            pass
        raise AssertionError(f"{what}:\n{said}")


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


class Ending(unittest.TestCase):
    def ends_cleanly(self, playground: Playground, temporary: str, code: int):
        self.assertEqual(playground.exit_code(), code, playground.output)
        self.assertEqual(processes_of(temporary), [])
        self.assertEqual(os.listdir(temporary), [])
        self.assertNotIn("Traceback", playground.output)


class CtrlC(Ending):
    def ends_cleanly_after(self, words: str, *arguments: str, file: str = "*", presses: int = 1, code: int = 130):
        """Once it has said `words` and made `file` (a pattern) in its folder."""
        with tempfile.TemporaryDirectory(prefix="shiftd-", dir="/tmp") as temporary:
            playground = Playground(temporary, "--hosts", "3", "--bake", "1", *arguments)
            playground.wait_for(lambda: words in playground.output and any(pathlib.Path(temporary).glob(file)))
            playground.press_ctrl_c(presses)
            self.ends_cleanly(playground, temporary, code)

    def test_while_the_world_is_made(self):
        self.ends_cleanly_after("Starting", file="*/hosts/web2/sshd.log")

    def test_while_a_host_is_out(self):
        self.ends_cleanly_after("taken out of the pool", "--pool", "haproxy")

    def test_pressed_in_anger(self):
        self.ends_cleanly_after("back in the pool", "--pool", "haproxy", presses=5)

    def test_ends_what_was_kept(self):
        self.ends_cleanly_after("Ctrl-C ends it", "--pool", "haproxy", "--good-only", "--rate", "1000", "--keep", code=0)


class Shell(Ending):
    def open(self, temporary: str) -> Playground:
        playground = Playground(temporary, "--shell", "--pool", "haproxy")
        self.type(playground, "shiftctl pool web --watch")
        playground.wait_for(lambda: "MEMBER" in playground.output)
        return playground

    def type(self, playground: Playground, line: str):
        """At its prompt: what runs before that would read it."""
        playground.wait_for(lambda: playground.output.endswith("playground$ "))
        playground.type(line)

    def test_has_the_terminal_and_its_exit_ends_everything(self):
        with tempfile.TemporaryDirectory(prefix="shiftd-", dir="/tmp") as temporary:
            playground = self.open(temporary)
            playground.press_ctrl_c()  # ends what watches, and nothing else
            self.type(playground, "ssh web1 'echo it is $(hostname | wc -l) host'")
            playground.wait_for(lambda: "it is 1 host" in playground.output)
            self.type(playground, "exit")
            self.ends_cleanly(playground, temporary, 0)

    def test_ends_with_everything_when_it_is_told_to_from_outside(self):
        with tempfile.TemporaryDirectory(prefix="shiftd-", dir="/tmp") as temporary:
            playground = self.open(temporary)
            os.kill(playground.pid, signal.SIGTERM)
            self.ends_cleanly(playground, temporary, 130)


if __name__ == "__main__":
    unittest.main()
