"""Models of timm, the library itself: random weights, weight files, the hub's cache, and what is said without them."""

import sys
import time

import pytest
import torch
from safetensors.torch import save_file

from fewlabels.errors import ConfigError
from fewlabels.nets import ImageInput, NetworkSettings, Preprocessing, build_network, load_backbone
from fewlabels.nets.timm_models import create_timm

SMALL = "test_vit"  # 64 pixels... the smallest models that timm has
