"""Building the package where the C compiler does not work."""

import os
import shutil
import subprocess
import sys

import pytest

from tests import ROOT

pytest.importorskip("setuptools")
FAILS = shutil.which("false")
if FAILS is None or sys.platform == "win32":
    pytest.skip("no command that stands for a broken compiler", allow_module_level=True)
if shutil.which("cc") is None and shutil.which("gcc") is None:
    pytest.skip("there is no C compiler, so setuptools may not look for one as it would", allow_module_level=True)


@pytest.mark.parametrize(("required", "succeeds"), [("1", False), ("0", True), ("", True)])
def test_a_build_without_kernels_fails_where_they_are_required_and_only_there(required, succeeds, tmp_path):
    build = ["build_ext", "--build-lib", str(tmp_path / "lib"), "--build-temp", str(tmp_path / "temp")]
    environment = {**os.environ, "CC": FAILS, "FEWLABELS_REQUIRE_KERNELS": required}
    command = [sys.executable, "setup.py", *build]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) is succeeds, done.stderr
    assert FAILS in done.stdout + done.stderr  # it was tried
    assert not list(tmp_path.rglob("_kernels*.so"))
