"""Modules of one's own that can be imported, and timm beside a torchvision that does not fit the torch installed."""

import importlib
import sys
import warnings
from types import ModuleType

import pytest
import torch

BOXES = "Tensor dets, Tensor scores, float iou_threshold"
DEFINED = []  # operators live as long as the library that defines them


@pytest.fixture(scope="session")
def timm():
    """timm itself. A torchvision made for CUDA has no operators beside a torch without; its import asks for two."""
    with warnings.catch_warnings(action="ignore"):
        try:
            importlib.import_module("torchvision")
        except RuntimeError:
            DEFINED.append(torch.library.Library("torchvision", "DEF"))
            for name in ("nms", "qnms"):
                DEFINED[0].define(f"{name}({BOXES}) -> Tensor")
        return importlib.import_module("timm")


@pytest.fixture
def importable(monkeypatch):
    """A module of that name with these things in it."""

    def make(name, **things):
        module = ModuleType(name)
        vars(module).update(things)
        monkeypatch.setitem(sys.modules, name, module)

    return make
