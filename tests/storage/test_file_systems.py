"""Network file systems: found by the mounts; a run warns, a review refuses."""

import warnings

import pytest

from fewlabels.errors import ConfigError
from fewlabels.review.store.file import make_local_folder
from fewlabels.runs.record import RunWriter
from fewlabels.storage import file_systems
from fewlabels.storage.file_systems import NETWORK, find_type, network_file_system

MOUNTS = r"""/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local ext4 rw 0 0
//nas/share /mnt/my\040share cifs rw 0 0
me@host:/ /mnt/ssh fuse.sshfs rw 0 0
/dev/vdc /mnt/ssh/over ext4 rw 0 0
torn
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data", "ext4"),
        ("/home/me/run.review", "nfs4"),
        ("/home", "nfs4"),
        ("/homes", "ext4"),
        ("/home/local/run", "ext4"),
        ("/mnt/my share/run", "cifs"),
        ("/mnt/ssh/run", "fuse.sshfs"),
        ("/mnt/ssh/over/run", "ext4"),
    ],
)
def test_the_longest_mount_point_says_the_file_system(path, kind):
    assert find_type(path, MOUNTS) == kind
    assert find_type(path, MOUNTS + f"none {path.replace(' ', chr(92) + '040')} tmpfs rw 0 0\n") == "tmpfs"


@pytest.fixture
def mount(tmp_path, monkeypatch):
    """`mount(type)`: everything in tmp_path is now on a file system of this type."""

    def replace(kind):
        table = tmp_path / "mounts"
        table.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path.resolve()} {kind} rw 0 0\n")
        monkeypatch.setattr(file_systems, "MOUNTS", table)

    return replace


def test_only_what_is_below_the_mount_is_on_the_network(tmp_path, mount):
    mount("nfs")
    assert network_file_system(tmp_path / "run.review") == "nfs"
    assert network_file_system("/elsewhere") is None


def test_without_a_table_of_mounts_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(file_systems, "MOUNTS", tmp_path / "no such table")
    assert network_file_system(tmp_path) is None


@pytest.mark.parametrize("kind", [*sorted(NETWORK), "fuse.sshfs", "fuse.ceph-fuse", "fuse.glusterfs", "fuse.rclone"])
def test_a_run_warns_of_each_network_file_system_that_a_review_refuses(tmp_path, mount, kind):
    mount(kind)
    with pytest.warns(match=rf"FL-D8 .*\({kind}\)") as caught:
        RunWriter(tmp_path / "run", "train", {})
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.raises(ConfigError, match=rf"FL-C75 .*\({kind}\).*local disk"):
        make_local_folder(tmp_path / "run.review")
    assert not (tmp_path / "run.review").exists()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuse", "fuse.mergerfs", "ntfs3"])
def test_a_local_file_system_is_neither_warned_of_nor_refused(tmp_path, mount, kind):
    mount(kind)
    with warnings.catch_warnings(action="error"):
        RunWriter(tmp_path / "run", "train", {})
        assert make_local_folder(tmp_path / "run.review").is_dir()
