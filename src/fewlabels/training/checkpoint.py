"""Checkpoints: one is a folder of three files that appears whole; a run saves them, and resumes from what is whole."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..errors import CheckpointWarning, NumericsError, RunError, StorageError, warn
from ..storage import durable
from ..storage.folders import remove_folder, rename, write_folder
from .identity import Difference, check_differences, run_id, to_plain, walk_leaves

FORMAT = 1
TENSORS, STATE = "tensors.safetensors", "state.json"
FILES = (TENSORS, STATE, durable.MANIFEST)
MOST_MANIFEST = 1 << 16  # bytes of manifest.json
MOST_STATE = 64 << 20  # bytes of state.json
MOST_HEADER = 8 << 20  # bytes of the header of tensors.safetensors, about 80,000 tensors
METADATA = "fewlabels"  # one entry only: safetensors does not keep the order of several
NAME = re.compile(r"step-([0-9]{8,})")
LEFTOVER = re.compile(r"\.step-[0-9]{8,}\.[0-9]+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Snapshot:
    """All that a run needs to go on. tensors: name -> CPU tensor. values: what JSON can hold."""

    tensors: dict[str, torch.Tensor]
    values: dict[str, Any]


@dataclass(frozen=True)
class Checkpoint:
    """A snapshot and where it belongs. step: steps done in the run. identity: see identity.py."""

    step: int
    identity: dict[str, Any]
    snapshot: Snapshot

    @property
    def run(self) -> str:
        return run_id(self.identity)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the folder, whole or not at all.

    Raises NumericsError (K9) for NaN or infinity, TypeError for values that JSON would change, StorageError where the
    folder exists or cannot be written. Nothing is left behind then.
    """
    # Copies in memory of their own: safetensors refuses tensors that share theirs.
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in checkpoint.snapshot.tensors.items()}
    if strange := _find_not_finite(tensors):
        what = f"NaN or infinity in the state after step {checkpoint.step}"
        raise NumericsError("K9", what, rows=strange, do="no checkpoint was written; the ones before are untouched")
    origin = {"run": checkpoint.run, "step": checkpoint.step}
    state = {
        "format": FORMAT,
        **origin,
        "identity": checkpoint.identity,
        "tensors": {name: _describe_kind(tensor) for name, tensor in tensors.items()},
        "values": checkpoint.snapshot.values,
    }
    files = {TENSORS: save(tensors, {METADATA: json.dumps(origin)}), STATE: _encode(state)}
    with write_folder(folder) as hidden:
        for name, data in files.items():
            durable.write_bytes(hidden / name, data)
        with durable.storage_errors(hidden):
            durable.write_manifest(hidden, **origin)
        expected = {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()}
        if durable.read_manifest(hidden).files != expected:
            raise RunError("K2", "the disk gives back other bytes than were written", where=folder, do="check the disk")


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read the folder, or raise RunError with the reason why it must not be used. Nothing is changed.

    K2: damaged. K4: no manifest, or parts of different runs or steps. K6: of another format. K8: a file that this
    module did not write, though its hash is right. K9: NaN or infinity. K10: tensors that are missing.
    """
    manifest = _read_manifest(folder)
    state = _parse_state(folder / STATE, _read_verified(folder / STATE, manifest, MOST_STATE))
    most = _count_bytes(state["tensors"], folder) + MOST_HEADER
    origin, tensors = _parse_tensors(folder / TENSORS, _read_verified(folder / TENSORS, manifest, most))
    found = {TENSORS: origin, STATE: _origin(state), durable.MANIFEST: _origin(manifest.facts)}
    if len(set(found.values())) != 1:
        listed = ", ".join(f"{name}: run {run}, step {step}" for name, (run, step) in found.items())
        raise RunError("K4", f"the files are of different runs or steps ({listed})", where=folder)
    expected = {name: (tuple(shape), kind) for name, (kind, shape) in state["tensors"].items()}
    demand_tensors(tensors, expected, where=folder)
    if strange := _find_not_finite(tensors):
        raise RunError("K9", "NaN or infinity among the tensors", where=folder, rows=strange)
    checkpoint = Checkpoint(state["step"], state["identity"], Snapshot(tensors, state["values"]))
    if checkpoint.run != state["run"]:
        raise RunError("K4", "the run id is not the one of its settings", where=folder)
    return checkpoint


def demand_tensors(
    tensors: Mapping[str, torch.Tensor],
    expected: Mapping[str, tuple[tuple[int, ...], torch.dtype | str]],
    *,
    where: object = None,
) -> None:
    """Raise RunError unless the tensors are exactly the expected ones; the first five at fault are named.

    expected: name -> (shape, dtype). K10: one is missing. K7: one has another shape or dtype, or nobody asked for it.
    """
    if missing := [name for name in expected if name not in tensors]:
        raise RunError("K10", "tensors are missing from the checkpoint", where=where, rows=missing)
    other = [f"{name}: nobody asked for it" for name in tensors if name not in expected]
    for name, (shape, dtype) in expected.items():
        there, now = _describe_kind(tensors[name]), [_dtype_name(dtype), list(shape)]
        if there != now:
            other.append(f"{name}: {there[0]} {there[1]} there, {now[0]} {now[1]} now")
    if other:
        raise RunError("K7", "the checkpoint is of another network or method", where=where, rows=other)


def _find_not_finite(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    numbers = (item for item in tensors.items() if item[1].is_floating_point() or item[1].is_complex())
    return [name for name, tensor in numbers if not bool(torch.isfinite(tensor).all())]


def _dtype_name(dtype: torch.dtype | str) -> str:
    return str(dtype).removeprefix("torch.")


def _describe_kind(tensor: torch.Tensor) -> list[Any]:
    return [_dtype_name(tensor.dtype), list(tensor.shape)]


def _encode(state: dict[str, Any]) -> bytes:
    """Bytes that give back exactly these values: floats are written by repr. Raises for any that would change."""
    try:
        text = json.dumps(state, allow_nan=False, ensure_ascii=False)
    except ValueError as error:
        strange = [key for key, text in walk_leaves(state) if text in ("NaN", "Infinity", "-Infinity")]
        raise NumericsError("K9", "NaN or infinity among the values", rows=strange, do="write None instead") from error
    if json.loads(text) != state:
        raise TypeError("values must be what JSON gives back: lists, no tuples, and texts as keys")
    if len(text) > MOST_STATE // 4:  # a character has 4 bytes at most
        raise ValueError(f"values of {len(text)} characters: large ones belong into tensors")
    return text.encode()


def _read_manifest(folder: Path) -> durable.Manifest:
    if folder.is_symlink():
        raise RunError("K4", "a link, not a folder; links are not followed", where=folder)
    path = folder / durable.MANIFEST
    with _read_errors(path, missing="no manifest: the checkpoint is not complete"):
        if _measure(path) > MOST_MANIFEST:
            raise RunError("K4", f"the manifest is larger than {MOST_MANIFEST} bytes", where=folder)
        try:
            manifest = durable.read_manifest(folder)
        except RunError as error:  # the manifest has no hash: another format may be a flipped bit, and is no K6
            raise RunError("K4", f"the manifest cannot be used ({error})") from error
    if sorted(manifest.files) != sorted((TENSORS, STATE)):
        raise RunError("K4", "the manifest is not one of a checkpoint", where=folder)
    return manifest


@contextmanager
def _read_errors(path: Path, *, missing: str) -> Iterator[None]:
    """What cannot be read is damaged (K2), whatever the reason."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunError("K4" if path.name == durable.MANIFEST else "K2", missing, where=path) from error
    except OSError as error:
        raise RunError("K2", f"cannot be read: {error.strerror or error}", where=path) from error


def _measure(path: Path) -> int:
    """Bytes of a plain file. Raises RunError (K2) for links, folders, pipes: nothing is followed or waited for."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise RunError("K2", "not a plain file", where=path)
    return found.st_size


def _read_verified(path: Path, manifest: durable.Manifest, most: int) -> bytes:
    """The file's bytes, when size and SHA-256 are as the manifest says; not read where the size is above `most`."""
    size, digest = manifest.files[path.name]
    with _read_errors(path, missing="missing"):
        found = _measure(path)
        if found != size:
            raise RunError("K2", f"{found} bytes, {size} expected", where=path)
        if size > most:
            raise RunError("K8", f"{size} bytes, at most {most} expected", where=path)
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise RunError("K2", "content changed (SHA-256 differs)", where=path)
    return data


def _parse_state(path: Path, data: bytes) -> dict[str, Any]:
    try:
        state = json.loads(data)
        version = state["format"]
        if version == FORMAT:
            parts = {"run": str, "step": int, "identity": dict, "tensors": dict, "values": dict}
            if wrong := [name for name, kind in parts.items() if not isinstance(state[name], kind)]:
                raise ValueError(f"{', '.join(wrong)} of another type")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError("K8", f"not the state of a checkpoint ({error})", where=path) from error
    if version != FORMAT:
        what = f"a checkpoint of format {version}, this version reads {FORMAT}"
        raise RunError("K6", what, where=path, do="go on with the version that wrote it")
    return dict(state)


def _count_bytes(kinds: dict[str, Any], folder: Path) -> int:
    """Bytes of all tensors that state.json names."""
    try:
        return sum(math.prod(map(int, shape)) * getattr(torch, kind).itemsize for kind, shape in kinds.values())
    except (ValueError, TypeError, AttributeError) as error:
        raise RunError("K8", f"not a table of tensors ({error})", where=folder / STATE) from error


def _parse_tensors(path: Path, data: bytes) -> tuple[tuple[str, str], dict[str, torch.Tensor]]:
    """((run, step), tensors) of a safetensors file, whose header is measured before it is parsed."""
    length = int.from_bytes(data[:8], "little")
    if length > min(MOST_HEADER, len(data)):
        raise RunError("K8", f"a header of {length} bytes", where=path)
    try:
        origin = _origin(json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA]))
        return origin, load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError("K8", f"not tensors of a checkpoint ({error})", where=path) from error


def _origin(facts: Mapping[str, Any]) -> tuple[str, str]:
    """Run and step, as texts: what a damaged file says may be of any type."""
    return str(facts.get("run")), str(facts.get("step"))


class Checkpoints:
    """The folder of a run's checkpoints. One process may use it at a time: see storage/lock.py.

    differences: what the run that `read_newest` gave was made with and is not so now; empty unless `allow_inexact`.
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
        self._identity = to_plain(identity)
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
        if self._is_good(target):
            return target
        if target.exists() or target.is_symlink():
            rename(target, _free_name_aside(target))
        write_checkpoint(target, Checkpoint(step, self._identity, snapshot))
        read_checkpoint(target)  # before any other is removed
        self._remove_old(step)
        return target

    def read_newest(self) -> tuple[int, Snapshot] | None:
        """Read the newest good checkpoint: its step and state; None where there is none at all.

        Warns (K1) of each newer one that is passed over, with the reason. Raises RunError where all are damaged (K5) or
        one is of another format (K6), and ConfigError (C12) where the identity differs. Removes nothing.
        """
        damaged, foreign = [], []
        for step, folder in self._list_found():
            try:
                checkpoint = read_checkpoint(folder)
                if checkpoint.step != step:
                    raise RunError("K4", f"it is the checkpoint of step {checkpoint.step}", where=folder)
            except RunError as error:
                if error.code == "FL-K6":
                    raise
                reason = str(error).replace(f"{self.folder}{os.sep}", "")  # which the reader is told anyway
                damaged.append(f"{folder.name} ({reason})")
                continue
            if checkpoint.run != self._run:
                foreign.append((folder, checkpoint.identity))
                continue
            strangers = [f"{other.name} (FL-K4 of a run with other settings or data)" for other, _ in foreign]
            _warn_of_damage([*damaged, *strangers], folder.name)
            self.differences = self._check_differences(checkpoint.identity, folder)
            return step, checkpoint.snapshot
        if foreign:
            self._check_differences(foreign[0][1], foreign[0][0])
        if damaged:
            raise RunError(
                "K5",
                f"no checkpoint can be used: {', '.join(damaged)}",
                where=self.folder,
                do="nothing was removed: restore one from a copy, or start a new run in another folder",
            )
        return None

    def check_identity(self, identity: dict[str, Any], where: Path) -> None:
        """For a run without a checkpoint: raise ConfigError (C12) where it was begun with another identity."""
        self.differences = self._check_differences(identity, where)

    def read_identity(self) -> dict[str, Any] | None:
        """Identity of the newest checkpoint that can be read; None without one. Warns of nothing, refuses nothing."""
        for _, folder in self._list_found():
            with suppress(RunError):
                return read_checkpoint(folder).identity
        return None

    def remove_all(self) -> None:
        """Take away what `save` wrote: for a run that has ended and is sealed. Anything else in the folder stays."""
        for folder in [*_removable(folder for _, folder in self._list_found()), *self._list_leftovers()]:
            remove_folder(folder)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            remove_folder(self.folder)

    def _check_differences(self, identity: dict[str, Any], folder: Path) -> tuple[Difference, ...]:
        return check_differences(identity, self._identity, allow_inexact=self._allow_inexact, where=folder)

    def _list_found(self) -> list[tuple[int, Path]]:
        """(step, folder) of everything that is named like a checkpoint, newest first."""
        if not self.folder.is_dir():
            return []
        matches = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted(((int(match[1]), path) for match, path in matches if match), reverse=True)

    def _list_leftovers(self) -> list[Path]:
        """Hidden folders that a kill left, with whole files or parts of them."""
        inside = self.folder.iterdir() if self.folder.is_dir() else ()
        named = [path for path in inside if LEFTOVER.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
        return [path for path in named if all(one.is_file() for one in path.iterdir())]

    def _is_good(self, folder: Path) -> bool:
        """Whether it is a whole checkpoint of this run and of the step in its name."""
        try:
            checkpoint = read_checkpoint(folder)
        except RunError:
            return False
        return checkpoint.run == self._run and f"step-{checkpoint.step:08d}" == folder.name

    def _remove_old(self, saved: int) -> None:
        """Remove hidden leftovers, and what is older than `keep` good ones. The one just saved is one of these."""
        good, old = 0, []
        for step, folder in self._list_found():
            if step <= saved and good >= self._keep:
                old.append(folder)
            elif step == saved or (step < saved and self._is_good(folder)):
                good += 1
        for folder in [*_removable(old), *self._list_leftovers()]:
            try:
                remove_folder(folder)
            except StorageError as error:  # the new one is safe: no reason to stop
                warn(CheckpointWarning(f"FL-K13 an old checkpoint could not be removed ({error})"))


def _removable(folders: Iterable[Path]) -> list[Path]:
    """Those of them that hold what `save` wrote and nothing else."""
    real = [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]
    return [folder for folder in real if {path.name for path in folder.iterdir()} <= set(FILES)]


def _free_name_aside(folder: Path) -> Path:
    """The first of NAME.set-aside, NAME.set-aside-2, ... that does not exist."""
    number, path = 1, folder.with_name(f"{folder.name}.set-aside")
    while path.exists() or path.is_symlink():
        number += 1
        path = folder.with_name(f"{folder.name}.set-aside-{number}")
    return path


def _warn_of_damage(passed_over: list[str], instead: str) -> None:
    for one in passed_over:
        text = f"FL-K1 a checkpoint was passed over: {one}; the run goes on from {instead}, nothing was removed"
        warn(CheckpointWarning(text))
