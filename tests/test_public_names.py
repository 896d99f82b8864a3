"""What `import fewlabels` gives, and what it costs."""

import ast
import inspect
import os
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import fewlabels
from fewlabels.errors import install_command

NAMES = [
    "UNLABELED",
    "Answer",
    "Auto",
    "Choice",
    "Descriptors",
    "FewlabelsError",
    "FewlabelsWarning",
    "GraphSettings",
    "LabelPropagationClassifier",
    "Model",
    "Propagation",
    "PseudoLabels",
    "Refinement",
    "RowModel",
    "build_graph",
    "describe",
    "extend",
    "load_model",
    "propagate",
    "propagate_files",
    "read_run",
    "spread",
    "train",
    "verify_run",
]
ROOT = Path(__file__).parent.parent
TYPED = """
import fewlabels as fl
import numpy as np
reveal_type(fl.train("photos", labels={"a.jpg": "crow"}))
reveal_type(fl.load_model("run").predict("a.jpg").label)
reveal_type(fl.propagate(np.eye(3), np.arange(3)))
reveal_type(fl.propagate(np.eye(3), np.arange(3), fl.GraphSettings()))
fl.train("photos", epochs="3")
"""


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_public_names_are_these():
    assert fewlabels.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_there_and_documented(name):
    thing = getattr(fewlabels, name)
    assert name in dir(fewlabels)
    assert isinstance(thing, int) or thing.__doc__


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"UNLABELED", "FewlabelsError", "FewlabelsWarning"}))
def test_help_of_a_public_name_says_what_it_takes(name):
    thing = getattr(fewlabels, name)
    text = pydoc.plain(pydoc.render_doc(thing))
    assert name in text
    assert not thing.__doc__.startswith(f"{name}(")  # a dataclass without a docstring of its own
    for parameter in inspect.signature(thing).parameters:
        assert parameter in thing.__doc__, parameter


def test_help_of_the_package_names_them_all():
    text = pydoc.plain(pydoc.render_doc(fewlabels))
    assert all(name in text for name in NAMES)


def test_type_checkers_find_each_name_where_it_is_imported_from():
    tree = ast.parse(Path(fewlabels.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: f".{node.module}" for node in block.body for alias in node.names}
    assert seen == fewlabels._HOME
    assert sorted(seen) == sorted(NAMES)


@pytest.mark.slow
def test_mypy_sees_the_types(tmp_path):
    (tmp_path / "snippet.py").write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]
    told = subprocess.run(
        [*command, f"--cache-dir={tmp_path}", tmp_path / "snippet.py"],
        env=os.environ | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for kind in (
        "fewlabels.runs.record.Run",
        "list[str | None]",
        "fewlabels.choosing.answer.Answer",
        "fewlabels.graph.system.Propagation",
    ):
        assert f'Revealed type is "{kind}"' in told
    assert told.count("error:") == 1
    assert 'Argument "epochs" to "train" has incompatible type "str"' in told


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="propagat"):
        fewlabels.propagat  # noqa: B018


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert fewlabels.__version__ == version("fewlabels")


def test_importing_loads_nothing_heavy():
    heavy = {"torch", "scipy", "sklearn", "matplotlib", "pyarrow", "faiss"}
    assert not heavy & loaded_by("import fewlabels")
    assert not heavy & loaded_by("from fewlabels.cli.main import run; run(['--help'])")


@pytest.mark.parametrize("names", ["GraphSettings, propagate, extend", "train, load_model, Model, read_run"])
def test_a_name_loads_no_torch_before_it_is_called(names):
    assert "torch" not in loaded_by(f"from fewlabels import {names}")


def test_without_torch_train_and_load_model_say_what_to_install():
    code = """
import sys
sys.modules["torch"] = None
import fewlabels
for call in (lambda: fewlabels.train("photos"), lambda: fewlabels.load_model("run")):
    try:
        call()
    except fewlabels.FewlabelsError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"FL-C23 networks need torch; {install_command('train')}"] * 2


def test_without_scikit_learn_the_estimator_says_what_to_install_and_help_works():
    code = """
import sys
sys.modules["sklearn"] = None
import pydoc
import fewlabels
print("LabelPropagationClassifier" in dir(fewlabels), "load_model" in pydoc.render_doc(fewlabels))
try:
    from fewlabels import LabelPropagationClassifier
except ModuleNotFoundError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    says = f"LabelPropagationClassifier needs scikit-learn: {install_command('sklearn')}"
    assert done.stdout.splitlines() == ["False True", says]
