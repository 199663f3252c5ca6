"""How the stand-in of PyBal learns what conftool wants: the etcd v2 observer of PyBal 1.15.9, with the deaths that it can die."""

import asyncio
import copy
import json
import ssl
import sys
import urllib.parse

RECONNECT = 0.1  # seconds after each event; 1 in releases before 1.15.9


class EtcdObserver:
    """One event a connection, one connection after the other. Gives every configuration that differs to `update`."""

    def __init__(self, url: str, tls: bool, update):
        parsed = urllib.parse.urlparse(url)
        self.host, self.port, self.key = parsed.hostname, parsed.port or 2379, parsed.path
        self.update = update
        self.tls = None
        if tls:
            self.tls = ssl.create_default_context()
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        self.wait_index = None
        self.last = {}
        self.writer = None
        self.ended = None  # how a test ended the connection

    async def run(self):
        while True:
            try:
                reader, self.writer = await asyncio.open_connection(self.host, self.port, ssl=self.tls)
            except OSError:
                self.wait_index = None
                await asyncio.sleep(RECONNECT)
                continue
            try:
                await self.converse(reader)
            except (ConnectionResetError, ssl.SSLError) as error:
                # Trap: what is not a clean end is raised again before the reconnect: nothing is learned from here on.
                return log(f"{self.key}: the watch is dead: {error}")
            finally:
                self.writer.close()
            await asyncio.sleep(RECONNECT)

    def end(self, cleanly: bool):
        """As if the other side had ended the connection."""
        self.ended = "fin" if cleanly else "rst"
        self.writer.transport.abort()

    async def converse(self, reader):
        self.writer.write(f"GET {self.path()} HTTP/1.0\r\nHost: {self.host}\r\nUser-Agent: PyBal/1.15\r\n\r\n".encode("ascii"))
        answer = await reader.read(-1)  # no timeout: a connection that is silently lost hangs for ever
        if self.ended:
            ended, self.ended = self.ended, None
            if ended == "rst":
                raise ConnectionResetError("reset")
            return
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ")[1] if " " in lines[0] else ""
        if status != "200":
            # Trap: an outdated index is noticed, and forgotten in the wrong place: the same question is asked for ever.
            return log(f"{self.key}: {status} {body.decode('utf-8', 'replace')}")
        index = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("x-etcd-index:")), 0)
        if body:
            try:
                self.on_update(json.loads(body), index)
            except Exception as error:  # Trap: whatever is wrong with one key, everything of this answer is lost.
                log(f"{self.key}: Error: {error!r}")

    def path(self) -> str:
        wanted = {"recursive": "true"}
        if self.wait_index is not None:
            wanted.update(waitIndex=self.wait_index, wait="true")
        return f"/v2/keys/{self.key.lstrip('/')}?{urllib.parse.urlencode(wanted)}"

    def on_update(self, answer: dict, index: int):
        node = answer["node"]
        self.wait_index = (index if self.wait_index is None else newest(node)) + 1
        told = dict(decoded(child) for child in node["nodes"]) if node.get("dir") else dict([decoded(node)])
        config = {host: value for host, value in {**self.last, **told}.items() if value is not None}
        if config != self.last:
            self.update(copy.deepcopy(config))
            self.last = config


def newest(node: dict) -> int:
    return max([node["modifiedIndex"], *(newest(child) for child in node.get("nodes", ()))])


def decoded(node: dict) -> tuple:
    """Host and configuration; None for one that is deleted or inactive."""
    host = node["key"].rsplit("/", 1)[-1]
    if "value" not in node:
        return host, None
    value = json.loads(node["value"])
    pooled = value.pop("pooled", None)
    if pooled == "inactive":
        return host, None
    if pooled is not None:
        value["enabled"] = pooled == "yes"
    return host, value


def log(text: str):
    print(text, file=sys.stderr, flush=True)
