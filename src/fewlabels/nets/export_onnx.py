"""A model as one ONNX file, checked against torch: other programs run it without fewlabels and without torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from ..errors import ConfigError, NumericsError, shown
from .contract import Output
from .model import Model

IMAGES, PROBABILITIES, DESCRIPTOR = "images", "probabilities", "descriptor"
MOST_DIFFERENCE = 1e-4
FIRST = 3  # images of the first batch in the check; the rest is another, so that sizes of batches are tried too
PREPROCESSING = (
    "Open the photo with Pillow; turn it upright by its EXIF note (ImageOps.exif_transpose); convert it to the mode of "
    "`mode`; cut and resize it to the centred square of `size` pixels (ImageOps.fit, BILINEAR); hand in uint8 pixels "
    "(b, size, size, channels). Mean and deviation are taken out inside."
)


class Answering(nn.Module):
    """A network for other programs: uint8 (b, h, w, channels) -> probabilities (b, c), descriptor (b, d), float32."""

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        output = Output(*self.network(images.permute(0, 3, 1, 2).float()))
        return torch.softmax(output.logits / self.temperature, dim=1), output.descriptor


@dataclass(frozen=True, kw_only=True)
class Exported:
    """An ONNX file that was checked. data: its bytes. probability, descriptor: largest differences from torch's.

    A descriptor's is relative to its largest number, where that is above 1. num_images: that were compared.
    """

    data: bytes
    probability: float
    descriptor: float
    num_images: int


def export_onnx(
    model: Model,
    images: Sequence[np.ndarray],
    facts: Mapping[str, str],
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Exported:
    """The model as ONNX: images, uint8 (b, h, w, channels), to probabilities (b, c) and descriptor (b, d); any b.

    model: on the CPU. images: real ones, (h, w, channels) uint8 of the model's size, that both are asked about. facts:
    more for the metadata, which have class names, size, normalisation, temperature and preprocessing in any case.
    on_stage: called with "converting" and "checking" as they begin.
    Raises ConfigError (C133) for a network that torch cannot write as ONNX, NumericsError (P31) where onnxruntime
    answers otherwise than torch by 1e-4 or more.
    """
    on_stage("converting")
    answering = Answering(model.network.eval(), model.temperature or 1.0).eval()
    data = _with_facts(_convert(answering, np.stack(images[:2])), {**describe_input(model), **facts})
    on_stage("checking")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    found, expected = [], []
    for part in (images[:FIRST], images[FIRST:]):
        if len(part):
            pixels = np.stack(part)
            found.append(session.run([PROBABILITIES, DESCRIPTOR], {IMAGES: pixels}))
            with torch.no_grad():
                expected.append([values.numpy() for values in answering(torch.from_numpy(pixels))])
    probability, descriptor = (
        _difference(np.concatenate(one), np.concatenate(other))
        for one, other in zip(zip(*found, strict=True), zip(*expected, strict=True), strict=True)
    )
    if not max(probability, descriptor) < MOST_DIFFERENCE:
        what = f"onnxruntime differs from torch by {max(probability, descriptor):.1e} on {len(images)} images"
        raise NumericsError("P31", f"{what}, expected less than {MOST_DIFFERENCE:g}", do="nothing was written")
    return Exported(data=data, probability=probability, descriptor=descriptor, num_images=len(images))


def describe_input(model: Model) -> dict[str, str]:
    """What a program needs to know before it asks the network: all as text, lists as JSON."""
    given = model.image_input
    return {
        "class_names": json.dumps(list(model.class_names), ensure_ascii=False),
        "size": str(given.size),
        "channels": str(given.channels),
        "mode": "L" if given.channels == 1 else "RGB",
        "mean": json.dumps(list(given.mean)),
        "std": json.dumps(list(given.std)),
        "temperature": "" if model.temperature is None else repr(model.temperature),
        "calibrated": "no" if model.temperature is None else "yes",
        "preprocessing": PREPROCESSING,
    }


def _convert(answering: Answering, images: np.ndarray) -> onnx.ModelProto:
    batch = {IMAGES: {0: torch.export.Dim("batch")}}
    names = [PROBABILITIES, DESCRIPTOR]
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # torch's exporter warns of its own parts
            program = torch.onnx.export(
                answering,
                (torch.from_numpy(images),),
                input_names=[IMAGES],
                output_names=names,
                dynamic_shapes=batch,
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        what = f"torch cannot write this network as ONNX: {type(error).__name__}: {shown(' '.join(str(error).split()))}"
        do = "nothing was written; --folder exports any network"
        raise ConfigError("C133", what, do=do) from error
    assert program is not None
    return program.model_proto


def _with_facts(proto: onnx.ModelProto, facts: Mapping[str, str]) -> bytes:
    """The file's bytes, with the facts instead of the exporter's own notes on where each node comes from."""
    for part in (*proto.graph.node, *proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    proto.producer_name = "fewlabels"
    onnx.helper.set_model_props(proto, dict(facts))
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest, relative to the largest number expected where that is above 1; infinite where one is no number."""
    if found.shape != expected.shape:
        return float("inf")
    largest = float(np.abs(found.astype(np.float64) - expected).max())
    return largest / max(1.0, float(np.abs(expected).max())) if np.isfinite(largest) else float("inf")
