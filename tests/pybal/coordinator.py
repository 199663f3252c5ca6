"""What the stand-in of PyBal decides: which servers of a pool are given to IPVS, by the rules of PyBal 1.15.9."""

import collections

import monitors
from observer import log

DEFAULT_WEIGHT = 10


class Server:
    """One server of one pool: `enabled` by conftool, `up` by its monitors, `pooled` in IPVS as far as PyBal knows."""

    def __init__(self, host: str, address):
        self.host, self.address = host, address
        self.weight, self.enabled = DEFAULT_WEIGHT, True
        self.ready = address is not None  # its name leads somewhere
        self.up = self.pooled = self.ready  # Trap: before any check
        self.monitors = []

    def merge(self, config: dict):
        # Trap: what does not have exactly the right type is silently ignored, and the value before it stays.
        if type(config.get("weight")) is int:
            self.weight = config["weight"]
        if type(config.get("enabled")) is bool:
            self.enabled = config["enabled"]
        self.keep_in_order()

    def keep_in_order(self):
        if not self.enabled or not self.ready:
            self.pooled = False
        if not self.pooled and self.enabled:
            self.up = False

    def all_up(self) -> bool:
        return bool(self.monitors) and all(monitor.up for monitor in self.monitors)

    def text(self) -> str:
        some_up = any(monitor.up for monitor in self.monitors)
        up = "up" if self.up else "partially up" if some_up else "down"
        return f"{'enabled' if self.enabled else 'disabled'}/{up}/{'pooled' if self.pooled else 'not pooled'}"

    def state(self) -> dict:
        return {"pooled": self.pooled, "weight": self.weight, "up": self.up, "enabled": self.enabled}


class Coordinator:
    """One pool."""

    def __init__(self, name: str, section: dict, addresses: dict, ipvs):
        self.name, self.section, self.addresses, self.ipvs = name, section, addresses, ipvs
        self.threshold = float(section.get("depool-threshold", 0.5))
        self.servers = {}
        self.held = set()  # pooled though down; PyBal's pooledDownServers
        self.gauges = {"depool_threshold": self.threshold}
        self.could_not_depool = 0
        self.monitor_status = {}  # (host, monitor) -> 1 or 0, from its first result on
        self.results = collections.Counter()  # (kind, host, monitor)

    def config_update(self, config: dict):
        gone = set(self.servers) - set(config)
        for host, wanted in config.items():
            server = self.servers.get(host)
            if server:
                server.merge(wanted)
                # Trap: no threshold is asked here. Who is held though down leaves with any write to the pool, and before
                # the monitors' first round everybody does.
                server.up = server.all_up()
                server.pooled = server.enabled and server.up
            else:
                self.servers[host] = self.new_server(host, wanted)
        for host in gone:
            server = self.servers.pop(host)
            for monitor in server.monitors:
                monitor.stop()
        self.gauges["servers"] = len(self.servers)
        self.gauges["servers_enabled"] = sum(server.enabled for server in self.servers.values())
        self.gauges["servers_up"] = sum(server.up for server in self.servers.values())
        self.ipvs.assign(self.name, {server.host: server.weight for server in self.servers.values() if server.pooled})
        self.measure()

    def new_server(self, host: str, wanted: dict) -> Server:
        server = Server(host, self.addresses.get(host))
        server.merge(wanted)
        if server.ready:
            server.monitors = monitors.start(self, server, self.section)
        return server

    # What monitors find.

    def result(self, monitor, up: bool):
        key = (monitor.server.host, monitor.name)
        self.monitor_status[key] = int(up)
        self.results["up" if up else "down", *key] += 1

    def went_down(self, server: Server):
        if server.up:
            server.up = False
            if server.pooled:
                self.depool(server)

    def came_up(self, server: Server):
        if not server.up and server.all_up():
            server.up = True
            if server.enabled and server.ready:
                self.repool(server)

    def depool(self, server: Server):
        assert server.pooled, f"{server.host} is depooled twice"
        if self.can_depool():
            server.pooled = False
            self.ipvs.remove(self.name, server.host)
            self.held.discard(server)
        else:
            log(f"{self.name}: Could not depool server {server.host} because of too many down!")
            self.held.add(server)
            self.could_not_depool += 1
        self.measure()

    def repool(self, server: Server):
        if not server.pooled:
            server.pooled = True
            self.ipvs.add(self.name, server.host, server.weight)
        self.held.discard(server)
        self.measure()
        # Trap: who was held and then dropped by a write is still in here: depool() fails on it.
        while self.held and self.can_depool():
            self.depool(self.held.pop())

    def can_depool(self) -> bool:
        serving = sum(server.up and server.enabled for server in self.servers.values())
        return serving >= len(self.servers) * self.threshold

    def measure(self):
        self.gauges["servers_pooled"] = sum(server.pooled for server in self.servers.values())
        self.gauges["pooled_down_servers"] = len(self.held)
        self.gauges["can_depool"] = int(self.can_depool())
