"""The model of a finished run says of images what the run's own network said of them."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import fewlabels
from fewlabels.commands.train import ImageSource, run_images
from fewlabels.commands.training import RunOptions, run_training
from fewlabels.data.labels.files import labels_from_mapping
from fewlabels.errors import ConfigError, ImageError, InputWarning, NumericsError, RunError
from fewlabels.graph import GraphSettings
from fewlabels.nets import NetworkSettings
from fewlabels.nets.model import Model, choose_device, load_model
from fewlabels.recipes.images import ImageOptions
from fewlabels.runs import read_run
from fewlabels.storage import durable
from fewlabels.training.evaluate import evaluate
from fewlabels.training.settings import Phase, TrainSettings
from tests.commands.conftest import stripes  # noqa: F401  a fixture

SETTINGS = TrainSettings(
    phases=(Phase("mean_teacher", 2, 0.05, 6, 18),),
    graph=GraphSettings(n_neighbors=12),
    network=NetworkSettings(width=4, dropout=0.1, heads=2, unit_descriptor=False),
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Where the one run of this file is, and the one on photos."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def run(kept, stripes, tmp_path):  # noqa: F811
    """A copy of it."""
    if not (kept / "run").exists():
        run_training(stripes, SETTINGS, kept / "run", RunOptions(quiet=True))
    return shutil.copytree(kept / "run", tmp_path / "run")


@pytest.fixture
def photos(kept):
    """40 photos of two classes in colour, of odd sizes, one of them turned by its EXIF note; and a run on them."""
    folder = kept / "photos"
    if not folder.exists():
        rng = np.random.default_rng(0)
        for number in range(40):
            place = folder / ("crow", "wren")[number % 2] / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shade = np.array([40, 60, 90]) + 100 * (number % 2)
            pixels = (rng.integers(0, 60, (30 + number % 5, 24, 3)) + shade).astype(np.uint8)
            exif = Image.Exif()
            exif[0x0112] = 6 if number == 7 else 1
            Image.fromarray(pixels).save(place, exif=exif)
        given = {f"{name}/{number:03}.png": name for name, number in (("crow", 0), ("crow", 2), ("wren", 1))}
        options = ImageOptions(scale=0.02, graph=GraphSettings(n_neighbors=5))
        source = ImageSource(folder, labels_from_mapping(given), image_size=16)
        run_images(source, options, kept / "on-photos", RunOptions(quiet=True))
    return folder


@pytest.fixture
def model(kept, photos):
    return load_model(kept / "on-photos", device="cpu")


def weights(network):
    return torch.cat([value.flatten().double() for value in network.state_dict().values()])


def sealed_again(run):
    (run / "manifest.json").unlink()
    durable.write_manifest(run)
    return run


def test_the_photos_of_the_run_are_described_as_the_run_did(model, photos, kept):
    assert np.array_equal(model.describe(photos), np.load(kept / "on-photos" / "descriptors.npy"))
    assert model.class_names == ("crow", "wren")
    assert model.image_size == 16


def test_a_prediction_is_the_softmax_of_the_network(model, photos):
    from fewlabels.data.images.read import read_images

    found = model.predict(photos)
    images = read_images(photos, image_size=16, folder_labels=False)
    logits = evaluate(model.network, torch.from_numpy(images.pixels)).logits
    assert found.id == images.ids
    assert np.allclose(found.probability, logits.double().softmax(1).numpy(), atol=1e-12)
    assert np.array_equal(found.number, logits.argmax(1).numpy())
    assert found.label == [model.class_names[number] for number in found.number]
    assert found.rejected == []
    assert repr(found).startswith("Predictions(40 images: ")


def test_files_pictures_and_arrays_of_one_image_get_one_answer(model, photos):
    files = sorted(photos.rglob("*.png"))
    expected = model.predict(files)
    pictures = [Image.open(file) for file in files]
    arrays = [np.asarray(Image.open(file)) for file in files if "007" not in file.name]
    assert np.array_equal(model.predict(pictures).probability, expected.probability)
    assert np.array_equal(model.predict(iter(pictures)).probability, expected.probability)
    same = [at for at, file in enumerate(files) if "007" not in file.name]
    assert np.allclose(model.predict(arrays).probability, expected.probability[same], atol=1e-6)
    assert expected.id == [str(file) for file in files]


def test_one_image_is_one_row_whatever_it_comes_as(model, photos):
    file = photos / "crow" / "000.png"
    array = np.asarray(Image.open(file))
    given = [str(file), file, [file], Image.open(file), array, array[None]]
    answers = [model.predict(one).probability for one in given]
    assert all(answer.shape == (1, 2) for answer in answers)
    assert np.allclose(np.concatenate(answers), answers[0], atol=1e-6)


def test_a_grey_image_is_shown_to_a_network_of_colour_and_the_other_way_round(model, run):
    assert model.predict(np.zeros((20, 20), np.uint8)).number.shape == (1,)
    assert load_model(run, device="cpu").predict(np.zeros((3, 20, 20, 3), np.uint8)).number.shape == (3,)


def test_images_that_cannot_be_read_are_named_and_have_no_class(model, photos, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    files = [photos / "crow" / "000.png", tmp_path / "broken.png", tmp_path / "gone.png", photos / "wren" / "001.png"]
    with pytest.warns(InputWarning, match="FL-I1 2 of 4 images cannot be read"):
        found = model.predict(files)
    assert [name for name, _ in found.rejected] == [str(file) for file in files[1:3]]
    assert found.label[1:3] == [None, None]
    assert found.number.tolist()[1:3] == [-1, -1]
    assert found.probability[1:3].tolist() == [[0.5, 0.5]] * 2
    assert np.array_equal(found.probability[[0, 3]], model.predict([files[0], files[3]]).probability)
    assert "2 not read" in repr(found)
    with pytest.raises(ImageError, match=r"FL-I1 .*broken\.png"):
        model.describe(files)
    with pytest.warns(InputWarning, match="FL-I1 1 of 1"):
        assert model.predict([tmp_path / "gone.png"]).label == [None]


@pytest.mark.parametrize(
    ("images", "code"),
    [
        (3, "I31"),
        ([], "I32"),
        ([{}], "I31"),
        (np.zeros((20, 20, 3)), "I31"),
        (np.zeros((20, 20, 5), np.uint8), "I31"),
        ("gone.png", "I30"),
    ],
)
def test_what_is_no_image_is_refused(model, images, code):
    with pytest.raises(ImageError, match=f"FL-{code} "):
        model.predict(images)


def test_a_list_of_paths_and_arrays_is_refused(model, photos):
    with pytest.raises(ImageError, match="FL-I31"):
        model.predict([photos / "crow" / "000.png", np.zeros((20, 20, 3), np.uint8)])


def test_many_images_are_never_held_at_once(model):
    held = []

    def images():
        for number in range(1000):
            held.append(number)
            yield np.full((16, 16, 3), number % 256, np.uint8)

    seen = []
    for batch in model._batches(images()):
        seen.append(len(batch))
        assert len(held) <= sum(seen) + 1
    assert sum(seen) == 1000


def test_an_answer_of_nan_is_an_error(model):
    broken = Model(network=torch.nn.Module(), image_input=model.image_input, class_names=model.class_names)
    broken.network.forward = lambda batch: (torch.full((len(batch), 2), torch.nan), torch.zeros(len(batch), 3))
    with pytest.raises(NumericsError, match="FL-P22"):
        broken.predict(np.zeros((16, 16, 3), np.uint8))


def test_the_student_gives_the_descriptors_and_the_error_of_the_run(run, stripes):  # noqa: F811
    model = load_model(run, teacher=False, device="cpu")
    assert model.class_names == ("rows", "columns", "plain")
    assert (model.image_input.channels, model.image_size) == (1, 8)
    assert not model.network.training
    assert np.allclose(model.describe(stripes.pixels), np.load(run / "descriptors.npy"), atol=1e-5)
    error = 100 * np.mean(model.predict(stripes.test_pixels).number != stripes.test_truth)
    assert error == pytest.approx(read_run(run).results["mean_teacher_error"])


def test_the_teacher_is_taken_where_there_is_one_and_not_refused(run):
    averaged, taught = (load_file(run / f"{name}.safetensors") for name in ("teacher", "model"))
    for choice, expected in ((None, averaged), (True, averaged), (False, taught)):
        found = load_model(run, teacher=choice).network.state_dict()
        assert all(torch.equal(value, found[name].cpu()) for name, value in expected.items())
    (run / "teacher.safetensors").unlink()
    assert torch.equal(
        weights(load_model(sealed_again(run)).network), weights(load_model(read_run(run), teacher=False).network)
    )
    with pytest.raises(ConfigError, match=r"FL-C88 a run without a teacher at .*leave out teacher=True"):
        load_model(run, teacher=True)


def test_loading_leaves_random_numbers_as_they_are(run):
    drawn = torch.get_rng_state()
    fewlabels.load_model(run)
    assert torch.equal(drawn, torch.get_rng_state())


def test_an_unfinished_run_has_no_network(run):
    (run / "manifest.json").unlink()
    with pytest.raises(ConfigError, match=r"FL-C88 a run without a network at .*finished run"):
        load_model(run)


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="FL-K4"):
        load_model(tmp_path)


def test_a_device_that_is_not_there_is_told(run):
    with pytest.raises(ConfigError, match="FL-C7 device 'gpu' is not on this machine"):
        load_model(run, device="gpu")
    assert choose_device("auto") in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["teacher.safetensors", "model.json"])
def test_a_damaged_file_is_told_and_one_that_is_not_needed_does_not_matter(run, name):
    data = bytearray((run / name).read_bytes())
    data[-2] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(RunError, match=f"FL-K2 not as the run wrote it: content changed .*{name}"):
        load_model(run)
    if name == "teacher.safetensors":
        load_model(run, teacher=False)


@pytest.mark.parametrize("content", ["{}", '{"network": {"side": 1}}', "[", "[]"])
def test_a_description_that_is_none_is_told(run, content):
    (run / "model.json").write_text(content)
    with pytest.raises(RunError, match=r"FL-K(16 not what a run has there|2 damaged JSON).*model\.json"):
        load_model(sealed_again(run))


def test_weights_of_another_network_are_told(run):
    config = json.loads((run / "model.json").read_text())
    config["network"]["width"] = 8
    (run / "model.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"FL-K7 .* is \[4, 1, 3, 3\] there, \[8, 1, 3, 3\] in the network"):
        load_model(sealed_again(run))


def test_pretrained_weights_are_not_downloaded_to_be_replaced(run, monkeypatch):
    config = json.loads((run / "model.json").read_text())
    config["network"] |= {"name": "timm:tiny", "pretrained": True, "width": None, "dropout": None}
    (run / "model.json").write_text(json.dumps(config))
    asked = []
    monkeypatch.setattr(
        "fewlabels.nets.builders.build_network", lambda settings, *_: asked.append(settings) or torch.nn.Module()
    )
    with pytest.raises(RunError, match="FL-K7"):
        load_model(sealed_again(run))
    assert [settings.option("pretrained") for settings in asked] == [False]
