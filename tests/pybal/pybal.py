"""A stand-in of PyBal 1.15.9, which Debian does not have: its documented behaviour, warts included, over HAProxy instead of IPVS.

It watches conftool's objects in a real etcd (observer.py), decides as PyBal does (coordinator.py), checks servers
(monitors.py), answers its instrumentation (instrumentation.py) and gives the outcome to a real HAProxy (data_plane.py).
docs/pybal.md names the traps that it keeps; pybal_test.py holds it to them.

  python3 pybal.py PYBAL.CONF       ends on SIGTERM

The configuration has PyBal's own form, a section for each pool, and two sections of the stand-in's own:

  [global]
  instrumentation_port = 9090
  instrumentation_ips = 127.0.0.1      # may be several, with spaces
  [web_80]
  config = etcd://127.0.0.1:2379/conftool/v1/pools/eqiad/web/nginx/
  depool-threshold = .5
  monitors = ["IdleConnection", "ProxyFetch"]
  proxyfetch.url = /healthz
  proxyfetch.interval = 10             # seconds, as every time here
  proxyfetch.timeout = 5
  monitor-source = 127.0.0.2           # the stand-in's own: the address that checks come from
  [stand-in]
  tls = no                             # PyBal itself always speaks TLS, and never verifies whom to
  haproxy = /run/haproxy.sock          # the data plane; none: only remembered
  backend = app
  cut = yes                            # end what is established when a server leaves, as the kernel does
  control = /run/pybal.sock            # "fin", "rst": the watch ends cleanly or not; "commands": what IPVS was told
  [dns]
  web1 = 127.0.0.11:8080               # where a server's name leads to
"""

import asyncio
import configparser
import json
import pathlib
import signal
import sys

import data_plane
import instrumentation
from coordinator import Coordinator
from observer import EtcdObserver

OWN_SECTIONS = ("global", "stand-in", "dns")


class Pybal:
    def __init__(self, path: pathlib.Path):
        self.config = configparser.ConfigParser(inline_comment_prefixes="#", interpolation=None)
        self.config.optionxform = str
        with path.open(encoding="utf-8") as file:
            self.config.read_file(file)
        own = self.config["stand-in"]
        self.ipvs = data_plane.make(own.get("haproxy"), own.get("backend", "app"), own.getboolean("cut", False))
        addresses = {name: split(address) for name, address in self.config["dns"].items()}
        self.ipvs.start(list(addresses))
        self.pools, self.observers = {}, []
        for name in self.config.sections():
            if name in OWN_SECTIONS:
                continue
            section = dict(self.config[name])
            section["monitors"] = json.loads(section["monitors"])
            self.pools[name] = Coordinator(name, section, addresses, self.ipvs)
            self.observers.append(EtcdObserver(section["config"], own.getboolean("tls", True), self.pools[name].config_update))

    async def run(self):
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        section = self.config["global"]
        for address in section.get("instrumentation_ips", "127.0.0.1").split():
            await instrumentation.serve(address, section.getint("instrumentation_port", 9090), self.pools)
        if control := self.config["stand-in"].get("control"):
            await asyncio.start_unix_server(self.control, control)
        tasks = [asyncio.create_task(observer.run()) for observer in self.observers]
        await stopping.wait()
        for task in tasks:
            task.cancel()

    async def control(self, reader, writer):
        word = (await reader.readline()).decode("ascii").strip()
        if word == "commands":
            writer.write("".join(f"{command}\n" for command in self.ipvs.commands).encode("ascii"))
        else:
            for observer in self.observers:
                observer.end(cleanly=word == "fin")
        writer.close()


def split(address: str) -> tuple:
    host, _, port = address.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    asyncio.run(Pybal(pathlib.Path(sys.argv[1])).run())
