"""Release tarballs 1, 2 and 3 of the playground's service.

The same content always gives the same bytes, and so the same sha256: no times, owners or order of the file system.
"""

import dataclasses
import gzip
import hashlib
import io
import pathlib
import tarfile

SERVER = pathlib.Path(__file__).parent / "app" / "server.py"
KINDS_OF_BAD = ("5xx", "crash", "hang")
DEAD = "dead"  # it does not even start: no canary ever serves it


@dataclasses.dataclass(frozen=True)
class Release:
    name: str
    digest: str  # sha256 of the tarball, hex
    tarball: pathlib.Path


def pack(name: str, folder: pathlib.Path, bad: str = "") -> Release:
    if bad and bad not in (*KINDS_OF_BAD, DEAD):
        raise ValueError(f"a release is bad in one of these ways: {', '.join((*KINDS_OF_BAD, DEAD))}; not '{bad}'")
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
