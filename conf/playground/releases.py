"""Releases 1, 2 and 3 of the playground's service: tarballs, configurations, or both.

The same content always gives the same bytes, and so the same sha256: no times, owners or order of the file system.
"""

import dataclasses
import gzip
import hashlib
import io
import pathlib
import tarfile

SERVER = pathlib.Path(__file__).parent / "app" / "server.py"
KINDS_OF_BAD = ("5xx", "crash", "hang", "dead")  # the last one does not even start: no canary ever serves it


@dataclasses.dataclass(frozen=True)
class Release:
    name: str
    digest: str  # of the tarball, hex; with a configuration <tarball>-<configuration>
    tarball: pathlib.Path
    config: object = None  # a directory, or "none": what stood there before any comes back

    def words(self) -> list:
        """What `shiftctl start` is told of it."""
        words = ["--release", self.name]
        if self.tarball:
            words += ["--code", self.tarball, "--sha256", self.digest[:64]]
        return words + (["--config", self.config] if self.config else [])


def pack(name: str, folder: pathlib.Path, bad: str = "") -> Release:
    if bad and bad not in KINDS_OF_BAD:
        raise ValueError(f"a release is bad in one of these ways: {', '.join(KINDS_OF_BAD)}; not '{bad}'")
    files = {"server.py": SERVER.read_bytes(), "release": f"{name}\n".encode("ascii")}
    if bad:
        files["bad"] = f"{bad}\n".encode("ascii")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(archive.getvalue(), mtime=0)
    tarball = folder / f"web-{name}.tar.gz"
    tarball.write_bytes(packed)
    return Release(name, hashlib.sha256(packed).hexdigest(), tarball)


MANIFEST = """\
files:
  - {{template: web.conf.mustache, path: "{hosts}/{{{{host}}}}/web.conf", mode: "0640", validate: "grep -q '^release' {{{{file}}}}"}}
vars: vars.yaml
"""
TEMPLATE = """\
release {{release}}
code {{code}}
{{#bad}}bad {{.}}{{/bad}}
"""


def configure(name: str, code: Release, folder: pathlib.Path, alone: bool, bad: str = "") -> Release:
    """A release of a configuration for `code`: with it, or `alone` for hosts that have the code already."""
    config = folder / f"config-{name}"
    config.mkdir()
    files = {
        "manifest.yaml": MANIFEST.format(hosts=folder / "hosts"),
        "vars.yaml": f"all: {{release: \"{name}\", code: \"{code.name}\", bad: {bad or 'false'}}}\n",
        "web.conf.mustache": TEMPLATE,
    }
    # As shiftd's docs/releases.md says: over the names and bytes of all of them.
    digest = hashlib.sha256(b"shiftd configuration 1\n")
    for path, content in sorted(files.items()):
        (config / path).write_text(content)
        digest.update(f"{path} {len(content)}\n{content}".encode())
    return Release(name, f"{code.digest}-{digest.hexdigest()}", None if alone else code.tarball, config)


GREETING = {
    "manifest.yaml": """\
files:
  - template: web.conf.mustache
    path: HOSTS/{{host}}/web.conf
    mode: "0640"
    validate: grep -q ^greeting {{file}}
vars: vars.yaml
schema: schema.yaml
""",
    "schema.yaml": "greeting: text\n",
    "vars.yaml": "all: {greeting: good morning}\nhosts: {web2: {greeting: moin}}\n",
    "web.conf.mustache": "greeting {{greeting}}\n",
}


def write_greeting(config: pathlib.Path, hosts: pathlib.Path):
    """A configuration that goes with any code: how the service greets."""
    config.mkdir()
    for path, content in GREETING.items():
        (config / path).write_text(content.replace("HOSTS", str(hosts)))


def releases_of(change: str, folder: pathlib.Path, bad: str) -> dict:
    """1 is what the fleet has; 2 is good; 3 is bad. `change` says what is new in 2 and 3: code, config or both."""
    first = pack("1", folder)
    if change == "code":
        return {release.name: release for release in (first, pack("2", folder), pack("3", folder, bad))}
    first = dataclasses.replace(first, config="none")
    if change == "config":
        return {"1": first, "2": configure("2", first, folder, True), "3": configure("3", first, folder, True, bad)}
    second = configure("2", pack("2", folder), folder, False)
    # What is wrong with it is in its configuration.
    return {"1": first, "2": second, "3": configure("3", pack("3", folder), folder, False, bad)}
