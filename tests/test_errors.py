import json
from importlib import metadata
from pathlib import Path

import pytest

from fewlabels import errors
from fewlabels.cli import main
from fewlabels.errors import LabelError, StorageError, listed, shown


def test_an_error_is_one_line_with_code_place_rows_and_advice():
    error = LabelError("L14", "two labels for one id", where="labels.csv:7", rows=list("abcdefg"), do="keep one")
    assert str(error) == (
        "FL-L14 two labels for one id at labels.csv:7; 7 such rows (first 5: a, b, c, d, e); keep one"
    )
    assert (error.code, error.exit_status, error.rows) == ("FL-L14", 2, list("abcdefg"))


def test_what_a_user_wrote_cannot_break_the_line_or_the_terminal():
    assert shown("a\nb\x1b[31m\u202e") == r"a\nb\x1b[31m\u202e"
    assert len(shown("x" * 10_000)) == errors.SHOWN_CHARACTERS
    assert listed(["one"]) == "1 such row (one)"


@pytest.mark.parametrize(
    ("kind", "status", "also"),
    [
        (errors.ConfigError, 2, ValueError),
        (errors.EmbeddingError, 2, ValueError),
        (errors.RunError, 3, Exception),
        (errors.StorageError, 4, OSError),
        (errors.NumericsError, 5, ArithmeticError),
    ],
)
def test_each_kind_has_its_exit_status_and_its_python_parent(kind, status, also):
    assert kind.exit_status == status
    assert issubclass(kind, also)


def test_a_storage_error_shows_its_line_although_it_is_an_os_error():
    assert str(StorageError("D1", "cannot write", where="x")) == "FL-D1 cannot write at x"


def test_of_a_code_one_warning_is_shown_but_of_checkpoints_each(capsys):
    show = main._OncePerCode()
    for number in (1, 2):
        show(errors.ConvergenceWarning(f"FL-G9 {number} classes"), errors.ConvergenceWarning)
        show(errors.CheckpointWarning(f"FL-K1 step {number}"), errors.CheckpointWarning)
    shown_lines = capsys.readouterr().err.splitlines()
    assert shown_lines == ["warning: FL-G9 1 classes", "warning: FL-K1 step 1", "warning: FL-K1 step 2"]


def test_a_run_that_a_signal_stopped_has_the_status_of_the_signal(monkeypatch, capsys):
    def stopped(**arguments):
        raise errors.Interrupted(15, "stopped by SIGTERM", do="go on with: fewlabels train")

    monkeypatch.setattr(main, "app", stopped)
    assert main.run(["train"]) == 143
    assert capsys.readouterr().err == "error: FL-D7 stopped by SIGTERM; go on with: fewlabels train\n"


def installed(monkeypatch, tmp_path, origin):
    """As if pip had put the package into tmp_path, from there."""
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "site-packages" / "fewlabels" / "errors.py"))
    found = type("Distribution", (), {"read_text": lambda self, name: origin})
    monkeypatch.setattr(metadata, "distribution", lambda name: found())


def test_advice_to_install_names_the_clone_that_this_runs_from():
    root = Path(errors.__file__).parents[2]
    assert errors.install_command("timm") == f"pip install -c {root}/constraints.txt -e '{root}[timm]'"


def test_advice_to_install_names_the_folder_or_wheel_that_pip_took(tmp_path, monkeypatch):
    clone = tmp_path / "a clone"
    clone.mkdir()
    (clone / "constraints.txt").touch()
    installed(monkeypatch, tmp_path, json.dumps({"url": clone.as_uri(), "dir_info": {}}))
    assert errors.install_command("hub") == f"pip install -c '{clone}/constraints.txt' '{clone}[hub]'"
    wheel = tmp_path / "fewlabels.whl"
    wheel.touch()
    installed(monkeypatch, tmp_path, json.dumps({"url": wheel.as_uri(), "archive_info": {}}))
    assert errors.install_command("hub") == f"pip install '{wheel}[hub]'"


@pytest.mark.parametrize("origin", [None, "{", '{"url": "https://example.org/x.whl"}', '{"url": "file:///gone"}'])
def test_advice_to_install_names_the_package_where_it_came_from_an_index(tmp_path, monkeypatch, origin):
    installed(monkeypatch, tmp_path, origin)
    assert errors.install_command("heic") == "pip install 'fewlabels[heic]'"


def test_advice_to_install_can_be_given_where_nothing_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(errors, "__file__", str(tmp_path / "x" / "fewlabels" / "errors.py"))
    monkeypatch.setattr(errors, "__package__", "no_such_package")
    assert errors.install_command("heic") == "pip install 'fewlabels[heic]'"
