"""Where the stand-in of PyBal sends traffic: HAProxy in the place of IPVS, told as `ipvsadm -R` would be told.

Nothing that it answers is looked at: PyBal does not look at ipvsadm's exit code either.
"""

import socket

MOST_WEIGHT = 256  # of HAProxy's


class Ipvs:
    """Remembers what was told: what the kernel would do."""

    def __init__(self):
        self.commands = []
        self.weights = {}  # pool -> host -> weight in the kernel

    def start(self, hosts: list):
        pass

    def assign(self, pool: str, wanted: dict):
        """Everything in the pool, told again with every change of the configuration."""
        now = self.weights.setdefault(pool, {})
        lines = [("-d", host, None) for host in list(now) if host not in wanted]
        lines += [("-e" if host in now else "-a", host, weight) for host, weight in wanted.items()]
        self.tell(pool, lines)

    def add(self, pool: str, host: str, weight: int):
        self.tell(pool, [("-a", host, weight)])

    def remove(self, pool: str, host: str):
        self.tell(pool, [("-d", host, None)])

    def tell(self, pool: str, lines: list):
        now = self.weights.setdefault(pool, {})
        for verb, host, weight in lines:
            # Trap: weight 0 is left away, and ipvsadm takes 1 for what is left away.
            self.commands.append(f"{verb} {pool} {host}" + (f" -w {weight}" if weight else ""))
            if verb == "-d":
                now.pop(host, None)
            else:
                now[host] = weight or 1
        self.carry_out(lines)

    def carry_out(self, lines: list):
        pass


class Haproxy(Ipvs):
    def __init__(self, path: str, backend: str, cut: bool):
        super().__init__()
        self.path, self.backend, self.cut = path, backend, cut

    def start(self, hosts: list):
        """PyBal makes its services anew when it starts: nobody is in them."""
        self.carry_out([("-d", host, None) for host in hosts])

    def carry_out(self, lines: list):
        commands = []
        for verb, host, weight in lines:
            server = f"{self.backend}/{host}"
            if verb == "-d":
                commands.append(f"set server {server} state maint")
                # The kernel drops what comes on established connections; a proxy can only end them.
                if self.cut:
                    commands.append(f"shutdown sessions server {server}")
            else:
                commands.append(f"set weight {server} {max(1, min(weight or 1, MOST_WEIGHT))}")
                commands.append(f"set server {server} state ready")
        self.send("; ".join(commands))

    def send(self, command: str):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            try:
                connection.connect(self.path)
                connection.sendall(command.encode("ascii") + b"\n")
                while connection.recv(65536):
                    pass
            except OSError:
                return


def make(path, backend: str, cut: bool) -> Ipvs:
    return Haproxy(path, backend, cut) if path else Ipvs()
