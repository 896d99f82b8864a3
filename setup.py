"""The compiled kernels. Where there is no C compiler the package installs without them and uses NumPy, more slowly."""

from pathlib import Path

from setuptools import Extension, setup

KERNELS = Extension(
    "fewlabels.graph._kernels",
    sources=["csrc/module.c"],
    depends=sorted(map(str, Path("csrc").glob("*.h"))),
    extra_compile_args=["-O3", "-std=gnu11", "-fno-math-errno"],
    py_limited_api=True,
    optional=True,
)

setup(ext_modules=[KERNELS], options={"bdist_wheel": {"py_limited_api": "cp311"}})
