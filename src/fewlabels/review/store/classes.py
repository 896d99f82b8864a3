"""The classes of a review: made, renamed and merged while people answer. A class's number never changes.

Answers name a class by its key, which is what it was called when it was made. So a new name or a merge changes no
answer, and an undo of it brings back what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

LONGEST_NAME = 200
Action = Literal["class", "rename", "merge"]


@dataclass(frozen=True)
class Class:
    """One class. key: what answers call it. name: what people call it. former: names that it had before.

    merged_into: number of the class that its rows belong to; None for itself. gone: whether its making was undone.
    base: the event whose state this is; an older one after an undo, 0 for a class that came with the run.
    """

    number: int
    key: str
    name: str
    merged_into: int | None = None
    gone: bool = False
    base: int = 0
    former: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether rows can be labelled with it."""
        return self.merged_into is None and not self.gone

    @property
    def state(self) -> tuple[str, int | None, bool]:
        """What an event changes of it."""
        return self.name, self.merged_into, self.gone


@dataclass(frozen=True)
class ClassChange:
    """What a person asks of the list of classes. name: of a class to make, or the new name. key, into: of classes."""

    action: Action
    name: str = ""
    key: str = ""
    into: str = ""


class Clash(Exception):
    """The list of classes is no longer as the person saw it; the text says how."""


@dataclass(frozen=True)
class ClassList:
    """The classes at one moment, by number. Never changed afterwards, so any thread may read it."""

    classes: tuple[Class, ...] = ()

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def names(self) -> tuple[str | None, ...]:
        """Of each number; None for a class that was merged into another, or whose making was undone."""
        return tuple(one.name if one.is_live else None for one in self.classes)

    @property
    def live_names(self) -> list[str]:
        """Names of the classes that rows can be labelled with, by number."""
        return [name for name in self.names if name is not None]

    @cached_property
    def stands_for(self) -> tuple[int, ...]:
        """Of each number that of the class which its rows belong to by now; -1 for one whose making was undone."""
        return tuple(self._follow(one.number) for one in self.classes)

    @cached_property
    def _by_key(self) -> dict[str, int]:
        return {one.key: one.number for one in self.classes}

    @cached_property
    def _by_name(self) -> dict[str, int]:
        """Names that classes have, before names that they had: a page may not have heard of the newest."""
        former = {name: one.number for one in self.classes for name in one.former}
        return former | {one.name: one.number for one in self.classes} | {n: i for i, n in enumerate(self.names) if n}

    def number_of(self, key: str) -> int:
        """The number of the class that answers call by this key."""
        return self._by_key[key]

    def find_key(self, key: str) -> int | None:
        """The same; None where there is no such class."""
        return self._by_key.get(key)

    def name_of(self, number: int) -> str | None:
        """What the rows of a class are called by now; None for -1."""
        return self.names[self.stands_for[number]] if number >= 0 and self.stands_for[number] >= 0 else None

    def find(self, name: str) -> Class | None:
        """The class that a name means: it has the name, or had it. None where there is no such class any more."""
        number = self._by_name.get(name)
        place = -1 if number is None else self.stands_for[number]
        return self.classes[place] if place >= 0 else None

    def _follow(self, number: int) -> int:
        one = self.classes[number]
        while one.merged_into is not None:
            one = self.classes[one.merged_into]
        return -1 if one.gone else one.number

    def replaced(self, one: Class) -> ClassList:
        """With another state of one class, or with one more at the end."""
        return ClassList((*self.classes[: one.number], one, *self.classes[one.number + 1 :]))

    def carry_out(self, change: ClassChange, event: int) -> Class:
        """The class as a change leaves it. Raises Clash where the list of classes does not allow it."""
        if change.action == "class":
            return self._make(self._free(change.name), event)
        one = self._demand(change.key)
        if change.action == "rename":
            return restate(one, (self._free(change.name), None, False), event)
        other = self._demand(change.into)
        if other.number == one.number:
            raise Clash(f"{one.name!r} cannot be merged into itself")
        return restate(one, (one.name, other.number, False), event)

    def take_back(self, undone: Class, before: Class) -> Class:
        """The class as it was before an event. undone: as that event left it. Raises Clash where it changed since."""
        now = self.classes[undone.number]
        if now.base != undone.base:
            raise Clash(f"the class {now.name!r} has been changed again since")
        if before.is_live and self.names.count(before.name) > (now.is_live and now.name == before.name):
            raise Clash(f"another class is called {before.name!r} by now")
        return restate(now, before.state, before.base)

    def _make(self, name: str, event: int) -> Class:
        number = len(self.classes)
        key = name if name not in self._by_key else f"{name} #{number}"
        while key in self._by_key:
            key += "'"
        return Class(number, key, name, base=event)

    def _free(self, name: str) -> str:
        if name in self.names:
            raise Clash(f"there is a class {name!r} already")
        return name

    def _demand(self, key: str) -> Class:
        number = self._by_key.get(key)
        if number is None or not self.classes[number].is_live:
            raise Clash("the class is no longer there: it was merged into another, or its making was undone")
        return self.classes[number]


def restate(one: Class, state: tuple[str, int | None, bool], base: int) -> Class:
    """The class in another state; the name it had is one of its former ones."""
    name, merged_into, gone = state
    former = one.former if name == one.name or one.name in one.former else (*one.former, one.name)
    return replace(one, name=name, merged_into=merged_into, gone=gone, base=base, former=former)


def found_classes(names: Sequence[str]) -> ClassList:
    """The classes that came with the run."""
    return ClassList(tuple(Class(number, name, name) for number, name in enumerate(names)))
