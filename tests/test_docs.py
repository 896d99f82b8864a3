"""What the documents say is so: error codes, commands, links."""

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fewlabels.cli.main import COMMANDS
from fewlabels.cli.main import run as run_command
from fewlabels.data.benchmarks.digits import load_digits
from fewlabels.estimator import LabelPropagationClassifier
from fewlabels.nets import NetworkSettings, build_network, count_parameters
from fewlabels.recipes.images import digits_lp
from fewlabels.training.settings import Phase

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("src/fewlabels/recipes/*.md")])
README = (ROOT / "README.md").read_text()


def test_every_error_code_of_the_source_is_explained_and_no_other():
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    raised = set(re.findall(r'"([A-Z]\d+)"|FL-([A-Z]\d+)', source))
    codes = {one or other for one, other in raised}
    explained = set(re.findall(r"FL-([A-Z]\d+)", (ROOT / "docs/errors.md").read_text()))
    assert codes == explained


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_exist(document):
    text = document.read_text()
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if not target.startswith(("http", "#")):
            assert (document.parent / target.split("#")[0]).exists(), target


def test_every_make_target_of_the_readme_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([\w-]+)", README, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_names_only_options_that_exist(command, capsys):
    assert run_command([command, "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    example = re.search(rf"Example: (fewlabels {command}.*)$", text).group(1)
    options = [word for word in shlex.split(example) if word.startswith("--")]
    assert all(re.search(rf"{option}\b", text.replace(example, "")) for option in options)


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """A place with what the README's commands name, and recipes so short that all of them run in seconds."""
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    truth = np.arange(60) // 20
    np.save("embeddings.npy", rng.normal(size=(3, 16))[truth] + 0.2 * rng.normal(size=(60, 16)))
    for number in range(40):
        place = tmp_path / "photos" / ("crow", "wren")[number % 2] / f"{number:03}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(place)
    monkeypatch.setattr("fewlabels.recipes.images.SUPERVISED_STEPS", 2)
    monkeypatch.setattr("fewlabels.recipes.images.LP_STEPS", 2)
    short = replace(
        digits_lp(),
        phases=(Phase("supervised", 1, 0.05, 30), Phase("lp", 1, 0.05, 30, 300)),
        network=NetworkSettings(width=2),
    )
    monkeypatch.setattr("fewlabels.commands.demo.digits_lp", lambda seed: replace(short, seed=seed))
    digits = load_digits()
    few = replace(digits, pixels=digits.pixels[:300], truth=digits.truth[:300], ids=digits.ids[:300])
    monkeypatch.setattr("fewlabels.commands.demo.load_digits", lambda: few)
    return tmp_path


LABELS = {
    "photos": "id,label\ncrow/000.jpg,crow\nwren/001.jpg,wren\ncrow/002.jpg,\n",
    "embeddings.npy": "id,label\n0,a\n20,b\n40,c\n",
}


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
def test_the_commands_of_the_readme_run(newcomer, capsys):
    Path("labels.csv").write_text(LABELS["photos"])
    assert run_command(["demo", "--quiet"]) == 0  # `make demo`
    commands = [line.split("#")[0] for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "fewlabels"
        if words[1] in ("review", "label") or "runs/labelling" in words:  # serve a page; tests/review opens it
            continue
        Path("labels.csv").write_text(LABELS["embeddings.npy" if words[1] == "propagate" else "photos"])
        assert run_command(words[1:]) == 0, command
    capsys.readouterr()


@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
def test_the_python_of_the_readme_runs(newcomer):
    names: dict[str, object] = {}
    for program in blocks("python"):
        exec(program, names)
    assert names["result"].pseudo_labels.label.shape == (60,)
    assert names["model"].transduction_.shape == (60,)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_python_of_the_page_on_the_estimator_runs_and_shows_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for program in blocks("python", (ROOT / "docs/estimator.md").read_text()):
        exec(program, names)
    assert names["accuracy"]["after"] > max(0.9, names["accuracy"]["before"])
    assert names["search"].best_score_ > 0.8
    for label in (names["model"].transduction_, names["result"].pseudo_labels.label):  # of a graph handed in
        assert np.mean(label == names["truth"]) > 0.9


def test_the_page_on_the_estimator_names_every_parameter():
    page = (ROOT / "docs/estimator.md").read_text()
    parameters = LabelPropagationClassifier().get_params()
    assert not [name for name in parameters if f"`{name}" not in page and name != "max_zero_share"]


def test_the_python_of_the_page_on_networks_runs_and_its_table_is_what_is_built(tmp_path, monkeypatch):
    page = (ROOT / "docs/networks.md").read_text()
    programs = blocks("python", page)
    names: dict[str, object] = {}
    for program in programs:
        exec(program, names)
    assert names["output"].descriptor.shape == (4, 128)
    (tmp_path / "my_nets.py").write_text(next(program for program in programs if "class Wide" in program))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "my_nets", None)  # so that it is forgotten afterwards
    del sys.modules["my_nets"]
    by_name = build_network(NetworkSettings("module:my_nets:wide"), names["cifar"], 10)
    assert count_parameters(by_name) == count_parameters(names["mine"])
    table = re.findall(r"^\| `([\w-]+)`(?:, or `\w+`)? \|.*\| (\d+) \| ([\d,]+) ([\d,]+) \|", page, re.M)
    assert len(table) == 5
    for name, descriptor, *parameters in table:
        for heads, number in enumerate(parameters, 1):
            network = build_network(NetworkSettings(name, heads=heads), names["cifar"], 10)
            assert count_parameters(network) == int(number.replace(",", "")), name
            assert network.fc1(torch.zeros(1, int(descriptor))).shape == (1, 10)


def test_the_page_on_reproducing_names_only_options_that_exist(capsys):
    page = (ROOT / "docs/reproducing.md").read_text()
    commands = [line for block in blocks("sh", page) for line in block.splitlines()]
    assert len(commands) == 5
    assert run_command(["reproduce", "--help"]) == 0
    shown = capsys.readouterr().out
    for command in commands:
        assert command.startswith("fewlabels reproduce ")
        assert all(word in shown for word in shlex.split(command) if word.startswith("--"))
