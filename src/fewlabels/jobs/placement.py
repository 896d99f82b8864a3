"""Where the images of a run lie."""

from __future__ import annotations

import warnings

import numpy as np
import torch

MOST_OF_A_GPU = 0.5  # of its free memory; the rest is for the network and its activations


def placed(pixels: np.ndarray, device: torch.device) -> torch.Tensor:
    """All images as one tensor: on the device, or in main memory where they would take more than half of a GPU.

    pixels: (n, h, w, c) uint8, which may be a map of a file; nothing is written to them.
    """
    with warnings.catch_warnings():  # torch warns that a read-only array could be written to: it is not
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images = torch.from_numpy(pixels)
    if device.type == "cuda" and pixels.nbytes > MOST_OF_A_GPU * torch.cuda.mem_get_info(device)[0]:
        return images
    return images.to(device)
