"""What a person types in the playground: a shell in the world's folder, where shiftctl, shiftd, releases and hosts have short names.

The file `env` makes it so of any shell that reads it. docs/releases.md and docs/hosts.md are typed in such a shell, and
tests/playground/walk_test.py types them.
"""

import pathlib
import shlex
import signal
import time

import processes
import releases
from daemon import BUILD

PROGRAMS = pathlib.Path(__file__).resolve().parents[1] / "hosts"  # shiftd-only and shiftd-boot-gate
SHARES = (10, 100)  # per cent, of the two stages of a rollout

ENV = """\
# For a shell in the playground:  . {folder}/env
cd {folder}
PATH={build}:{programs}:$PATH
export SHIFTD_SOCKET={folder}/shiftd.sock
ENTRANCE=http://127.0.0.1:{port}/  # where the users come in
ssh() {{ command ssh -F {folder}/ssh_config "$@"; }}
PS1='playground$ '
"""

SSH_CONFIG = """\
Host {name}
  HostName {address}
  Port {port}
"""
SSH_CONFIG_OF_ALL = """\
Host *
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


def gate(daemon, host, **other) -> str:
    """What conf/hosts/shiftd-boot-gate reads on that host."""
    values = {
        "service": "web", "host": host.name, "path": host.base, "url": f"http://127.0.0.1:{daemon.port}",
        "token_file": daemon.folder / "desired-token", **other,
    }
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def furnish(world, daemon) -> pathlib.Path:
    """Writes what the shell needs into the world's folder; the file that it reads."""
    folder, fleet = world.folder, world.fleet
    hosts = "".join(SSH_CONFIG.format(name=host.name, address=host.address, port=host.ssh_port) for host in fleet.hosts)
    (folder / "ssh_config").write_text(hosts + SSH_CONFIG_OF_ALL.format(user=fleet.user, folder=folder))
    releases.write_greeting(folder / "greeting", folder / "hosts")
    for host in fleet.hosts:
        (host.home / "gate").write_text(gate(daemon, host))
    names = {"folder": folder, "build": BUILD, "programs": PROGRAMS}
    env = folder / "env"
    env.write_text(ENV.format(port=world.balancer.port, **{name: shlex.quote(str(path)) for name, path in names.items()}))
    return env


def words(release: releases.Release) -> list:
    """As Release.words, for who is in the folder."""
    code = ["--code", release.tarball.name] if release.tarball else []
    configuration = ["--config", pathlib.Path(release.config).name] if release.config else []
    return ["--release", release.name, *code, *configuration]


def serve(env: pathlib.Path):
    """A shell on our own terminal, until its person leaves it."""
    shell = processes.fork(["bash", "--rcfile", env, "-i"], stdin=None, start_new_session=False)
    try:
        # In slices, as in how_to_play.
        while shell.poll() is None:
            time.sleep(0.1)
    finally:
        if shell.poll() is None:
            shell.send_signal(signal.SIGHUP)  # which gives the terminal back; it does not listen to SIGTERM
            shell.wait()
