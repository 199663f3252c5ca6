"""The two monitors that nearly every pool of PyBal has: an idle connection, and a page that is fetched."""

import asyncio

from observer import log


class Monitor:
    """Its `up` is None until it has found something: an idle connection does so at once, a fetch after its first interval."""

    name = ""

    def __init__(self, coordinator, server, section: dict):
        self.coordinator, self.server = coordinator, server
        self.prefix, self.section = self.name.lower(), section
        self.up = None
        self.task = asyncio.create_task(self.run())

    def option(self, name: str, default: str) -> str:
        return self.section.get(f"{self.prefix}.{name}", default)

    def stop(self):
        self.task.cancel()

    async def connect(self):
        source = self.section.get("monitor-source")
        return await asyncio.open_connection(*self.server.address, local_addr=(source, 0) if source else None)

    def found(self, up: bool):
        self.coordinator.result(self, up)
        if self.up is up:
            return
        self.up = up
        try:
            (self.coordinator.came_up if up else self.coordinator.went_down)(self.server)
        except AssertionError as error:
            log(f"AssertionError: {error}")


class IdleConnection(Monitor):
    name = "IdleConnection"

    async def run(self):
        while True:
            try:
                reader, writer = await asyncio.wait_for(self.connect(), float(self.option("timeout", "3")))
            except (OSError, asyncio.TimeoutError):
                self.found(False)
            else:
                self.found(True)
                try:
                    await reader.read(1)
                except OSError:
                    self.found(False)
                writer.close()
            await asyncio.sleep(float(self.option("reconnect", "1")))


class ProxyFetch(Monitor):
    name = "ProxyFetch"

    async def run(self):
        while True:
            await asyncio.sleep(float(self.option("interval", "10")))
            try:
                status = await asyncio.wait_for(self.fetch(), float(self.option("timeout", "5")))
            except (OSError, asyncio.TimeoutError, ValueError, IndexError):
                status = 0
            self.found(status == 200)

    async def fetch(self) -> int:
        reader, writer = await self.connect()
        try:
            writer.write(f"GET {self.option('url', '/')} HTTP/1.0\r\nHost: {self.server.host}\r\n\r\n".encode("ascii"))
            return int((await reader.readline()).split()[1])
        finally:
            writer.close()


KNOWN = {each.name: each for each in (IdleConnection, ProxyFetch)}


def start(coordinator, server, section: dict) -> list:
    return [KNOWN[name](coordinator, server, section) for name in section["monitors"]]
