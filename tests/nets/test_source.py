"""The digest of the file that a network of one's own comes from."""

import hashlib
import subprocess
import sys
from types import ModuleType

import pytest

from fewlabels.nets import source_digest

CODE = b"def wide(image_input, num_classes):\n    return None\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Puts a file on Python's path; what it is imported as is forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)

    def written(name, code):
        monkeypatch.delitem(sys.modules, name, raising=False)
        place = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(code)

    yield written
    for name in ("digest_nets", "digest_folder", "digest_folder.nets"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("module", ["digest_nets", "digest_folder.nets"])
def test_the_digest_is_that_of_the_bytes_of_the_file(write, module):
    write(module, CODE)
    assert source_digest(f"module:{module}:wide") == hashlib.sha256(CODE).hexdigest()[:32]


def test_an_edited_file_has_another_digest(write):
    write("digest_nets", CODE)
    before = source_digest("module:digest_nets:wide")
    write("digest_nets", CODE + b"# wider\n")
    assert source_digest("module:digest_nets:wide") not in (before, None)


@pytest.mark.parametrize(
    "name", ["small", "timm:resnet18", "module:", "module:sys:exit", "module:no_such_nets:wide", "module:bare:wide"]
)
def test_what_has_no_source_file_has_no_digest(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "bare", ModuleType("bare"))
    assert source_digest(name) is None


def test_a_file_that_cannot_be_imported_has_no_digest(write):
    write("digest_nets", b"1 / 0\n")
    assert source_digest("module:digest_nets:wide") is None


def test_it_loads_no_torch():
    code = "import sys, fewlabels.nets as nets; nets.source_digest('module:json:x'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
