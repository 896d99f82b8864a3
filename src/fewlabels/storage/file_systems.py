"""Whether a folder lies on a network file system, where SQLite's locks and flushes cannot be relied on."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/mounts")  # Linux; elsewhere nothing is known, and nothing refused
NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4"),
    *("ocfs2", "orangefs", "smb3", "smbfs", "virtiofs"),
}
NETWORK_FUSE = ("ceph", "davfs", "gcsfuse", "glusterfs", "juicefs", "rclone", "s3fs", "smbnetfs", "sshfs")


def network_file_system(path: str | os.PathLike[str], mounts: Path = MOUNTS) -> str | None:
    """The type of the network file system that `path` is on, such as "nfs4"; None where it is on none, or unknown."""
    try:
        table = mounts.read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    kind = type_of(os.path.realpath(path), table)
    is_network = kind in NETWORK or kind.removeprefix("fuse.") in NETWORK_FUSE
    return kind if is_network else None


def type_of(path: str, table: str) -> str:
    """The file system type of an absolute path by the lines of /proc/mounts; empty where none covers it.

    The longest mount point wins, and of equal ones the last: it was mounted over the others.
    """
    best, kind = -1, ""
    for line in table.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = _unescaped(words[1])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= best:
            best, kind = len(point), words[2]
    return kind


def _unescaped(text: str) -> str:
    """The kernel writes blanks, tabs, line ends and backslashes of a mount point as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
