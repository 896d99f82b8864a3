"""Images on the device where they fit, in main memory where they do not."""

import numpy as np
import pytest
import torch

from fewlabels.commands.task import put_on_device


def test_on_a_cpu_nothing_is_copied_even_of_a_map_of_a_file(tmp_path):
    np.save(tmp_path / "pixels.npy", np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3))
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    images = put_on_device(pixels, torch.device("cpu"))
    assert images.data_ptr() == pixels.ctypes.data
    assert images.shape == (2, 2, 2, 3)


@pytest.mark.parametrize(("free", "moved"), [(100, True), (30, False)])
def test_a_gpu_gets_them_if_they_leave_half_of_it_free(monkeypatch, free, moved):
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: asked.append(device) or tensor)
    put_on_device(np.zeros((2, 2, 2, 3), np.uint8), torch.device("cuda"))
    assert asked == [torch.device("cuda")] * moved
