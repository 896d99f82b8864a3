"""Class names with descriptors: a labelling has a first guess without any label, which fades as answers come."""

import numpy as np
import pytest

from fewlabels.cli.main import run as run_command
from fewlabels.review.items import open_items
from tests.review.labelling import label_by

KINDS = np.random.default_rng(0).integers(0, 3, 120)
NAMES = ("cat", "dog", "bird")
TRUTH = [NAMES[kind] for kind in KINDS]


@pytest.fixture
def words(tmp_path):
    """Rows on one side of the space, names alike to each other more than to any row, as those of CLIP are."""
    rng = np.random.default_rng(1)
    gap = np.r_[np.zeros(4), 2.0]
    rows = np.pad(2 * np.eye(3)[KINDS], ((0, 0), (0, 2))) + 0.5 * rng.normal(size=(120, 5)) - gap
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    names = np.pad(2 * np.eye(3), ((0, 0), (0, 2))) + gap
    np.save(tmp_path / "names.npy", names.astype(np.float32))
    named = ("--class-names", "cat, dog,bird", "--class-descriptors", tmp_path / "names.npy")
    return (tmp_path / "rows.npy", *named, "--out", tmp_path / "run")


def test_without_an_answer_all_rows_have_the_label_of_their_name(monkeypatch, words, tmp_path):
    def look(person):
        session = person.page.get("/api/session").json()
        assert session["classes"] == list(NAMES)
        assert session["answered"] == 0
        rows = [person.page.get(f"/api/rows/{row}").json() for row in range(0, 120, 6)]
        right.append(np.mean([row["label"] == TRUTH[row["row"]] for row in rows]))
        assert {row["source"] for row in rows} == {"propagated"}
        person.ask(12)
        person.post("/api/classes", action="merge", of="bird", name="dog")
        graph = person.label(0, "dog")
        assert graph["counts"][2] == 0
        assert sum(graph["counts"]) == 120

    right = []
    assert label_by(monkeypatch, look, words, TRUTH) == 0
    assert right[0] > 0.8
    assert list(open_items(tmp_path / "run").named) == list(NAMES)
    again = []
    label_by(monkeypatch, lambda person: again.append(person.page.get("/api/session").json()), (tmp_path / "run",))
    assert again[0]["answered"] == 13
    assert run_command(["label", str(tmp_path / "run"), "--finish", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("names", "what"),
    [("cat,dog", "3 class descriptors for the names cat, dog"), ("cat,dog,cat", "for the names cat, dog, cat")],
)
def test_each_name_needs_a_descriptor_of_its_own(monkeypatch, words, capsys, tmp_path, names, what):
    asked = list(words)
    asked[asked.index("cat, dog,bird")] = names
    assert label_by(monkeypatch, lambda person: None, asked) == 2
    err = capsys.readouterr().err
    assert "FL-C153" in err
    assert what in err
    assert not (tmp_path / "run").exists()


def test_names_and_rows_come_from_one_backbone(monkeypatch, words, capsys, tmp_path):
    np.save(tmp_path / "names.npy", np.ones((3, 7), np.float32))
    assert label_by(monkeypatch, lambda person: None, words) == 2
    assert "class descriptors of 7 numbers, the rows have 5" in capsys.readouterr().err
