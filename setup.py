"""The compiled kernels. Where there is no C compiler the package installs without them and uses NumPy, more slowly.

FEWLABELS_REQUIRE_KERNELS=1 makes a build without them fail, such as that of a wheel that others will install.
"""

import os
import sysconfig
from pathlib import Path

from setuptools import Extension, setup

STABLE_ABI = not sysconfig.get_config_var("Py_GIL_DISABLED")  # free-threaded Pythons have none before 3.15
KERNELS = Extension(
    "fewlabels.graph.compiled._kernels",
    sources=["csrc/module.c"],
    depends=sorted(map(str, Path("csrc").glob("*.h"))),
    extra_compile_args=["-O3", "-std=gnu11", "-fno-math-errno"],
    py_limited_api=STABLE_ABI,
    optional=os.environ.get("FEWLABELS_REQUIRE_KERNELS", "") in ("", "0"),
)

setup(ext_modules=[KERNELS], options={"bdist_wheel": {"py_limited_api": "cp311"}} if STABLE_ABI else {})
