"""A trained network as an ONNX model with its metadata and a checksum."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nastk.core import mark
from nastk.core.errors import NastkError, OutputError, SchemaError
from nastk.core.extras import needed
from nastk.core.run.exporter import Exporter, Trained
from nastk.core.run.store import RunDirectory
from nastk.plugins.exporters.card import Card
from nastk.plugins.exporters.new_file import FLIPPED, check_new
from nastk.plugins.exporters.program import INPUT, OUTPUT, program_of, reason

WHO = "The exporter 'onnx'"
SEAL = b"rJ\n\x06sha256\x12@"
"""What a metadata entry "sha256" with 64 characters begins with. The bytes of two models, one behind the other, are one model
with the entries of both, so the entry at the end can speak of all bytes before it."""
LENGTH = len(SEAL) + 64


class OnnxNetwork:
    """A model in onnxruntime: samples ``(T, B, C, H, W)`` to logits ``(T, B, K)``, on the CPU."""

    def __init__(self, session: Any) -> None:
        self.session = session

    def __call__(self, x_TBCHW: Tensor) -> Tensor:
        (logits,) = self.session.run([OUTPUT], {INPUT: x_TBCHW.detach().cpu().contiguous().numpy()})
        return torch.from_numpy(logits)


@mark.exporter("onnx")
class OnnxFile(Exporter):
    """An ONNX model: T fixed and unrolled, the batch free, normalisation, genotype and a checksum as metadata."""

    suffix = ".onnx"
    tolerance = FLIPPED

    def __init__(self) -> None:
        for module in ("onnx", "onnxscript", "onnxruntime"):
            needed(module, "onnx", WHO)

    def write(self, trained: Trained, path: Path) -> None:
        """Write the model. Raises :class:`OutputError` for what torch cannot write as ONNX, and when the file is there."""
        check_new(path)
        try:
            metadata = Card.of(trained).text()
        except NastkError as error:
            raise OutputError(f"The network cannot be exported: {error}") from error
        del metadata["format"]
        program = program_of(trained)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torch's exporter about itself
                made = torch.onnx.export(
                    program, dynamo=True, external_data=False, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
                )
            model = made.model_proto
        except Exception as error:  # of torch or onnxscript
            raise OutputError(f"torch cannot write the network as ONNX: {reason(error)}") from error
        for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
            del part.metadata_props[:]  # where in torch's graph it comes from: most of a small model's bytes
        for key, value in metadata.items():
            model.metadata_props.add(key=key, value=value)
        content = model.SerializeToString()
        RunDirectory(path.parent).write(path.name, content + SEAL + hashlib.sha256(content).hexdigest().encode())

    def read(self, path: Path) -> OnnxNetwork:
        """The model in onnxruntime, once its checksum is seen to be right."""
        if not path.is_file():
            raise OutputError(f"There is no file {path}.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
        model, seal = content[:-LENGTH], content[-LENGTH:]
        if not seal.startswith(SEAL):
            raise SchemaError(f"{path} is damaged or was not exported by nastk: it does not end in a checksum.")
        if seal != SEAL + hashlib.sha256(model).hexdigest().encode():
            raise SchemaError(f"{path} is damaged: its content does not give the checksum that stands in it.")
        runtime = needed("onnxruntime", "onnx", WHO)
        try:
            session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
            ends = ([end.name for end in session.get_inputs()], [end.name for end in session.get_outputs()])
        except Exception as error:  # of onnxruntime, which has kinds of its own
            raise SchemaError(f"{path} cannot be run: {type(error).__name__}: {' '.join(str(error).split())}.") from error
        if ends != ([INPUT], [OUTPUT]):
            raise SchemaError(f"{path} was not exported by nastk: it reads {ends[0]} and gives {ends[1]}.")
        return OnnxNetwork(session)
