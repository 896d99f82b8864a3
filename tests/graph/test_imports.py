"""Modules of the graph stand in an order: values, then algorithms, then who calls them."""

import ast
from pathlib import Path

import fewlabels.graph

ROOM = Path(fewlabels.graph.__file__).parent
MODULES = {path.relative_to(ROOM).with_suffix("").as_posix(): path for path in ROOM.rglob("*.py")}


def imported(module):
    """The modules of the graph that this one imports, at the top or within a function."""
    package = module.split("/")[:-1]
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and 0 < node.level <= len(package) + 1:
            parts = package[: len(package) + 1 - node.level] + (node.module or "").split(".")
            base = "/".join(part for part in parts if part)
            names = {base, f"{base}/__init__", *(f"{base}/{alias.name}".strip("/") for alias in node.names)}
            found |= names & MODULES.keys()
    return found


def test_no_module_imports_one_that_imports_it_even_within_a_function():
    left = {module: imported(module) for module in MODULES}
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert not left


def test_the_compiled_search_knows_values_and_nobody_who_calls_it():
    search = {f"compiled/{name}" for name in ("__init__", "search", "recall", "clusters", "codes", "coded")}
    for module in (*(search - {"compiled/__init__"}), "compiled/nearest", "compiled/rows"):
        assert imported(module) <= {"types", "settings", "threads", "codes", "recall", *search}


def test_values_and_settings_import_no_algorithm():
    assert not imported("codes") | imported("recall")
    assert imported("types") <= {"settings"}
    assert not imported("settings")
