"""A model that is taken along answers as the run's does: as ONNX, as a folder, and as a folder without its trunk."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fewlabels
from fewlabels.cli.main import run as run_command
from fewlabels.commands.classify import run_classify
from fewlabels.commands.classify_options import ClassifyOptions
from fewlabels.commands.export_model import ExportOptions, run_export_model
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.data.benchmarks.sample_photos import load_sample_photos
from fewlabels.errors import ConfigError, NumericsError, RunError
from fewlabels.nets import export_onnx as onnx_module
from tests.commands import tiny_backbone
from tests.commands.taken_along import NAMES, train_tiny, write_photos
from tests.nets.test_model import SETTINGS

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SCRIPT = next(
    block
    for block in re.findall(
        r"^```python\n(.*?)^```", (Path(__file__).parents[2] / "docs/classify.md").read_text(), re.M | re.S
    )
    if "onnxruntime" in block
)
TURNS = (1, 3, 6, 8)  # EXIF orientations that cameras write


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run on a tiny backbone, one on EfficientNet-Lite0 with real photos, and new photos."""
    folder = tmp_path_factory.mktemp("taken-along")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWLABELS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        train_tiny(folder, "run", 30)
        write_photos(folder / "new", range(100, 109))
        yield folder


@pytest.fixture(scope="module")
def lite(place):
    """A run on EfficientNet-Lite0: parts of a temple and of a flower."""
    for number, pixels in enumerate(load_sample_photos()):
        name = ("temple", "flower")[number // 8]
        (place / "parts" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / "parts" / name / f"{number:02}.jpg", quality=90)
    labels = [
        f"{name}/{number:02}.jpg,{name}"
        for name, start in (("temple", 0), ("flower", 8))
        for number in range(start, start + 4)
    ]
    (place / "parts.csv").write_text("\n".join(["id,label", *labels]) + "\n")
    options = {"scale": 0.1, "n_neighbors": 3, "device": "cpu", "quiet": True}
    return fewlabels.train("parts", labels="parts.csv", out="lite", **options).folder


def telephone_photos(folder, count):
    """JPEGs as telephones make them: of 12 megapixels now and then, of other sizes, turned by their EXIF note."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    parts = load_sample_photos()
    for number in range(count):
        left, right = parts[rng.integers(8)], parts[8 + rng.integers(8)]
        share = rng.uniform()
        pixels = (share * left + (1 - share) * right + rng.normal(0, 8, left.shape)).clip(0, 255).astype(np.uint8)
        size = (4000, 3000) if number % 6 == 0 else tuple(int(side) for side in rng.integers(100, 900, 2))
        exif = Image.Exif()
        exif[0x0112] = TURNS[number % 4]
        Image.fromarray(pixels).resize(size).save(folder / f"{number:03}.jpg", quality=85, exif=exif)


@pytest.fixture(scope="module")
def made(place):
    """What exporting the run said, and the file."""
    return run_export_model(Path("run"), ExportOptions(onnx=place / "made" / "model.onnx"))["onnx"]


@pytest.fixture(scope="module")
def lite_made(lite, place):
    return run_export_model(lite, ExportOptions(onnx=place / "lite-made" / "model.onnx"))["onnx"]


def test_onnx_has_all_that_a_program_needs_to_know(made):
    assert max(made["largest_difference"].values()) < 1e-5
    assert (made["num_compared"], made["compared_on"]) == (32, "photos of the run")
    session = onnxruntime.InferenceSession(made["file"])
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == list(NAMES)
    assert (about["size"], about["mode"], about["calibrated"]) == ("8", "RGB", "yes")
    assert float(about["temperature"]) == fewlabels.load_model("run", device="cpu").temperature
    assert json.loads(about["mean"]) == [127.0]
    assert "exif_transpose" in about["preprocessing"]
    given = session.get_inputs()[0]
    assert (given.name, given.type, given.shape[1:]) == ("images", "tensor(uint8)", [8, 8, 3])
    assert [one.name for one in session.get_outputs()] == ["probabilities", "descriptor"]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnx_answers_batches_of_any_size_as_the_model_does(made, count):
    files = sorted(Path("photos").iterdir())[:count]
    pixels = np.stack([np.asarray(Image.open(file)) for file in files])
    session = onnxruntime.InferenceSession(made["file"])
    probability, descriptor = session.run(["probabilities", "descriptor"], {"images": pixels})
    model = fewlabels.load_model("run", device="cpu")
    assert np.abs(probability - model.predict(files).probability).max() < 1e-5
    assert np.abs(descriptor - model.describe(files)).max() < 1e-5


@pytest.mark.filterwarnings("ignore::fewlabels.errors.FewlabelsWarning")
def test_a_network_trained_from_nothing_on_grey_images_is_written_too(stripes, tmp_path):
    run_training(stripes, SETTINGS, tmp_path / "grey", RunOptions(quiet=True))
    found = run_export_model(tmp_path / "grey", ExportOptions(onnx=tmp_path / "grey.onnx"))["onnx"]
    assert found["compared_on"] == "parts of two photos that scikit-learn carries"
    about = onnxruntime.InferenceSession(tmp_path / "grey.onnx").get_modelmeta().custom_metadata_map
    assert (about["mode"], about["channels"], about["calibrated"], about["temperature"]) == ("L", "1", "no", "")
    card = (tmp_path / "grey.md").read_text()
    assert "not calibrated" in card
    assert "Mean Teacher, teacher: " in card
    assert "on 20 photos that were not trained on" in card


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
def test_a_program_without_fewlabels_gives_the_labels_of_classify(lite, lite_made, tmp_path, count):
    telephone_photos(tmp_path / "new-photos", count)
    run_classify(lite, [tmp_path / "new-photos"], tmp_path / "labels.csv", ClassifyOptions(device="cpu", quiet=True))
    shutil.copy(lite_made["file"], tmp_path / "model.onnx")
    without = "import sys\nsys.modules['fewlabels'] = sys.modules['torch'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", without + SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    told = {Path(path).name: (name, float(share)) for path, name, share in csv.reader(done.stdout.splitlines())}
    with open(tmp_path / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(told) == count
    assert {row["id"]: row["label"] for row in rows} == {id: name for id, (name, _) in told.items()}
    assert max(abs(float(row["probability"]) - told[row["id"]][1]) for row in rows) < 1e-4 + 5e-5
    assert len({row["label"] for row in rows}) == 2


def test_a_file_that_answers_otherwise_never_appears(place, tmp_path, monkeypatch):
    (tmp_path / "model.onnx").write_bytes(b"before")
    monkeypatch.setattr(onnx_module, "_difference", lambda found, expected: 2e-4)
    with pytest.raises(NumericsError, match=r"FL-P31 onnxruntime differs from torch by 2\.0e-04"):
        run_export_model(Path("run"), ExportOptions(onnx=tmp_path / "model.onnx", force=True))
    assert (tmp_path / "model.onnx").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx"]


def test_a_difference_counts_only_if_it_is_a_number():
    one = np.array([[0.5, 0.5]], np.float32)
    assert onnx_module._difference(one, one + np.float32(0.25)) == 0.25
    assert onnx_module._difference(10 * one, 12 * one) == pytest.approx(1 / 6)
    assert onnx_module._difference(one, one * np.nan) == np.inf
    assert onnx_module._difference(one[:, :1], one) == np.inf


def test_a_network_that_torch_cannot_write_is_refused_with_the_reason(place, tmp_path, monkeypatch):
    def forward(self, images):
        return images.mean(dim=(2, 3)).repeat(1, 4 if images.mean() > 0 else 5)[:, :12]

    monkeypatch.setattr(tiny_backbone.Tiny, "forward", forward)
    with pytest.raises(ConfigError, match="FL-C133 torch cannot write this network as ONNX"):
        run_export_model(Path("run"), ExportOptions(onnx=tmp_path / "model.onnx"))
    assert not list(tmp_path.iterdir())


def test_a_folder_needs_two_files_and_answers_to_the_bit(place, tmp_path):
    run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds"))
    assert sorted(path.name for path in (tmp_path / "birds").iterdir()) == [
        "README.md",
        "model.json",
        "model.safetensors",
    ]
    (tmp_path / "birds" / "README.md").unlink()
    expected, found = (fewlabels.load_model(one, device="cpu").predict("new") for one in ("run", tmp_path / "birds"))
    assert np.array_equal(found.probability, expected.probability)
    assert np.array_equal(found.sure, expected.sure)
    out = tmp_path / "labels.csv"
    assert run_classify(tmp_path / "birds", [Path("new")], out, ClassifyOptions(device="cpu", quiet=True))["calibrated"]


def test_the_two_files_of_a_run_are_enough_as_they_are(place, tmp_path):
    for name in ("model.safetensors", "model.json"):
        shutil.copy(Path("run") / name, tmp_path)
    expected = fewlabels.load_model("run", device="cpu").predict("new")
    assert np.array_equal(fewlabels.load_model(tmp_path, device="cpu").predict("new").probability, expected.probability)


def test_without_its_trunk_the_folder_is_small_and_takes_the_one_that_is_here(lite, tmp_path, monkeypatch):
    run_export_model(lite, ExportOptions(folder=tmp_path / "head", without_trunk=True))
    assert (tmp_path / "head" / "model.safetensors").stat().st_size < (lite / "model.safetensors").stat().st_size / 8
    expected, found = (fewlabels.load_model(one, device="cpu").predict("parts") for one in (lite, tmp_path / "head"))
    assert np.array_equal(found.probability, expected.probability)
    run_export_model(tmp_path / "head", ExportOptions(folder=tmp_path / "whole"))  # and back again
    assert (tmp_path / "whole" / "model.safetensors").read_bytes() != b""
    again = fewlabels.load_model(tmp_path / "whole", device="cpu").predict("parts")
    assert np.array_equal(again.probability, expected.probability)
    config = json.loads((tmp_path / "head" / "model.json").read_text())
    config["backbone"]["weights_digest"] = "0" * 64
    (tmp_path / "head" / "model.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="FL-K7 the weights of efficientnet-lite0 are others here"):
        fewlabels.load_model(tmp_path / "head", device="cpu")


def test_a_changed_weight_is_noticed(place, tmp_path):
    run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds"))
    weights = tmp_path / "birds" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    with pytest.raises(RunError, match="FL-K2 not the weights that model"):
        fewlabels.load_model(tmp_path / "birds", device="cpu")
    weights.unlink()
    with pytest.raises(RunError, match="FL-K2 missing"):
        fewlabels.load_model(tmp_path / "birds", device="cpu")


def test_the_card_says_data_labels_error_and_licence(lite, lite_made, tmp_path):
    run_export_model(lite, ExportOptions(folder=tmp_path / "photos"))
    for card in (Path(lite_made["card"]).read_text(), (tmp_path / "photos" / "README.md").read_text()):
        assert card.startswith("---\n")
        assert "license: apache-2.0" in card
        assert "16 photos, 8 of them labelled" in card
        assert "| temple | 4 |" in card
        assert "cross-validated: " in card
        assert "8 given labels, each held out" in card
        assert json.loads((lite / "model.json").read_text())["backbone"]["weights_digest"] in card


def test_an_export_can_be_exported_again_with_all_that_was_measured(made, place, tmp_path):
    run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds"))
    again = run_export_model(tmp_path / "birds", ExportOptions(onnx=tmp_path / "again.onnx"))["onnx"]
    assert again["compared_on"] == "parts of two photos that scikit-learn carries"
    cards = [Path(one["card"]).read_text().replace(Path(one["file"]).name, "") for one in (made, again)]
    assert cards[0] == cards[1]


def test_what_makes_no_sense_is_refused_and_nothing_is_overwritten(place, stripes, tmp_path):
    with pytest.raises(ConfigError, match="FL-C132 nothing to write"):
        run_export_model(Path("run"), ExportOptions())
    with pytest.raises(ConfigError, match="FL-C132 --without-trunk without --folder"):
        run_export_model(Path("run"), ExportOptions(onnx=tmp_path / "a.onnx", without_trunk=True))
    with pytest.raises(ConfigError, match="FL-C16"):
        run_export_model(Path("run"), ExportOptions(onnx=tmp_path / "a.pb"))
    (tmp_path / "a.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"FL-C9.*a\.md"):
        run_export_model(Path("run"), ExportOptions(onnx=tmp_path / "a.onnx"))
    run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds"))
    with pytest.raises(ConfigError, match=r"FL-C9 .*add --force to replace it"):
        run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds"))
    run_export_model(Path("run"), ExportOptions(folder=tmp_path / "birds", force=True))
    with pytest.raises(ConfigError, match="FL-C88 an export, which has one network"):
        fewlabels.load_model(tmp_path / "birds", teacher=True)


def test_the_command_says_what_it_wrote_and_what_comes_next(place, tmp_path, capsys):
    words = ["export-model", "run", "--onnx", str(tmp_path / "m.onnx"), "--folder", str(tmp_path / "f")]
    assert run_command(words) == 0
    text, told = capsys.readouterr()
    assert told.startswith("exporting: ")
    assert "exporting: 100 %" in told
    assert re.search(r"differ by \d\.\de-\d\d at most, on 32 images: photos of the run", text)
    assert f"fewlabels classify {tmp_path / 'f'} photos/ --out labels.csv" in text
    assert run_command(["export-model", "run", *words[4:], "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"]["folder"] == str(tmp_path / "f")
