"""The playground's etcd: a real one, with the v2 API that conftool and PyBal speak, holding conftool's objects."""

import http.client
import json
import pathlib
import subprocess
import urllib.parse

import processes
from processes import WorldError

ETCD = "/usr/bin/etcd"
PREFIX = "/conftool/v1/pools"


class Etcd:
    """One member on loopback, plain HTTP. Its data may be lost with the machine: that makes it quick."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.port = processes.free_port("127.0.0.1")
        self.peer_port = processes.free_port("127.0.0.1")
        self.process: subprocess.Popen = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        peer = f"http://127.0.0.1:{self.peer_port}"
        self.process = processes.start(
            [ETCD, "--name", "etcd1", "--data-dir", self.folder / "etcd", "--enable-v2",
             "--listen-client-urls", self.url, "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer, "--initial-cluster", f"etcd1={peer}", "--logger", "zap", "--log-level", "warn"],
            self.folder / "etcd.log",
        )
        processes.until(20, self.ready, f"etcd ready (see {self.folder}/etcd.log)")

    def ready(self) -> bool:
        if self.process.poll() is not None:
            raise WorldError(f"etcd ended with {self.process.returncode}; see {self.folder}/etcd.log")
        try:
            return self.ask("GET", "/v2/keys/")[0] == 200
        except OSError:
            return False  # it does not listen yet

    def ask(self, method: str, target: str, fields=None) -> tuple:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            body = urllib.parse.urlencode(fields) if fields else None
            headers = {"Content-Type": "application/x-www-form-urlencoded"} if fields else {}
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    # Keys are given from the data center on: "dc1/web/app/web1".

    def put(self, key: str, value: str):
        """Writes these very bytes, whatever was there."""
        status, answer = self.ask("PUT", f"/v2/keys{PREFIX}/{key}", {"value": value})
        if status not in (200, 201):
            raise WorldError(f"etcd: {key}: {status} {answer}")

    def set(self, key: str, pooled: str, weight: int):
        self.put(key, json.dumps({"weight": weight, "pooled": pooled}))

    def get(self, key: str) -> str:
        status, answer = self.ask("GET", f"/v2/keys{PREFIX}/{key}?quorum=true")
        if status != 200:
            raise WorldError(f"etcd: {key}: {status} {answer}")
        return answer["node"]["value"]

    def delete(self, key: str):
        self.ask("DELETE", f"/v2/keys{PREFIX}/{key}?recursive=true")

    def make_others_busy(self, count: int):
        """Writes that have nothing to do with any pool, and make a watch's index outdated: etcd remembers a thousand."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        for i in range(count):
            connection.request("PUT", "/v2/keys/others/lock", f"value={i}", {"Content-Type": "application/x-www-form-urlencoded"})
            connection.getresponse().read()
        connection.close()
