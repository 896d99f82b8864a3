"""What may be written over, and what may not."""

import pytest

from fewlabels.errors import ConfigError
from fewlabels.runs import refuse_existing


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "the output is a folder"),
        ("run/labels.csv", "the output is in the folder of the run run"),
        ("run/new.csv", "the output is in the folder of the run run"),
        ("run/deep/new.csv", "the output is in the folder of the run run"),
    ],
)
def test_a_folder_is_never_replaced_and_nothing_is_written_into_a_run(tmp_path, name, message, force):
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    for file in ("run.json", "labels.csv"):
        (tmp_path / "run" / file).write_text("{}")
    with pytest.raises(ConfigError, match=f"FL-C9 {message} at .*nothing was changed"):
        refuse_existing(tmp_path / name, force=force)


def test_another_file_is_replaced_only_where_that_is_asked_for(tmp_path):
    (tmp_path / "mine.csv").write_text("id,label")
    with pytest.raises(ConfigError, match=r"FL-C9 the output file exists .*--force"):
        refuse_existing(tmp_path / "mine.csv")
    refuse_existing(tmp_path / "mine.csv", force=True)
    refuse_existing(tmp_path / "new.csv")
