"""The playground's PyBals: stand-ins of the real one (tests/pybal/), each with a HAProxy of its own in the place of IPVS."""

import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import processes
from etcd import PREFIX
from processes import WorldError

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tests" / "pybal" / "pybal.py"

MONITORS = ("IdleConnection", "ProxyFetch")
MONITORS_COME_FROM = "127.0.0.2"  # so that a host can tell them from users

PYBAL_CONF = """\
[global]
instrumentation_port = {port}
instrumentation_ips = 127.0.0.1
[{pool}]
config = etcd://127.0.0.1:{etcd_port}{prefix}/{directory}/
depool-threshold = {threshold}
monitors = {monitors}
proxyfetch.url = /healthz
proxyfetch.interval = {interval}
proxyfetch.timeout = {timeout}
monitor-source = {source}
[stand-in]
tls = no
{data_plane}control = {control}
[dns]
{dns}
"""


class Pybal:
    """One PyBal with one pool, fed by conftool's objects below `directory` ("dc1/web/app")."""

    def __init__(self, folder: pathlib.Path, name: str, etcd, directory: str, pool: str):
        self.folder, self.name, self.etcd, self.directory, self.pool = folder, name, etcd, directory, pool
        self.port = processes.free_port("127.0.0.1")
        self.control_socket = folder / f"{name}.control"
        self.process: subprocess.Popen = None
        self.started = 0.0  # when it was ready, wall clock

    def start(self, addresses: dict, haproxy=None, backend="app", threshold=0.5, interval=1.0, timeout=1.0, cut=True, monitors=MONITORS):
        """`addresses`: where the servers' names lead to. `interval`, `timeout`: seconds, of the fetch of a page."""
        data_plane = f"haproxy = {haproxy}\nbackend = {backend}\ncut = {'yes' if cut else 'no'}\n" if haproxy else ""
        dns = "\n".join(f"{name} = {address}" for name, address in addresses.items())
        (self.folder / f"{self.name}.conf").write_text(
            PYBAL_CONF.format(
                port=self.port, pool=self.pool, etcd_port=self.etcd.port, prefix=PREFIX, directory=self.directory, threshold=threshold,
                monitors=json.dumps(list(monitors)), interval=interval, timeout=timeout,
                source=MONITORS_COME_FROM, data_plane=data_plane, control=self.control_socket, dns=dns,
            )
        )
        self.launch()

    def set_threshold(self, threshold: float):
        """From its next launch on."""
        conf = self.folder / f"{self.name}.conf"
        conf.write_text(re.sub(r"(?m)^depool-threshold = .*$", f"depool-threshold = {threshold}", conf.read_text()))

    def launch(self):
        self.control_socket.unlink(missing_ok=True)
        self.process = processes.start([sys.executable, "-B", PROGRAM, self.folder / f"{self.name}.conf"], self.folder / f"{self.name}.log")
        processes.until(10, self.ready, f"{self.name} ready (see {self.folder}/{self.name}.log)")
        self.started = time.time()

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise WorldError(f"{self.name} ended with {self.process.returncode}; see {self.folder}/{self.name}.log")
        try:
            return bool(self.servers())
        except OSError:
            return False  # it does not listen yet

    def stop(self):
        processes.stop(self.process)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def ask(self, path: str, accept="application/json", method="GET") -> tuple:
        """Status and body of its instrumentation."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, headers={"Accept": accept})
            answer = connection.getresponse()
            return answer.status, answer.read().decode("utf-8")
        finally:
            connection.close()

    def servers(self) -> dict:
        return json.loads(self.ask(f"/pools/{self.pool}")[1])

    def end_watch(self, cleanly: bool):
        """As if etcd had ended the connection on which PyBal waits for the next change."""
        self.control("fin" if cleanly else "rst")

    def commands(self) -> list:
        """What it told IPVS so far."""
        return self.control("commands").splitlines()

    def control(self, word: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.control_socket))
            connection.sendall(word.encode("ascii") + b"\n")
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return answer.decode("ascii")
