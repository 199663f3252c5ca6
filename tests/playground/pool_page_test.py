"""`shiftctl pool SERVICE --watch` on a terminal: the page follows what people write in etcd, and Ctrl-C ends it."""

import os
import pathlib
import pty
import re
import select
import signal
import sys
import termios
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import LIMIT, Scene  # noqa: E402


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, command: list):
        self.pid, self.here = pty.fork()
        if self.pid == 0:
            os.execv(command[0], command)
        self.seen = ""

    def wait_for(self, pattern: str) -> str:
        """What was written up to the first match, which is then behind us."""
        deadline = time.monotonic() + LIMIT
        while not (found := re.search(pattern, self.seen)):
            if not select.select([self.here], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise AssertionError(f"{pattern!r} did not come; there came: {self.seen[-2000:]!r}")
            self.seen += os.read(self.here, 65536).decode("utf-8")
        before, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return before

    def mode(self) -> list:
        return termios.tcgetattr(self.here)

    def press(self, key: str):
        os.write(self.here, key.encode("ascii"))

    def exit_code(self) -> int:
        code = None
        while code is None:
            try:
                if not os.read(self.here, 65536):
                    break
            except OSError:  # nobody has it open any more
                break
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.here)


class PoolPage(unittest.TestCase):
    def test_follows_the_pool_until_ctrl_c(self):
        with Scene(pool="conftool") as scene:
            terminal = Terminal(scene.daemon.shiftctl("pool", "web", "--watch"))
            scene.ending.append(terminal.close)
            terminal.wait_for("web3 +yes 100 +flowing 100 up")
            scene.world.etcd.set(scene.world.key("web3"), "yes", 90)  # a person
            terminal.wait_for("web3 +yes 90 +flowing 90 up")
            scene.world.etcd.set(scene.world.key("web3"), "yes", 100)
            terminal.wait_for("web3 +yes 100 +flowing 100 up")
            scene.hosts[0].pause("restart", 3)  # for the page, which is drawn each second
            rollout = scene.start("2")
            terminal.wait_for(f"in the hands of {rollout}")
            terminal.wait_for("web1 +no 1 +none")
            self.assertEqual(scene.end_of(rollout)["outcome"], "succeeded")
            terminal.wait_for("web1 +yes 100 +flowing 100 up")
            terminal.press("\x03")
            self.assertEqual(terminal.exit_code(), 0)
            print("shiftctl pool --watch on a terminal: a person's weight and a rollout's steps appear; Ctrl-C ends it with 0")


if __name__ == "__main__":
    unittest.main()
