"""Docstrings of this package as reStructuredText.

They are plain text: `code`, and "name: what it is" for parameters, fields and what a function is handed. Here these
become a list, and the signs that reStructuredText would take for markup lose their meaning.
"""

import inspect
import re
from dataclasses import fields, is_dataclass


def names_of(thing) -> set[str]:
    """Parameters of a function or class, and fields of a dataclass."""
    try:
        found = set(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        found = set()
    if is_dataclass(thing):
        found |= {field.name for field in fields(thing)}
    return found


def restructured(lines: list[str], names: set[str]) -> list[str]:
    """The docstring's lines as reStructuredText; "a, b: text" is an entry of a list where a and b are of `names`."""
    result = []
    for paragraph in re.split(r"\n\s*\n|\n(?=Raises |Warns )", "\n".join(lines).strip()):
        if paragraph.lstrip().startswith(">>>"):
            result += [*paragraph.splitlines(), ""]
            continue
        text = " ".join(paragraph.split())
        for head, body in entries(text, names):
            result += [f"- {head}: {safe(body)}" if head else safe(body)]
            if not head:
                result.append("")
        result.append("")
    return result


def entries(text: str, names: set[str]) -> list[tuple[str, str]]:
    """("``a``, ``b``", what stands after it) for each entry; ("", text) for text that belongs to none."""
    pieces = re.split(r"(?:^|(?<=[.;?)] ))((?:\w+, )*\w+): ", text)
    found, kept = [], pieces[0]
    for head, body in zip(pieces[1::2], pieces[2::2], strict=True):
        if set(head.split(", ")) <= names:
            found.append(kept)
            found.append(", ".join(f"``{name}``" for name in head.split(", ")))
            kept = body
        else:
            kept += f"{head}: {body}"
    found.append(kept)
    result = [("", found[0])] if found[0].strip() else []
    return result + list(zip(found[1::2], found[2::2], strict=True))


def safe(text: str) -> str:
    """`code` as ``code``; elsewhere no sign means anything."""
    parts = text.strip().split("`")
    if len(parts) % 2 == 0:  # a lone quote
        return escaped(text.strip())
    return "".join(f"``{part}``" if place % 2 else escaped(part) for place, part in enumerate(parts))


def escaped(text: str) -> str:
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def _on_docstring(app, what, name, thing, options, lines):
    lines[:] = restructured(lines, names_of(thing))


def shortened(text: str | None) -> str | None:
    """A signature in which NDArray[T] and 'one' | 'other' stand for what Python makes of them.

    A default that is made anew each time is `...`: what Python shows is not Python, and Sphinx would not lay it out.
    """
    array = r"~?numpy\.ndarray\[tuple\[(?:~?typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[([^]]*)\]\]"
    text = text and re.sub(array, r"~numpy.typing.NDArray[\1]", text)
    text = text and re.sub(r"(?:~?typing\.)?Literal\[([^]]*)\]", lambda found: " | ".join(found[1].split(", ")), text)
    return text and text.replace("<factory>", "...")


def _on_signature(app, what, name, thing, options, signature, returned):
    return shortened(signature), shortened(returned)


def setup(app):
    app.connect("autodoc-process-signature", _on_signature)
    app.connect("autodoc-process-docstring", _on_docstring)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
