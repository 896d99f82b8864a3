"""Several runs -> what is the same in them: whether they are repeats, what differs, whose settings are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..runs import Run

DATA = {  # hashes that run.json may have; repeats have the same ones
    "pixels": "pixels",
    "truth": "true labels",
    "test_pixels": "test images",
    "test_truth": "test labels",
    "class_names": "class names",
}
DRAWN = {"labels": "given labels"}  # which a seed may draw


def are_repeats(runs: Sequence[Run]) -> bool:
    """Whether the runs differ by their seed alone, and by the labels that it draws.

    Where a run does not tell hashes of its data, its title is to be that of the others.
    """
    titled = not all(_read_hashes(run) for run in runs)

    each = [(run.kind, {**run.settings, "seed": None}, run.facts.get("title") if titled else None) for run in runs]
    return all(one == each[0] for one in each) and not _make_data_rows(runs, DATA, [""] * len(runs))


def find_doubles(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """A warning for each run that is there more than once, of runs that are repeats."""
    groups: list[list[int]] = []
    for place, run in enumerate(runs):
        alike = next((group for group in groups if _is_same(runs[group[0]], run)), None)
        if alike is None:
            groups.append([place])
        else:
            alike.append(place)
    return [_describe_double([names[place] for place in group]) for group in groups if len(group) > 1]


def _describe_double(names: Sequence[str]) -> str:
    times = "twice" if len(names) == 2 else f"{len(names)} times"
    return (
        f"{', '.join(names[:-1])} and {names[-1]} are one run {times}, with the same seed, settings and data: "
        "the standard deviation says nothing of the spread. Repeat it with another seed."
    )


def _is_same(one: Run, other: Run) -> bool:
    """Of repeats: whether the seed is the same, and the data, given labels and all, as far as both tell."""
    if one.settings.get("seed") != other.settings.get("seed"):
        return False
    mine, its = _read_hashes(one), _read_hashes(other)
    return mine == its if mine and its else _list_inputs(one) == _list_inputs(other)


def find_differences(runs: Sequence[Run], names: Sequence[str]) -> list[list[str]]:
    """Inputs, data and settings that are not equal in all runs, seeds left out: header, then a row for each."""
    titled = not all(_read_hashes(run) for run in runs)
    each = [_list_inputs(run, titled=titled) | dict(_flatten(run.settings)) for run in runs]
    keys = dict.fromkeys(key for values in each for key in values if key != "seed")
    unequal = [key for key in keys if any(key not in values or values[key] != each[0].get(key) for values in each)]
    rows = [[key, *(str(values.get(key, "-")) for values in each)] for key in unequal]
    return [["what", *names], *_make_data_rows(runs, DATA | DRAWN, names), *rows]


def _read_hashes(run: Run) -> dict[str, Any]:
    """Hashes of the data; none where run.json does not have them."""
    return dict((run.facts.get("identity") or {}).get("data") or {})


def _make_data_rows(runs: Sequence[Run], parts: Mapping[str, str], names: Sequence[str]) -> list[list[str]]:
    """A row for each part of the data that is known not to be the same in all runs."""
    each = [_read_hashes(run) for run in runs]
    unequal = [key for key in parts if len({values[key] for values in each if key in values}) > 1]
    return [[f"data: {parts[key]}", *_describe_hashes([one.get(key, "") for one in each], names)] for key in unequal]


def _describe_hashes(hashes: Sequence[str | None], names: Sequence[str]) -> list[str]:
    """In words: a hash says nothing to a reader. None: there is no such data. "": it is not known."""
    words = []
    for place, value in enumerate(hashes):
        if not value:
            words.append("none" if value is None else "not recorded")
        elif value in hashes[:place]:
            words.append(f"same as {names[hashes.index(value)]}")
        else:
            words.append("other" if any(hashes[:place]) else "its own")
    return words


def _list_inputs(run: Run, *, titled: bool = False) -> dict[str, object]:
    source, start = run.facts.get("source") or {}, run.facts.get("continued_from") or {}
    named = {"kind": run.kind, "title": run.facts.get("title") if titled else None, "data": source.get("path")}
    named |= {"labels": source.get("labels"), "continued from": start.get("run")}
    return {name: value for name, value in named.items() if value}


def merge_settings(runs: Sequence[Run], names: Sequence[str], repeats: bool) -> tuple[str, list[tuple[str, str]]]:
    """A heading that says whose they are, and the settings of the first run, with the seeds of all."""
    rows = [(name, str(value)) for name, value in _flatten(runs[0].settings)]
    if len(runs) == 1:
        return "Settings", rows
    seeds = [str(run.settings.get("seed")) for run in runs]
    rows = [(key, _of_each(seeds, names) if key == "seed" else value) for key, value in rows]
    if repeats:
        return f"Settings, the same in all runs{' but for the seed' if len(set(seeds)) > 1 else ''}", rows
    return f"Settings of {names[0]}; those that differ are above", rows


def merge_versions(runs: Sequence[Run], names: Sequence[str]) -> list[tuple[str, str]]:
    """Versions that the runs were made with; where they are not the same, those of each run."""
    each = [run.facts["versions"] for run in runs]
    keys = dict.fromkeys(key for versions in each for key in versions)
    return [(key, _of_each([str(versions.get(key, "-")) for versions in each], names)) for key in keys]


def _of_each(values: Sequence[str], names: Sequence[str]) -> str:
    """The value that all runs share, or that of each with its name."""
    if len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{value} ({name})" for value, name in zip(values, names, strict=True))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    """Nested settings as (dotted name, value)."""
    rows: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            rows += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            rows += [row for place, item in enumerate(value) for row in _flatten(item, f"{prefix}{key}[{place}].")]
        else:
            rows.append((prefix + key, value))
    return rows
