"""What comes with fewlabels and what it never does: pinned versions, floors, no pickle and no code out of data."""

import ast
import importlib.util
import io
import pickle
import re
import tomllib
import warnings
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fewlabels.cli.main import run as run_command
from fewlabels.data.benchmarks.plain_pickle import read_plain_pickle
from fewlabels.data.images.read import read_images
from fewlabels.data.labels.by_position import read_labels_by_position
from fewlabels.data.labels.files import read_labels
from fewlabels.data.tables.embeddings import read_embeddings
from fewlabels.errors import FewlabelsError, FewlabelsWarning
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.runs import read_run, verify_run
from fewlabels.training.checkpoint import Checkpoints

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FLOORS = {"torch": "2.10", "pillow": "13.0", "pyarrow": "14.0.1", "safetensors": "0.4", "starlette": "1.0.1"}


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    named = [re.fullmatch(r"([A-Za-z0-9_.-]+)==(\S+)", line) for line in lines if line and not line.startswith("#")]
    assert all(named)
    return {canonicalize_name(one[1]): one[2] for one in named}


def asked_for():
    extras = PROJECT["project"]["optional-dependencies"]
    texts = [*PROJECT["project"]["dependencies"], *(text for extra in extras.values() for text in extra)]
    found = [Requirement(text) for text in texts]
    return [one for one in found if one.name != "fewlabels"]


@pytest.mark.parametrize("asked", asked_for(), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_is_allowed(asked):
    assert asked.specifier.contains(pins()[canonicalize_name(asked.name)])


def needed(name, extras, found):
    """Add to `found` all installed packages that a package asks for, and those that they ask for."""
    for text in metadata.requires(name) or ():
        one = Requirement(text)
        wanted = one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
        key = canonicalize_name(one.name)
        if wanted and (key, tuple(one.extras)) not in found:
            found[key, tuple(one.extras)] = None
            with suppress(metadata.PackageNotFoundError):  # of another platform
                needed(one.name, one.extras, found)
    return found


def test_whatever_the_dependencies_bring_is_pinned_too():
    """Of what is installed here; what only another platform needs is pinned by whoever uses that."""
    found = {}
    for one in asked_for():
        with suppress(metadata.PackageNotFoundError):
            found[canonicalize_name(one.name), ()] = None
            needed(one.name, one.extras, found)
    installed = {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}
    brought = {name for name, _ in found} & installed - {"setuptools", "pip", "wheel"}
    assert sorted(brought - set(pins())) == []


@pytest.mark.parametrize("asked", [one for one in asked_for() if one.name in FLOORS], ids=str)
def test_versions_with_known_holes_are_not_allowed(asked):
    major, minor = (int(part) for part in FLOORS[asked.name].split(".")[:2])
    before = f"{major}.{minor - 1}.999" if minor else f"{major - 1}.999"
    assert not asked.specifier.contains(before)


def test_every_dependency_has_its_reason_beside_it():
    text = (ROOT / "pyproject.toml").read_text()
    for one in asked_for():
        lines = re.findall(rf'^  "{re.escape(one.name)}[^"]*",(.*)$', text, re.M)
        assert lines, one.name
        assert all("#" in line for line in lines), one.name


def audit():
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLEAN = {"name": "numpy", "version": "2.4.6", "vulns": []}
HOLED = {"name": "x", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
SKIPPED = {"name": "y", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("found", "status", "words"),
    [
        ([CLEAN], 0, "1 of 1 packages looked up, 0 known"),
        ([CLEAN, HOLED], 1, "x 1: CVE-1, fixed in 2"),
        ([CLEAN, SKIPPED], 2, "THE AUDIT IS NOT COMPLETE"),
        ([], 2, "0 of 0"),
    ],
)
def test_an_audit_that_could_not_look_everything_up_is_none(found, status, words):
    ended, lines = audit().verdict({"dependencies": found})
    assert ended == status
    assert words in "\n".join(lines)


# No code out of data

FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def offences(source):
    """What in a source could run code that came as data, as "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, one.name) for one in node.names if one.name.split(".")[0] in FORBIDDEN_MODULES]
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in FORBIDDEN_MODULES
            and not node.level
        ):
            found.append((node.lineno, node.module))
        if isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in _call(node)]
    return [f"{line}: {what}" for line, what in found]


def _call(node):
    name, owner = node.func, None
    if isinstance(name, ast.Attribute):
        owner, name = getattr(name.value, "id", ""), name.attr
    else:
        name = getattr(name, "id", "")
    given = {one.arg: getattr(one.value, "value", None) for one in node.keywords}
    shell = given.get("shell") is True or (owner == "os" and name in ("system", "popen"))
    return [
        what
        for what, there in {
            f"{name}()": owner is None and name in FORBIDDEN_CALLS,
            "torch.load": owner == "torch" and name == "load",
            "np.load without allow_pickle=False": owner in ("np", "numpy")
            and name == "load"
            and given.get("allow_pickle") is not False,
            "allow_pickle=True": given.get("allow_pickle") is True,
            "weights_only=False": given.get("weights_only") is False,
            "trust_remote_code": given.get("trust_remote_code") is True,
            "a shell": shell,
        }.items()
        if there
    ]


def test_no_source_reads_pickles_or_evaluates_text():
    """But for one file of PyTorch's, with weights_only, whose bytes are held to a SHA-256 in the source first."""
    wrong = {path.name: offences(path.read_text()) for path in (ROOT / "src").rglob("*.py")}
    found = {name: found for name, found in wrong.items() if found}
    (known,) = found.pop("efficientnet_lite.py")
    assert found == {}
    assert known.endswith("torch.load")
    lines = (ROOT / "src/fewlabels/nets/efficientnet_lite.py").read_text().splitlines()
    before, line = lines[: int(known.partition(":")[0]) - 1], lines[int(known.partition(":")[0]) - 1]
    assert "weights_only=True" in line
    assert any("if hashlib.sha256(data).hexdigest() != variant.sha256:" in one for one in before)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import yaml",
        "eval(text)",
        "exec(text)",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "f(path, weights_only=False)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds_each_of_them(line):
    assert offences(line)


class Bomb:
    """Unpickling it touches a file."""

    def __init__(self, canary):
        self.canary = str(canary)

    def __reduce__(self):
        return open, (self.canary, "w")


def bombs(canary):
    """name -> bytes: a pickle by itself, as torch saves it, and inside of NumPy's files."""
    found = {f"protocol {number}": pickle.dumps(Bomb(canary), number) for number in (0, 2, 5)}
    for name, write in {
        "torch": lambda file: torch.save(Bomb(canary), file),
        "torch, old": lambda file: torch.save(Bomb(canary), file, _use_new_zipfile_serialization=False),
        "npy": lambda file: np.save(file, np.array([Bomb(canary)], object), allow_pickle=True),
        "npz": lambda file: np.savez(file, facts=np.array([Bomb(canary)], object)),
    }.items():
        file = io.BytesIO()
        write(file)
        found[name] = file.getvalue()
    return found


ENDINGS = (
    *("csv", "npy", "npz", "parquet", "arrow", "feather", "pt", "pth", "pkl"),
    *("bin", "safetensors", "json", "jsonl", "jpg", "png", "zip", "tar"),
)
LOADERS = {
    "labels": read_labels,
    "labels by position": lambda path: read_labels_by_position(path, 1),
    "embeddings": read_embeddings,
    "images": read_images,
    "a model": LabelPropagationClassifier.load,
    "a pickle of CIFAR": read_plain_pickle,
    "a run": read_run,
    "propagate": lambda path: run_command(["propagate", str(path), "--labels", str(path), "--out", f"{path}-o.csv"]),
    "train": lambda path: run_command(["train", str(path), "--labels", str(path), "--out", f"{path}-o"]),
}


def offered(load, path):
    """Hand it in; whatever comes is right, but for the canary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewlabelsWarning)
        with suppress(FewlabelsError, SystemExit):
            load(path)


@pytest.mark.parametrize("kind", ["protocol 0", "protocol 2", "protocol 5", "torch", "torch, old", "npy", "npz"])
def test_no_loader_runs_a_pickle_under_any_name(tmp_path, kind, capsys):
    canary = tmp_path / "canary"
    data = bombs(canary)[kind]
    for ending in (*ENDINGS, ""):
        path = tmp_path / f"bomb.{ending}"
        path.write_bytes(data)
        for load in LOADERS.values():
            offered(load, path)
            assert not canary.exists()
    capsys.readouterr()


RUN_FILES = (
    *("run.json", "events.jsonl", "results.json", "manifest.json", "resumed.jsonl"),
    *("model.safetensors", "model.json"),
)
FOLDERS = {
    "a run": read_run,
    "its hashes": verify_run,
    "checkpoints": lambda folder: Checkpoints(folder, {"data": "a"}).read_newest(),
    "report": lambda folder: run_command(["report", str(folder)]),
    "verify": lambda folder: run_command(["verify", str(folder)]),
    "images": read_images,
    "embeddings": read_embeddings,
}


@pytest.mark.parametrize("kind", ["protocol 2", "torch", "npz"])
def test_no_folder_of_pickles_runs_them(tmp_path, kind, capsys):
    canary, folder = tmp_path / "canary", tmp_path / "folder"
    folder.mkdir()
    data = bombs(canary)[kind]
    for name in (*RUN_FILES, "data_batch_1", "train", "a.parquet", "a.npy"):
        (folder / name).write_bytes(data)
    for step in ("step-00000001", "sub"):
        (folder / step).mkdir()
        for name in ("manifest.json", "state.json", "tensors.safetensors", "image.png"):
            (folder / step / name).write_bytes(data)
    for load in FOLDERS.values():
        offered(load, folder)
        assert not canary.exists()
    capsys.readouterr()


def test_the_canary_sings_where_a_pickle_is_run(tmp_path):
    pickle.loads(bombs(tmp_path / "canary")["protocol 2"]).close()
    assert (tmp_path / "canary").exists()
