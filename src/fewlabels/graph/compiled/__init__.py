"""Whether the compiled kernels are there. Without them the graph core works on NumPy and SciPy, more slowly."""

from __future__ import annotations

import os
from importlib import import_module

import numpy as np
import scipy.sparse as sp

from ...errors import ConfigError

SWITCH = "FEWLABELS_KERNELS"  # "off", or an instruction set: plain, avx2, avx512, avx512vnni


def instructions() -> str | None:
    """The instruction set that the kernels use, None where there are no kernels or they are switched off."""
    wanted = os.environ.get(SWITCH) or None
    if wanted == "off":
        return None
    try:
        kernels = import_module("._kernels", __package__)
    except ImportError:  # installed where there was no C compiler
        return None
    try:
        name: str = kernels.instructions(wanted)
    except ValueError as problem:
        do = "set it to plain, avx2, avx512, avx512vnni or off, or leave it unset"
        raise ConfigError(
            "C36", f"{SWITCH} is {wanted!r}, and this processor has no such instructions", do=do
        ) from problem
    return name


def fits_kernels(w: sp.csr_array) -> bool:
    """Whether the kernels are there and can work with this matrix: float32 and int32."""
    types = (w.data.dtype, w.indices.dtype, w.indptr.dtype)
    return types == (np.float32, np.int32, np.int32) and instructions() is not None
