"""Training a head on a frozen trunk: from photos to a model that is whole."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

import fewlabels
from fewlabels.commands.cross_validation import Validation, deal_folds
from fewlabels.commands.frozen import describe_pixels
from fewlabels.errors import ConfigError, LabelError
from fewlabels.nets.frozen import FrozenNetwork, Head, frozen_settings
from fewlabels.nets.pretrained import load_backbone
from fewlabels.recipes.photos import PHOTO_GRAPH, choose_graph, choose_start
from fewlabels.review.engine.engine import Engine
from fewlabels.review.items import open_items
from fewlabels.training.execution import Execution

TINY = "module:tests.commands.tiny_backbone:make"
SHORT = {"backbone": TINY, "scale": 0.1, "n_neighbors": 5, "device": "cpu", "quiet": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 60 photos of stripes across, down or none, and 18 labels."""
    folder = tmp_path_factory.mktemp("frozen")
    rng = np.random.default_rng(0)
    names = ("across", "down", "plain")
    rows = []
    for number in range(60):
        pixels = rng.integers(0, 70, (8, 8, 3)).astype(np.uint8)
        if number % 3 == 0:
            pixels[::2] += 150
        if number % 3 == 1:
            pixels[:, ::2] += 150
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{number:02}.png")
        rows.append((f"{number:02}.png", names[number % 3]))
    write(folder / "few.csv", rows[:18])
    write(folder / "all.csv", rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEWLABELS_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        yield folder


def write(path, rows):
    path.write_text("".join(f"{id},{name}\n" for id, name in [("id", "label"), *rows]))


@pytest.fixture(scope="module")
def run(place):
    return fewlabels.train("photos", labels="few.csv", test_labels="all.csv", out="run", **SHORT)


def test_the_model_answers_from_photos_what_the_run_wrote(run):
    model = fewlabels.load_model(run)
    assert isinstance(model.network, FrozenNetwork)
    described = model.describe("photos")
    assert np.allclose(described, np.load(run.folder / "descriptors.npy"), atol=1e-5)
    assert (
        np.mean([a == b for a, b in zip(model.predict("photos").label, ["across", "down", "plain"] * 20, strict=True)])
        > 0.8
    )


def test_the_model_file_names_the_backbone_its_weights_and_their_licence(run):
    told = json.loads((run.folder / "model.json").read_text())
    assert told["network"]["name"] == f"frozen:{TINY}"
    backbone = load_backbone(TINY)
    assert told["backbone"]["weights_digest"] == backbone.weights_digest
    assert {"name", "source", "licence", "preprocessing"} <= set(told["backbone"])
    assert told["temperature"] > 0


def test_the_table_has_the_labels_and_probabilities_that_classify_gives(run):
    table = pq.read_table(run.folder / "pseudo_labels.parquet").to_pydict()
    said = fewlabels.load_model(run).predict("photos")
    assert said.calibrated
    unlabelled = [at for at, source in enumerate(table["source"]) if source == "propagated"]
    assert len(unlabelled) == 42
    assert [table["label"][at] for at in unlabelled] == [said.label[at] for at in unlabelled]
    found = np.array(table["probability"])
    assert np.allclose(found[unlabelled], said.probability.max(axis=1)[unlabelled], atol=1e-5)
    assert (np.delete(found, unlabelled) == 1).all()


def test_certainty_orders_right_labels_before_wrong_ones(place):
    """Stripes so faint that some are taken for others: the graph of a trained head is as sure of these."""
    rng, truth = np.random.default_rng(3), np.arange(90) % 3
    (place / "faint").mkdir()
    for number, kind in enumerate(truth):
        pixels = rng.integers(0, 120, (8, 8, 3))
        strength = rng.integers(5, 100)
        pixels[::2] += strength * (kind == 0)
        pixels[:, ::2] += strength * (kind == 1)
        Image.fromarray(pixels.astype(np.uint8)).save(place / "faint" / f"{number:02}.png")
    names = [("across", "down", "plain")[kind] for kind in truth]
    write(place / "faint.csv", [(f"{number:02}.png", names[number]) for number in range(24)])
    write(place / "faint-all.csv", [(f"{number:02}.png", names[number]) for number in range(90)])
    run = fewlabels.train("faint", labels="faint.csv", test_labels="faint-all.csv", out="faint-run", **SHORT)
    assert 0.5 < run.results["pseudo_label_accuracy_last"] / 100 < 1
    assert run.results["certainty_auroc"] > 0.6


def test_a_review_starts_from_what_the_run_says_on_a_graph_that_knows_no_label_by_heart(run):
    items = open_items(run.folder)
    assert np.array_equal(items.descriptors, np.load(run.folder / "first_descriptors.npy"))
    state = Engine(items).state
    table = pq.read_table(run.folder / "pseudo_labels.parquet").to_pydict()
    assert [items.class_names[code] for code in state.label] == table["label"]
    assert np.allclose(state.certainty, table["certainty"])


def test_the_same_photos_and_seed_give_the_same_bytes(run):
    again = fewlabels.train("photos", labels="few.csv", test_labels="all.csv", out="again", **SHORT)
    for name in ("model.safetensors", "pseudo_labels.parquet", "descriptors.npy", "insights.json"):
        assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()


def test_the_error_is_cross_validated_over_the_given_labels(run):
    found = run.results["cross_validated"]
    assert found["num_held_out"] == 18
    assert found["low"] <= found["error"] <= found["high"]
    assert sum(found["class_held_out"]) == 18
    assert run.results["cross_validated_error"] == found["error"]


def test_folds_are_as_many_as_asked_for_and_none_if_that_is_asked_for(place, run):
    two = fewlabels.train("photos", labels="few.csv", folds=2, out="two", **SHORT)
    assert two.results["cross_validated"]["num_folds"] == 2
    none = fewlabels.train("photos", labels="few.csv", folds=0, out="none", **SHORT)
    assert "cross_validated" not in none.results
    assert "probability" not in pq.read_table(none.folder / "pseudo_labels.parquet").column_names
    assert (none.folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()
    for wrong in (1, -2, True):
        with pytest.raises(ConfigError, match=f"FL-C135 folds is {wrong}"):
            fewlabels.train("photos", labels="few.csv", folds=wrong, out="no", **SHORT)


def test_a_whole_network_is_cross_validated_where_that_is_asked_for(place):
    whole = SHORT | {"backbone": "none", "image_size": 8, "scale": 0.05}
    run = fewlabels.train("photos", labels="few.csv", folds=2, out="whole", **whole)
    assert run.results["cross_validated"]["num_held_out"] == 18
    assert run.results["cross_validated"]["num_folds"] == 2
    assert fewlabels.load_model(run).temperature > 0
    assert "cross_validated" not in fewlabels.train("photos", labels="few.csv", out="whole0", **whole).results
    del whole["backbone"]
    with pytest.raises(ConfigError, match="FL-C135 folds of a whole network that is continued"):
        fewlabels.train("photos", labels="few.csv", folds=2, continue_from=run, out="no", **whole)


def test_groups_of_the_label_file_stay_in_one_fold(place):
    rows = (place / "few.csv").read_text().splitlines()
    grouped = [f"{row},{'camera' if at == 0 else 'all'}" for at, row in enumerate(rows)]
    (place / "grouped.csv").write_text("\n".join(grouped) + "\n")
    run = fewlabels.train("photos", labels="grouped.csv", groups="camera", out="one", **SHORT)
    assert "cross_validated" not in run.results  # one group is in one fold: nothing can be left out
    groups = {line.split(",")[0]: str(at // 9) for at, line in enumerate(rows[1:])}
    halves = fewlabels.train("photos", labels="few.csv", groups=groups, out="halves", **SHORT)
    assert halves.results["cross_validated"]["num_folds"] == 2
    with pytest.raises(LabelError, match="FL-L31"):
        fewlabels.train("photos", labels="few.csv", groups="patient", out="no", **SHORT)
    with pytest.raises(ConfigError, match="FL-C135 groups is 'camera'"):
        fewlabels.train("photos", groups="camera", out="no", **SHORT)


def test_test_labels_measure_and_are_not_trained_on(run, place):
    assert run.results["num_test"] == 42
    assert run.results["num_labeled"] == 18
    assert run.insights["confusion"]["of"] == "test"
    assert sum(map(sum, run.insights["confusion"]["counts"])) == 42
    without = fewlabels.train("photos", labels="few.csv", out="without", **SHORT)
    assert (without.folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()
    assert without.insights["confusion"]["of"] == "held_out"


def test_holdout_takes_a_share_of_each_class_away_and_measures_by_it(place):
    run = fewlabels.train("photos", labels="few.csv", holdout=0.34, out="held", **SHORT)
    assert run.results["num_labeled"] == 12
    assert run.results["num_test"] == 6
    assert [sum(row) for row in run.insights["confusion"]["counts"]] == [2, 2, 2]


def test_a_share_that_holds_nothing_out_is_refused(place):
    with pytest.raises(ConfigError, match="FL-C114 holdout is 2"):
        fewlabels.train("photos", labels="few.csv", holdout=2, out="no", **SHORT)
    with pytest.raises(LabelError, match="FL-L60 no label can be held out"):
        fewlabels.train("photos", labels="few.csv", holdout=0.01, out="no", **SHORT)
    with pytest.raises(ConfigError, match="FL-C115 --test-labels and --holdout, expected one of them"):
        fewlabels.train("photos", labels="few.csv", test_labels="all.csv", holdout=0.2, out="no", **SHORT)


def test_a_run_is_continued_on_its_own_backbone(run):
    kept = {name: value for name, value in SHORT.items() if name != "backbone"}
    more = fewlabels.train("photos", labels="all.csv", holdout=0.2, continue_from=run, out="more", **kept)
    assert more.settings["network"]["name"] == f"frozen:{TINY}"
    with pytest.raises(ConfigError, match="FL-C88 backbone 'efficientnet-lite0'"):
        fewlabels.train("photos", labels="few.csv", continue_from=run, backbone="lite0", out="no", quiet=True)


def test_a_new_class_gets_a_row_of_the_head_on_the_same_trunk(run, place):
    rows = [line.split(",") for line in (place / "few.csv").read_text().splitlines()[1:]]
    write(
        place / "named.csv",
        [(id, "flat" if name == "plain" else name) for id, name in rows]
        + [(f"{number}.png", "plain") for number in (20, 23, 26, 29)],
    )
    kept = {name: value for name, value in SHORT.items() if name not in ("backbone", "scale")}
    more = fewlabels.train("photos", labels="named.csv", continue_from=run, out="four", **kept)
    assert more.facts["class_names"] == ["across", "down", "plain", "flat"]
    old, new = (load_file(one.folder / "model.safetensors") for one in (run, more))
    assert np.array_equal(old["trunk.network.weight"], new["trunk.network.weight"])
    assert len(new["head.fc1.weight"]) == 4
    assert "flat" in fewlabels.load_model(more).predict("photos").label


def test_the_mirror_image_is_a_second_view(place):
    backbone, pixels = load_backbone(TINY), np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    execution = Execution(torch.device("cpu"))
    rows = describe_pixels(backbone, pixels, execution, mirror=True, on_step=lambda photos: None)
    turned = describe_pixels(backbone, pixels[:, :, ::-1], execution, mirror=True, on_step=lambda photos: None)
    assert rows.shape == (5, 2, 12)
    assert torch.equal(rows, turned.flip(1))


def test_with_the_mirror_image_the_model_answers_by_the_mean_of_both(place):
    run = fewlabels.train("photos", labels="few.csv", out="mirrored", mirror=True, **SHORT)
    described = fewlabels.load_model(run).describe("photos")
    assert np.allclose(described, np.load(run.folder / "descriptors.npy"), atol=1e-5)


def test_photos_are_described_once_whatever_is_asked_of_them(place, monkeypatch):
    backbone, pixels = load_backbone(TINY), np.full((3, 8, 8, 3), 7, np.uint8)
    execution = Execution(torch.device("cpu"))
    first = describe_pixels(backbone, pixels, execution, mirror=False, on_step=lambda photos: None)
    again = replace(backbone, trunk=backbone.trunk.eval())
    monkeypatch.setattr(type(backbone.trunk), "forward", None)
    assert torch.equal(describe_pixels(again, pixels, execution, mirror=False, on_step=lambda photos: None), first)


def test_near_copies_are_in_one_fold_and_the_only_label_of_a_class_is_kept():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 8)).astype(np.float32)
    labels = np.full(200, -1)
    labels[:20], labels[20] = np.arange(20) % 2, 2
    rows[2] = rows[0] + 1e-4
    fold = deal_folds(labels, Validation(rows=rows))
    assert fold[2] == fold[0]
    assert fold[20] == -1
    assert (fold[21:] == -1).all()
    assert set(fold[:20]) == {0, 1, 2, 3, 4}


def test_a_head_starts_with_inputs_of_variance_one_and_the_neighbours_of_the_trunk():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 12)).astype(np.float32))
    head = Head(frozen_settings(load_backbone(TINY)), 12, 3)
    head.start_from(rows)
    flat = torch.nn.functional.normalize(rows.sign() * rows.abs().sqrt(), dim=1)
    shown = (flat - head.mean) / head.scale
    assert torch.allclose(shown.mean(dim=0), torch.zeros(12), atol=1e-5)
    assert float(shown.square().mean()) == pytest.approx(1, abs=1e-4)
    unit = torch.nn.functional.normalize(shown, dim=1)
    hidden = head.eval()(rows).descriptor.detach()
    assert float(torch.corrcoef(torch.stack([(unit @ unit.T).flatten(), (hidden @ hidden.T).flatten()]))[0, 1]) > 0.8


def test_photos_start_from_the_backbone_unless_a_network_is_named():
    assert choose_start(None, None) == ("efficientnet-lite0", "small")
    assert choose_start("lite0", None)[0] == "efficientnet-lite0"
    assert choose_start(None, "cnn13") == ("none", "cnn13")
    assert choose_start("none", None) == ("none", "small")
    assert choose_start(None, None, continues=True)[0] == "none"
    with pytest.raises(ConfigError, match="FL-C113 backbone 'lite0' and network 'cnn13'"):
        choose_start("lite0", "cnn13")


def test_the_graph_is_that_of_the_start_but_for_what_is_named():
    assert choose_graph("efficientnet-lite0", {"n_neighbors": None}) == PHOTO_GRAPH
    assert choose_graph("efficientnet-lite0", {"alpha": 0.9}) == replace(PHOTO_GRAPH, alpha=0.9)
    assert choose_graph("none", {}).n_neighbors == 50
    assert choose_graph("efficientnet-lite0", {"mode": "released"}).mode == "released"
