"""The library timm, beside a torchvision whose operators do not fit the torch installed."""

import importlib
import warnings

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
