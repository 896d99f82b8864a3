"""Network file systems: there neither flushing nor locks can be relied on. A run warns of one, a review refuses it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..errors import InputWarning, warn

MOUNTS = Path("/proc/mounts")  # Linux; elsewhere nothing is known, so nothing is warned of or refused
NETWORK = {  # types as the kernel names them; those of FUSE with "fuse." before them or, as some drivers do, without
    *("9p", "afs", "beegfs", "ceph", "ceph-fuse", "cifs", "coda", "davfs", "gcsfuse", "glusterfs", "gpfs", "juicefs"),
    *("lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "rclone", "s3fs", "smb3", "smbfs", "smbnetfs", "sshfs"),
    "virtiofs",
}


def warn_of_network(folder: str | os.PathLike[str]) -> None:
    """InputWarning (D8) where the folder of a run is on a network file system."""
    if kind := network_file_system(folder):
        what = f"FL-D8 {folder} is on a network file system ({kind}): what was flushed may get lost with it"
        warn(InputWarning(f"{what}, and locks may not hold: keep the run on a local disk"))


def network_file_system(path: str | os.PathLike[str]) -> str | None:
    """The type of the network file system that `path` is on, such as "nfs4"; None where it is on none, or unknown."""
    try:
        table = MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    kind = find_type(os.path.realpath(path), table)
    return kind if kind.removeprefix("fuse.") in NETWORK else None


def find_type(path: str, table: str) -> str:
    """The file system type of an absolute path by the lines of /proc/mounts; empty where none covers it.

    The longest mount point wins, and of equal ones the last: it was mounted over the others.
    """
    best, kind = -1, ""
    for line in table.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = _unescape(words[1])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= best:
            best, kind = len(point), words[2]
    return kind


def _unescape(text: str) -> str:
    """Blanks, tabs, line ends and backslashes of a mount point, which the kernel writes as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
