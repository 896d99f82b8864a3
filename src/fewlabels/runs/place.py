"""The place of a run: what is there already, and on what kind of file system it is."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

from ..errors import InputWarning

MOUNTS = Path("/proc/self/mountinfo")  # Linux; others are not asked
NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "beegfs", "fuse.sshfs"}


def free_name(wanted: str | Path) -> Path:
    """`wanted`, or the first of wanted-2, wanted-3, ... that does not exist yet."""
    base, number = Path(wanted), 2
    path = base
    while path.exists():
        path = base.with_name(f"{base.name}-{number}")
        number += 1
    return path


def warn_of_network(folder: str | Path) -> None:
    """InputWarning (D8) where the folder is on a file system of another machine."""
    kind = kind_of(Path(folder).resolve())
    if kind in NETWORK:
        what = f"FL-D8 {folder} is on a network file system ({kind}): what was flushed may get lost with it"
        warnings.warn(InputWarning(f"{what}, and locks may not hold: keep the run on a local disk"), stacklevel=3)


def kind_of(folder: Path) -> str:
    """The kind of the file system that an absolute path is on, such as ext4; empty where the system does not say."""
    try:
        lines = MOUNTS.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    found = Path(), ""
    for line in lines:
        place, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place.split()[4]))
        if folder.is_relative_to(point) and len(point.parts) >= len(found[0].parts):  # later ones lie on top
            found = point, rest.split()[0]
    return found[1]


def takes_resume(folder: Path) -> bool:
    """Whether an unfinished run is there that --resume goes on with; one of `propagate` is not."""
    try:
        begun = json.loads((folder / "run.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(begun, dict) and begun.get("kind") != "propagate" and not (folder / "manifest.json").exists()
