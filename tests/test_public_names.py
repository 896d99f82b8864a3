"""What `import fewlabels` gives, and what it costs."""

import subprocess
import sys

import pytest

import fewlabels

NAMES = [
    "UNLABELED",
    "FewlabelsError",
    "FewlabelsWarning",
    "GraphSettings",
    "Propagation",
    "PseudoLabels",
    "propagate",
    "read_run",
    "verify_run",
]


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


def test_propagating_arrays_loads_no_torch():
    assert "torch" not in loaded_by("from fewlabels import GraphSettings, propagate")
