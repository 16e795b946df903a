"""A model's network as ONNX, for programs without torch; checked against torch by onnxruntime before it is written.

Batch and grid are free, as long as the grid's sides are multiples of the metadata's ``step`` and at least its
``smallest``. The metadata (key ``dramlesion``, JSON) also holds the model's description and checksum.

Inputs and outputs are float32 (batch, 1, z, y, x):

* a dRAM model: ``image`` gives ``dram``, 0..1, with the candidate prior; where the model has attention, ``image`` and
  ``mask`` (the lobe) give ``dram`` and ``refined``;
* a final network: ``image`` gives ``probability``, 0..1.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from DRAMLesionLib.lesions.networks import attention
from DRAMLesionLib.lesions.networks.bundle import Model, SegmentationModel, load_any_model
from DRAMLesionLib.lesions.networks.candidates import candidate_offset
from DRAMLesionLib.lesions.networks.description import AttentionSettings, ModelDescription
from DRAMLesionLib.lesions.networks.dram_network import HALVINGS, SMALLEST_GRID, DenseNetwork, Padding
from DRAMLesionLib.system.errors import InputError
from DRAMLesionLib.system.files import atomic_file
from DRAMLesionLib.system.optional import import_optional
from DRAMLesionLib.system.progress import Progress, silent
from DRAMLesionLib.system.record import RESEARCH_USE

LARGEST_DIFFERENCE = 1e-3
"""An export whose maps (0..1) differ by more than this from torch's is refused."""
_METADATA = "dramlesion"


class WholeGrid(AttentionSettings):
    """An attention grid in whole steps of the network's: ONNX has no rounding of sizes, and here none is needed."""

    def grid_size(self, size: Sequence[int]) -> tuple[int, int, int]:
        """Does what the base class does, for sides that are multiples of the step."""
        assert isinstance(self.grid, float | int)
        z, y, x = (n // int(self.grid) for n in size)
        return z, y, x


class DramGraph(torch.nn.Module):
    """What the exported dRAM network computes, on a grid that needs no padding."""

    def __init__(self, network: DenseNetwork, description: ModelDescription):
        """Wrap a network in eval mode."""
        super().__init__()
        self.network, self.description = copy.deepcopy(network), description
        if self.network.attention is not None:
            settings = self.network.attention.settings
            if settings.grid not in (None, 1, 2, 4, 8, 16):
                raise InputError(f"attention.grid {settings.grid}: ONNX export needs 1, 2, 4, 8, 16 or null")
            if settings.grid is not None:
                self.network.attention.settings = WholeGrid(**settings.to_dict())

    def forward(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """The dRAM and, where there is attention, the refined dRAM."""
        logits, features = self.network._logits_and_features(image)
        offset = candidate_offset(image, self.description)
        dram = torch.sigmoid(logits if offset is None else logits + offset)
        if self.network.attention is None or mask is None:
            return (dram,)
        return dram, self.network.attention(dram, image, features, mask)


class SegmentationGraph(torch.nn.Module):
    """What the exported final network computes."""

    def __init__(self, network: torch.nn.Module):
        """Wrap a network in eval mode."""
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The lesion probability."""
        return (torch.sigmoid(self.network(image)),)


@dataclass(frozen=True)
class Graph:
    """A graph and how it is called.

    Attributes:
        module: In eval mode.
        inputs: Their names.
        outputs: Their names.
        step: Sides are multiples of it ...
        smallest: ... and at least this.
    """

    module: torch.nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    step: int
    smallest: int


def graph_of(model: Model | SegmentationModel) -> Graph:
    """The graph that stands for a model."""
    if isinstance(model, SegmentationModel):
        step = model.description.network.step
        return Graph(SegmentationGraph(model.network).eval(), ("image",), ("probability",), step, 2 * step)
    module = DramGraph(model.network, model.description).eval()
    refines = model.network.attention is not None
    inputs = ("image", "mask") if refines else ("image",)
    outputs = ("dram", "refined") if refines else ("dram",)
    return Graph(module, inputs, outputs, 2**HALVINGS, SMALLEST_GRID)


def export_onnx(model: str | Path | None, out: str | Path, progress: Progress = silent) -> dict[str, Any]:
    """Write a model's network as ONNX.

    Args:
        model: A bundle's folder or name, of either kind; None is the default dRAM model.
        out: The file to make or replace.
        progress: Told the stage.

    Returns:
        JSON values: ``kind``, ``inputs``, ``outputs``, ``step`` and ``difference``, the largest from torch.

    Raises:
        InputError: A package is missing, the model can't be used, or its network can't be exported.
        OutputError: The file can't be written.
    """
    _require("onnx", "onnxscript", "onnxruntime")
    loaded = load_any_model(model)
    graph = graph_of(loaded)
    progress("Exporting to ONNX", 0.0)
    program = _export(graph, loaded.name)
    description = {
        "kind": "segmentation" if isinstance(loaded, SegmentationModel) else "dram",
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "step": graph.step,
        "smallest": graph.smallest,
    }
    facts = {
        **description,
        "name": loaded.name,
        "version": loaded.version,
        "checksum": loaded.checksum,
        "description": loaded.description.to_dict(),
        "statement": RESEARCH_USE,
    }
    program.model.metadata_props[_METADATA] = json.dumps(facts)
    with atomic_file(out) as temporary:
        program.save(temporary, external_data=False)
        progress("Comparing with torch", 0.6)
        difference = compare(temporary, graph)
        if difference > LARGEST_DIFFERENCE:
            raise InputError(
                f"{loaded.folder}: its ONNX export differs from torch by {difference:.2g}: not written"
            )
    progress("Comparing with torch", 1.0)
    return {**description, "difference": difference}


def compare(path: str | Path, graph: Graph) -> float:
    """The largest difference of an exported graph's outputs from torch's, on random grids of two sizes."""
    session = _session(path)
    random = np.random.default_rng(0)
    worst = 0.0
    for steps in ((2, 3, 2), (3, 2, 4)):
        size = (1, 1, *(max(graph.smallest, n * graph.step) for n in steps))
        given = {"image": random.random(size, np.float32)}
        if "mask" in graph.inputs:
            given["mask"] = (random.random(size) < 0.7).astype(np.float32)
        with torch.inference_mode():
            wanted = graph.module(*(torch.from_numpy(given[name]) for name in graph.inputs))
        for one, other in zip(session.run(list(graph.outputs), given), wanted, strict=True):
            worst = max(worst, float(np.abs(one - other.numpy()).max()))
    return worst


def run_onnx(path: str | Path, image: np.ndarray, mask: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Run an exported network on a grid of any size, padded with air as the network itself pads it.

    Args:
        path: What :func:`export_onnx` wrote.
        image: float32 (z, y, x), the HU window of the description as 0..1, 0 outside the lobe.
        mask: (z, y, x), the lobe; where the file has an input of this name.

    Returns:
        The outputs by name, float32 (z, y, x).

    Raises:
        InputError: onnxruntime is missing, the file is none of ours, or the mask is missing.
    """
    session = _session(path)
    text = session.get_modelmeta().custom_metadata_map.get(_METADATA)
    if text is None:
        raise InputError(f"{path}: no export of this library: make it with export-onnx")
    facts = json.loads(text)
    given = {"image": image} if mask is None else {"image": image, "mask": mask}
    missing = set(facts["inputs"]) - set(given)
    if missing:
        raise InputError(f"{path}: needs the input {', '.join(sorted(missing))}: give the lobe as mask")
    tensors = {
        name: torch.from_numpy(np.asarray(given[name], np.float32))[None, None] for name in facts["inputs"]
    }
    padding = _padding(image.shape, facts["step"], facts["smallest"])
    feeds = {name: padding.pad(tensor).numpy() for name, tensor in tensors.items()}
    outputs = session.run(facts["outputs"], feeds)
    return {
        name: padding.crop(torch.from_numpy(array))[0, 0].numpy()
        for name, array in zip(facts["outputs"], outputs, strict=True)
    }


def _padding(size: tuple[int, ...], step: int, smallest: int) -> Padding:
    """How a volume is padded for any network, dRAM or final."""
    margins = [max(smallest, -(-n // step) * step) - n for n in size]
    return Padding(size, tuple(m // 2 for m in margins), tuple(m - m // 2 for m in margins))


def _export(graph: Graph, name: str) -> Any:
    side = graph.smallest + graph.step
    example = torch.rand(1, 1, side, side + graph.step, side + 2 * graph.step)
    least = graph.smallest // graph.step
    axes = {
        i: graph.step * torch.export.Dim(axis, min=least, max=1024 // graph.step)
        for i, axis in enumerate("zyx", 2)
    }
    shapes = tuple({0: torch.export.Dim("batch", min=1, max=64), **axes} for _ in graph.inputs)
    # A batch of one would be taken for a constant.
    arguments = tuple(torch.cat([example, example]) for _ in graph.inputs)
    try:
        with _quiet(), _whole_pooling(), torch.no_grad():
            return torch.onnx.export(
                graph.module,
                arguments,
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{name}: its network can't be exported to ONNX: {reason}") from error


def _session(path: str | Path) -> Any:
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own classes are not public
        raise InputError(f"{path}: can't be read as ONNX: {str(error).splitlines()[0]}") from error


def _require(*packages: str) -> None:
    for package in packages:
        import_optional(package, package, "ONNX")


@contextmanager
def _whole_pooling() -> Iterator[None]:
    """The attention's pooling by whole factors: ONNX has no adaptive pooling, and these grids divide each other."""

    def pool(values: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
        factors = [int(n // s) for n, s in zip(values.shape[2:], size, strict=True)]
        return values if factors == [1, 1, 1] else torch.nn.functional.avg_pool3d(values, factors)

    original = attention._pool
    attention._pool = pool
    try:
        yield
    finally:
        attention._pool = original


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on operators of packages that nobody uses here."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
