"""Names of folders: which are classes, which mean no label, which are somebody else's, and which are asked about."""

import pytest

from fewlabels.data.images.folders import is_skipped, judge_name
from fewlabels.data.images.kinds import image_kind, other_kind
from fewlabels.data.images.read import read_images
from fewlabels.errors import ImageError, InputWarning
from tests.data.image_files import encoded, folder, noise

GOOD = encoded(noise(8, 8))


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "@EADIR", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "$RECYCLE.BIN", "RECYCLER"),
        *(
            "System Volume Information",
            "lost+found",
            "LOST.DIR",
            "FOUND.000",
            "__MACOSX",
            "__pycache__",
            ".AppleDouble",
        ),
        *(".thumbnails", ".ipynb_checkpoints", ".git", ".Trash-1000", ".Spotlight-V100", "Network Trash Folder"),
    ],
)
def test_folders_of_systems_are_never_entered_unless_it_is_said(name):
    assert is_skipped(name)
    assert not is_skipped(name, "class")


@pytest.mark.parametrize(
    "name",
    ["unlabeled", "unlabelled", "Unlabeled", "_unlabeled", "un-labelled", "Unlabeled ", "un labeled", "UNLABELED_"],
)
def test_spellings_of_unlabeled_mean_no_label(name):
    assert judge_name(name) == ("unlabeled", "")


@pytest.mark.parametrize(
    "name",
    [
        *(
            "unlabeled_images",
            "unlabeled2",
            "unlabelled data",
            "unlabled",
            "unlabel",
            "not labeled",
            "no_label",
            "nolabel",
        ),
        *(
            "unknown",
            "Unsorted",
            "unclassified",
            "uncategorised",
            "untagged",
            "unannotated",
            "unsup",
            "to_label",
            "TODO",
        ),
        *(
            "none",
            "None",
            "nan",
            "NULL",
            "N/A",
            "?",
            "-1",
            "#N/A",
            "unsupervised",
            "inbox",
            "notlabelled",
            "unreviewed",
        ),
        *(
            "train",
            "Train",
            "val",
            "valid",
            "validation",
            "test",
            "test_set",
            "train2017",
            "testing",
            "fold_1",
            "splits",
        ),
        *("train+val", "training images", "holdout", "dev", "eval"),
        *(
            "labeled",
            "labelled",
            "images",
            "data",
            "annotations",
            "thumbnails",
            "tmp",
            "@home",
            "#new",
            "$x",
            "~old",
            "_",
        ),
    ],
)
def test_names_that_are_probably_no_classes_are_asked_about(name):
    assert judge_name(name).doubt


@pytest.mark.parametrize(
    "name",
    [
        *("cat", "dog", "underwater", "unicorn", "trainer", "trains", "testudo", "normal", "no_tumor", "without_mask"),
        *("masks", "positive", "other", "background", "misc", "0", "007", "1.0", "é", "犬", "c++", "ALL", "device"),
        *("valley", "evaluator", "union", "uncle", "united", "unagi", "photo", "known", "sorted", "tagged", "holder"),
    ],
)
def test_names_of_classes_are_classes(name):
    assert not is_skipped(name)
    assert judge_name(name) == ("class", "")


def test_all_that_is_probably_no_class_is_named_at_once(tmp_path):
    root = folder(tmp_path, {f"{name}/a.png": GOOD for name in ("cat", "unknown", "test", "images")})
    with pytest.raises(ImageError) as caught:
        read_images(root)
    assert caught.value.code == "FL-I46"
    assert [str(row).partition(":")[0] for row in caught.value.rows] == ["images", "test", "unknown"]


def test_names_do_not_matter_where_labels_come_from_elsewhere(tmp_path):
    root = folder(tmp_path, {f"{name}/a.png": GOOD for name in ("train", "unknown", "@home")} | {"b.png": GOOD})
    assert read_images(root, folder_labels=False).names == [None] * 4


def test_sub_folders_of_classes_are_told_and_count_to_them(tmp_path):
    root = folder(tmp_path, dict.fromkeys(("cat/2019/a.png", "cat/2020/b.png", "dog/2019/c.png", "dog/d.png"), GOOD))
    with pytest.warns(InputWarning, match=r"FL-I47 the class is the first folder; 3 images lie deeper: 3 such rows"):
        assert read_images(root).names == ["cat", "cat", "dog", "dog"]


@pytest.mark.parametrize("inside", [("cat", "dog"), ("train", "val")])
def test_where_every_folder_holds_the_same_folders_it_is_asked_which_are_the_classes(tmp_path, inside):
    root = folder(tmp_path, {f"{name}/{one}/a.png": GOOD for name in ("north", "south") for one in inside})
    with pytest.raises(ImageError, match=r"FL-I46 .*north: each holds the same folders .*--labels if those are"):
        read_images(root)
    with pytest.warns(InputWarning, match="FL-I47"):
        assert set(read_images(root, folders={"north": "class", "south": "class"}).names) == {"north", "south"}


def test_a_hidden_image_is_counted_and_other_hidden_files_are_listed(tmp_path):
    root = folder(tmp_path, {"cat/a.png": GOOD, "cat/.b.png": GOOD, "cat/._a.png": b"\0\5\x16\7"})
    with pytest.warns(InputWarning, match=r"FL-I45 1 files that are not read \(1 \.png\)"):
        found = read_images(root)
    assert [note.id for note in found.notes] == ["cat/._a.png", "cat/.b.png"]


def test_files_that_are_used_for_nothing_are_counted_by_kind_and_listed(tmp_path):
    files = {"cat/a.png": GOOD, "cat/b.mp4": b"\0\0\0\x18ftypmp42" + bytes(20), "notes.txt": b"x", "c.nef": GOOD}
    with pytest.warns(InputWarning, match=r"FL-I45 3 files that are not read \(1 \.mp4, 1 \.txt, 1 \.nef\)|"):
        found = read_images(folder(tmp_path, files))
    assert [(note.id, note.note) for note in found.notes] == [
        ("c.nef", "a camera's raw image; convert it to JPEG, PNG or TIFF"),
        ("cat/b.mp4", "a video"),
        ("notes.txt", "no image"),
    ]


def test_what_every_computer_leaves_is_listed_without_a_warning(tmp_path):
    names = (".DS_Store", "cat/Thumbs.db", "cat/._a.png", "desktop.ini")
    found = read_images(folder(tmp_path, {"cat/a.png": GOOD} | dict.fromkeys(names, b"x")))
    assert sorted(note.id for note in found.notes) == sorted(names)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM"])
def test_every_kind_is_known_by_its_first_bytes_and_read_under_any_name(tmp_path, kind):
    content = encoded(noise(8, 8), kind)
    assert image_kind(content[:512]) == kind
    found = read_images(folder(tmp_path, {"4d0c7f": content, "cat": content} | {"b.png": GOOD}))
    assert (found.ids, found.rejected) == (["4d0c7f", "b.png", "cat"], [])


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avif\0\0\0\0mif1avif", "AVIF"),
        (b"isom\0\0\0\0isomavc1", None),
        (b"qt  \0\0\0\0qt  ", None),
    ],
)
def test_heic_avif_and_videos_begin_alike_and_are_told_apart(brands, kind):
    head = (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(40)
    assert image_kind(head) == kind
    assert kind or other_kind("a.mov", head) == "a video"


@pytest.mark.parametrize(
    "text", [b"P3 is a letter and a number", b"BM", b"BMW is a car, says this text", b"RIFF....WAVE"]
)
def test_text_is_no_image(text):
    assert image_kind(text) is None


def test_a_heic_is_read_like_a_jpeg(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    pixels = noise(4, 4).repeat(16, 0).repeat(16, 1)
    heif.from_bytes(mode="RGB", size=(64, 64), data=pixels.tobytes()).save(tmp_path / "a.heic", quality=-1, chroma=444)
    (tmp_path / "b.png").write_bytes(encoded(pixels))
    found = read_images(tmp_path, image_size=64)
    assert (found.ids, found.rejected) == (["a.heic", "b.png"], [])
    assert abs(found.pixels[0].astype(int) - pixels).max() <= 4


@pytest.mark.parametrize(
    "name",
    [
        *("New folder", "New folder (2)", "untitled folder", "cat - Copy", "cat copy 2", "Copy of cat", "2024-01-31"),
        *("20240131", "2024_01_31", "100CANON", "101_PANA", "DCIM", "Camera Roll"),
    ],
)
def test_names_that_file_managers_and_cameras_give_are_asked_about(name):
    assert judge_name(name).doubt


@pytest.mark.parametrize("name", ["001.Black_footed_Albatross", "copycat", "new", "20240", "100", "camera lens"])
def test_names_that_only_look_like_those_are_classes(name):
    assert not judge_name(name).doubt
