"""The checkpoints of one run: saved whole, read back newest first, old ones removed. A run resumes from what is here.

A name `step-00001234` is a checkpoint; hidden names are what a crash left; all others are not looked at, and no link
is followed. Nothing is removed but hidden leftovers and checkpoints of this run older than `keep` good ones.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import CheckpointWarning, RunError, StorageError
from ..storage.folders import remove_folder, rename
from .identity import Difference, allowed_differences, plain, run_id
from .snapshot import FILES, Checkpoint, Snapshot, demand_same, demand_values, read_checkpoint, write_checkpoint

__all__ = ["Checkpoints", "Snapshot", "demand_same", "demand_values"]

NAME = re.compile(r"step-([0-9]{8,})")
LEFTOVER = re.compile(r"\.step-[0-9]{8,}\.[0-9]+\.[0-9a-f]{8}\.tmp")


class Checkpoints:
    """The folder of a run's checkpoints. One process may use it at a time: see runs/lock.py.

    differences: what the run that `newest` gave was made with and is not so now; empty unless `allow_inexact`.
    """

    def __init__(
        self, folder: str | Path, identity: dict[str, Any], *, keep: int = 2, allow_inexact: bool = False
    ) -> None:
        """
        identity: what must be the same for an exact resume, as JSON: "versions", "threads", "world_size" and "device"
        may differ where `allow_inexact`; all others, such as "settings" and "data", never.
        keep: so many of the newest good checkpoints stay, at least 2.
        """
        if keep < 2:
            raise ValueError(f"keep is {keep}: with fewer than 2, one damaged file loses the run")
        self.folder = Path(folder)
        self.differences: tuple[Difference, ...] = ()
        self._identity = plain(identity)
        self._run = run_id(self._identity)
        self._keep = keep
        self._allow_inexact = allow_inexact

    def save(self, step: int, snapshot: Snapshot) -> Path:
        """Write the state after `step` steps; when this returns, it survives a loss of power. Returns its folder.

        A good checkpoint of the same step is left as it is: it has the same state. Anything else of that name is
        set aside, not removed. Raises NumericsError (K9) for NaN or infinity and StorageError (D1) where it cannot be
        written: the ones before are untouched. Warns (K13) where an old one cannot be removed.
        """
        if step < 0:
            raise ValueError(f"step is {step}: steps are counted from 0")
        target = self.folder / f"step-{step:08d}"
        if self._good(target):
            return target
        if target.exists() or target.is_symlink():
            rename(target, _aside(target))
        write_checkpoint(target, Checkpoint(step, self._identity, snapshot))
        read_checkpoint(target)  # before any other is removed
        self._remove_old(step)
        return target

    def newest(self) -> tuple[int, Snapshot] | None:
        """Step and state of the newest good checkpoint; None where there is none at all.

        Warns (K1) of each newer one that is passed over, with the reason. Raises RunError where all are damaged (K5) or
        one is of another format (K6), and ConfigError (C12) where the identity differs. Removes nothing.
        """
        damaged, foreign = [], []
        for step, folder in self._found():
            try:
                checkpoint = read_checkpoint(folder)
                if checkpoint.step != step:
                    raise RunError("K4", f"it is the checkpoint of step {checkpoint.step}", where=folder)
            except RunError as error:
                if error.code == "FL-K6":
                    raise
                damaged.append(f"{folder.name} ({_short(error, self.folder)})")
                continue
            if checkpoint.run != self._run:
                foreign.append((folder, checkpoint.identity))
                continue
            strangers = [f"{place.name} (FL-K4 of a run with other settings or data)" for place, _ in foreign]
            _warn_of([*damaged, *strangers], folder.name)
            self.differences = self._differences(checkpoint.identity, folder)
            return step, checkpoint.snapshot
        if foreign:
            self._differences(foreign[0][1], foreign[0][0])
        if damaged:
            raise RunError(
                "K5",
                f"no checkpoint can be used: {', '.join(damaged)}",
                where=self.folder,
                do="nothing was removed: restore one from a copy, or start a new run in another folder",
            )
        return None

    def demand_same(self, identity: dict[str, Any], where: Path) -> None:
        """Of a run without a checkpoint: raise ConfigError (C12) where it was begun with another identity."""
        self.differences = self._differences(identity, where)

    def made_with(self) -> dict[str, Any] | None:
        """Identity of the newest checkpoint that can be read; None without one. Warns of nothing, refuses nothing."""
        for _, folder in self._found():
            with suppress(RunError):
                return read_checkpoint(folder).identity
        return None

    def remove_all(self) -> None:
        """Take away what `save` wrote: for a run that has ended and is sealed. Anything else in the folder stays."""
        for folder in [*(folder for _, folder in self._found()), *self._leftovers()]:
            if not folder.is_symlink() and _only_ours(folder):
                remove_folder(folder)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            remove_folder(self.folder)

    def _differences(self, identity: dict[str, Any], folder: Path) -> tuple[Difference, ...]:
        return allowed_differences(identity, self._identity, allow_inexact=self._allow_inexact, where=folder)

    def _found(self) -> list[tuple[int, Path]]:
        """(step, folder) of everything that is named like a checkpoint, newest first."""
        if not self.folder.is_dir():
            return []
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)

    def _leftovers(self) -> list[Path]:
        """Hidden folders that a kill left."""
        inside = self.folder.iterdir() if self.folder.is_dir() else ()
        return [path for path in inside if LEFTOVER.fullmatch(path.name) and not path.is_symlink()]

    def _good(self, folder: Path) -> bool:
        """Whether it is a whole checkpoint of this run and of the step in its name."""
        try:
            checkpoint = read_checkpoint(folder)
        except RunError:
            return False
        return checkpoint.run == self._run and f"step-{checkpoint.step:08d}" == folder.name

    def _remove_old(self, saved: int) -> None:
        """Remove hidden leftovers, and what is older than `keep` good ones. The one just saved is one of these."""
        good = 0
        old = []
        for step, folder in self._found():
            if step <= saved and good >= self._keep:
                old.append(folder)
            elif step == saved or (step < saved and self._good(folder)):
                good += 1
        old = [folder for folder in old if not folder.is_symlink() and _only_ours(folder)]
        old += self._leftovers()
        for folder in old:
            try:
                remove_folder(folder)
            except StorageError as error:  # the new one is safe: no reason to stop
                text = f"FL-K13 an old checkpoint could not be removed ({error})"
                warnings.warn(text, CheckpointWarning, stacklevel=3)


def _short(error: RunError, folder: Path) -> str:
    """The error with paths relative to the folder of all checkpoints, which its reader is told anyway."""
    return str(error).replace(f"{folder}{os.sep}", "")


def _only_ours(folder: Path) -> bool:
    return folder.is_dir() and {path.name for path in folder.iterdir()} <= set(FILES)


def _aside(folder: Path) -> Path:
    """The first of NAME.set-aside, NAME.set-aside-2, ... that does not exist."""
    number, path = 1, folder.with_name(f"{folder.name}.set-aside")
    while path.exists() or path.is_symlink():
        number += 1
        path = folder.with_name(f"{folder.name}.set-aside-{number}")
    return path


def _warn_of(passed_over: list[str], instead: str) -> None:
    for one in passed_over:
        text = f"FL-K1 a checkpoint was passed over: {one}; the run goes on from {instead}, nothing was removed"
        warnings.warn(text, CheckpointWarning, stacklevel=4)
