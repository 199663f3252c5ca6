"""The playground's hosts: each is an sshd and a web service of its own on a loopback address of its own.

They are real as far as shiftd can tell: own address, own SSH host key, own directory, own restart command. They share
one machine and one user; but each has a home directory of its own, because a login file of the person who plays (bash
reads ~/.bashrc for every command over SSH) would slow down every command on every host.
"""

import dataclasses
import getpass
import http.client
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import threading
import uuid

import processes
from processes import WorldError
from releases import Release

SSHD = "/usr/sbin/sshd"
FIRST_ADDRESS = 11
MOST_HOSTS = 200

SSHD_CONFIG = """\
ListenAddress {address}:{port}
HostKey {home}/host_key
AuthorizedKeysFile {keys}/user_key.pub
PidFile none
UsePAM {pam}
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
Subsystem sftp internal-sftp
SetEnv HOME={home} PATH={home}/bin:/usr/local/bin:/usr/bin:/bin
LogLevel VERBOSE
"""

# Returns 0 when the new process listens. The pid file is believed only if its process is this host's own, so that a
# number that the system gave to somebody else is never signalled; an ended process that waits to be reaped has no
# command line either. `restarts` counts what was started, one digest a line; `pause-restart` makes the host a slow one.
RESTART = """\
#!/bin/bash
home={home}
pid=
[[ -f $home/service.pid ]] && pid=$(<"$home/service.pid")
alive() {{
  local words=()
  [[ -n $pid ]] && {{ mapfile -d '' words <"/proc/$pid/cmdline"; }} 2>/dev/null && [[ ${{words[*]}} == *"$home/"* ]]
}}
if alive; then
  kill -TERM "$pid"
  for ((i = 0; i < 500; i++)); do
    alive || break
    sleep 0.01
  done
  if alive; then kill -KILL "$pid"; fi
fi
rm -f "$home/service.pid"
release=$(readlink "$home/srv/current")
echo "${{release##*/}}" >>"$home/restarts"
slow=$home/pause-restart
if [[ -f $slow ]]; then timeout "$(<"$slow")" bash -c 'while [[ -f $0 ]]; do sleep 0.05; done' "$slow"; fi
exec 3< <(exec setsid {python} -I -S "$home/srv/current/server.py" "$home/srv" {name} {address} {port} "$home/service.pid" \\
  </dev/null 2>>"$home/service.log")
if read -r -t 20 -u 3 word digest && [[ $word == listening ]]; then
  echo "{name} runs $digest"
else
  echo "{name} did not start: $(tail -n 1 "$home/service.log")" >&2
  exit 1
fi
"""

# Returns at once, as `systemctl reboot` does; what is below the hosts does it (Fleet.serve_reboots).
REBOOT = """\
#!/bin/sh
echo {name} >>{home}/reboots
echo {name} >{folder}/asked
"""

# First in the hosts' PATH, so that unpacking can be slow on one of them.
TAR = """\
#!/bin/bash
if [[ -f {home}/pause-tar ]]; then sleep "$(<{home}/pause-tar)"; fi
exec /usr/bin/tar "$@"
"""


@dataclasses.dataclass
class Host:
    name: str
    home: pathlib.Path
    address: str
    port: int = 0
    ssh_port: int = 0
    sshd: subprocess.Popen = None

    @property
    def base(self) -> pathlib.Path:
        return self.home / "srv"

    def current(self) -> str:
        """The digest that `current` names."""
        return os.path.basename(os.readlink(self.base / "current"))

    def restarts(self) -> list:
        """The digests with which the service was started, the playground's own first start included."""
        return (self.home / "restarts").read_text().split()

    def reboots(self) -> int:
        """How often it was told to."""
        file = self.home / "reboots"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def pause(self, what: str, seconds: float):
        """Makes the host slow: `boot`, `restart`, `tar`, or a path of its service (`version`, `healthz`, `deep`). 0: fast again, and
        a restart that waits goes on."""
        file = self.home / f"pause-{what}"
        if seconds:
            file.write_text(f"{seconds}\n")
        else:
            file.unlink(missing_ok=True)

    def sessions(self) -> list:
        """The pids of the SSH connections to it."""
        return [pid for pid, (parent, state) in processes.parents().items() if parent == self.sshd.pid and state != "Z"]

    def power_off(self):
        """Its sshd, the connections to it, and its service end at once, as without power."""
        os.kill(self.sshd.pid, signal.SIGSTOP)
        processes.until(5, lambda: processes.parents()[self.sshd.pid][1] == "T", f"{self.name}: nobody is let in any more")
        for pid in [*self.sessions(), int((self.home / "service.pid").read_text()), self.sshd.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # ended by itself
        self.sshd.wait()

    def running(self) -> str:
        """The digest of the release that answers; empty when nobody does."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=2)
        try:
            connection.request("GET", "/version")
            answer = connection.getresponse()
            return answer.read(200).decode("latin-1").strip() if answer.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


class Fleet:
    def __init__(self, folder: pathlib.Path, count: int, names_are_addresses=False):
        """`names_are_addresses`: as where a name leads to its host, and every host has the same ports."""
        if not 1 <= count <= MOST_HOSTS:
            raise WorldError(f"a playground has 1 to {MOST_HOSTS} hosts, not {count}")
        self.folder = folder
        self.user = getpass.getuser()
        self.key = folder / "user_key"
        self.known_hosts = folder / "known_hosts"
        self.same_ports = names_are_addresses
        addresses = [f"127.0.0.{FIRST_ADDRESS + i}" for i in range(count)]
        names = addresses if names_are_addresses else [f"web{i + 1}" for i in range(count)]
        self.ending = threading.Event()
        self.machine = threading.Thread(target=self.serve_reboots, daemon=True)
        self.hosts = [Host(name, folder / "hosts" / name, address) for name, address in zip(names, addresses)]

    def start(self, release: Release):
        """Returns when every host runs `release` and lets us in over SSH."""
        prepare_machine()
        make_key(self.key)
        for host in self.hosts:
            (host.base / "releases").mkdir(parents=True)
            make_key(host.home / "host_key")
            example = self.hosts[0] if self.same_ports and host is not self.hosts[0] else None
            host.port = example.port if example else processes.free_port(host.address)
            host.ssh_port = example.ssh_port if example else processes.free_port(host.address)
            (host.home / "sshd_config").write_text(
                SSHD_CONFIG.format(
                    address=host.address, port=host.ssh_port, home=host.home, keys=self.folder, pam="yes" if locked() else "no"
                )
            )
            (host.home / "restart").write_text(
                RESTART.format(home=host.home, python=sys.executable, name=host.name, address=host.address, port=host.port)
            )
            (host.home / "restart").chmod(0o755)
            (host.home / "bin").mkdir()
            (host.home / "bin" / "tar").write_text(TAR.format(home=host.home))
            (host.home / "bin" / "tar").chmod(0o755)
            (host.home / "reboot").write_text(REBOOT.format(home=host.home, name=host.name, folder=self.folder))
            (host.home / "reboot").chmod(0o755)
            install(host, release)
            self.power_on(host)
        self.write_known_hosts()
        for host in self.hosts:
            self.wait_for_sshd(host)
        os.mkfifo(self.folder / "asked")
        self.machine.start()

    def start_sshd(self, host: Host):
        host.sshd = processes.start([SSHD, "-D", "-e", "-f", host.home / "sshd_config"], host.home / "sshd.log")

    def power_on(self, host: Host):
        """It starts with the release that it had."""
        (host.home / "boot_id").write_text(f"{uuid.uuid4()}\n")
        self.start_sshd(host)
        self.restart(host)

    def serve_reboots(self):
        """What is below the hosts: whoever asks for it loses its power and gets it back."""
        under_way = []
        with os.fdopen(os.open(self.folder / "asked", os.O_RDWR)) as asked:  # its own writer, so that it has no end
            for line in asked:
                if self.ending.is_set():
                    break
                under_way.append(threading.Thread(target=self.reboot, args=(self.by_name(line.strip()),)))
                under_way[-1].start()
        for each in under_way:
            each.join()

    def reboot(self, host: Host):
        host.power_off()
        slow = host.home / "pause-boot"
        if slow.exists():
            limit = float(slow.read_text())
            processes.until(limit, lambda: self.ending.is_set() or not slow.exists(), f"{host.name}: power")
        if not self.ending.is_set():
            self.power_on(host)

    def stop(self):
        """Nobody is given power any more."""
        self.ending.set()
        if self.machine.ident is not None:
            (self.folder / "asked").write_text("\n")
            self.machine.join()

    def restart(self, host: Host):
        code, _, error = processes.run([host.home / "restart"], 60)
        if code != 0:
            raise WorldError(error.strip() or f"{host.home}/restart failed")

    def install_and_restart(self, host: Host, release: Release):
        install(host, release)
        self.restart(host)

    def wait_for_sshd(self, host: Host):
        def listens():
            if host.sshd.poll() is not None:
                raise WorldError(f"{host.name}: sshd ended with {host.sshd.returncode}; see {host.home}/sshd.log")
            return "Server listening" in (host.home / "sshd.log").read_text(errors="replace")

        processes.until(30, listens, f"{host.name}: sshd listening")

    def write_known_hosts(self):
        with self.known_hosts.open("w") as file:
            for host in self.hosts:
                kind, key = (host.home / "host_key.pub").read_text().split()[:2]
                file.write(f"[{host.address}]:{host.ssh_port} {kind} {key}\n")

    def by_name(self, name: str) -> Host:
        return next(host for host in self.hosts if host.name == name)


def install(host: Host, release: Release):
    """Puts a release on a host as shiftd does: releases/<digest> whole and marked, then `current` swapped by rename."""
    place = host.base / "releases" / release.digest
    if not (place / ".shiftd-complete").exists():
        place.mkdir(parents=True, exist_ok=True)
        with tarfile.open(release.tarball) as tar:
            tar.extractall(place)
        (place / ".shiftd-complete").touch()
    link = host.base / "current.new"
    link.symlink_to(pathlib.Path("releases") / release.digest)
    link.rename(host.base / "current")


def make_key(path: pathlib.Path):
    code, _, error = processes.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "shiftd-playground", "-f", path], 60)
    if code != 0:
        raise WorldError(f"ssh-keygen: {error.strip()}")


def prepare_machine():
    # sshd refuses to start as root without this directory, which its service unit would make.
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)


def locked() -> bool:
    """Whether sshd refuses this account unless PAM decides: a root password that begins with '!'."""
    try:
        with open("/etc/shadow", encoding="utf-8", errors="replace") as shadow:
            entry = next((line for line in shadow if line.startswith(f"{getpass.getuser()}:")), "::")
    except PermissionError:
        return False  # sshd as an ordinary user cannot read it either
    return entry.split(":")[1].startswith("!")
