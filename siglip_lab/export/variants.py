"""One tower's file in each number format: float32, half precision, integers of eight bits.

`float32` is the model. `float16` computes in half precision, too, which GPUs do well. `bfloat16`
only stores: ONNX Runtime has no arithmetic of it on a CPU, so the numbers are widened as the file
is loaded. `int8` rounds the weights of linear maps, and what goes into each as it comes (dynamic
quantisation); `int8-weights` rounds the weights alone, 32 to a scale.
"""

from __future__ import annotations

import copy
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from siglip_lab.export.towers import FILES, quiet, to_graph
from siglip_lab.model import TwoTowers

__all__ = ["SIZES", "SUFFIXES", "save", "write_variants"]

# The ends of the files' names, as in transformers.js; float32 has none
SUFFIXES = {
    "float32": "", "float16": "_fp16", "bfloat16": "_bf16", "int8": "_int8",
    "int8-weights": "_int8_weights",
}  # fmt: skip
# Room that each takes while it is written, of float32's; the quantiser makes copies
SIZES = {"float32": 1.0, "float16": 0.5, "bfloat16": 0.5, "int8": 1.6, "int8-weights": 0.6}
MOST = 2**31 - 2**20  # bytes of a file: ONNX's own form, protobuf, ends at 2 GB
BLOCK = 32  # weights that share a scale
_LINEAR = ["MatMul", "Gemm", "Gather"]  # Gather: the table of tokens


def write_variants(
    model: TwoTowers, side: str, inputs: Mapping[str, Tensor], folder: Path, dtypes: list[str]
) -> Iterator[tuple[str, Path]]:
    """Write a tower's file in each of the formats.

    Args:
        model: The model, in float32.
        side: "image" or "text".
        inputs: Two rows or more of the tower's inputs, to trace it with.
        folder: Where to write.
        dtypes: Keys of `SUFFIXES`.

    Yields:
        Each format and its file, one after the other.
    """
    # Always, for the quantiser reads it; without weights it would have to be traced again
    plain = folder / f"{FILES[side]}.onnx"
    save(to_graph(model, side, inputs), plain)
    for dtype in dtypes:
        path = folder / f"{FILES[side]}{SUFFIXES[dtype]}.onnx"
        if dtype == "float16":
            save(to_graph(copy.deepcopy(model).half(), side, inputs), path)
        elif dtype == "bfloat16":
            save(_stored_in_half(plain), path)
        elif dtype == "int8":
            _quantize(plain, path)
        elif dtype == "int8-weights":
            save(_quantized_weights(plain), path)
        yield dtype, path
    if "float32" not in dtypes:
        for path in (plain, _data(plain)):
            path.unlink(missing_ok=True)


def save(graph: Any, path: Path) -> None:
    """Write an `onnx_ir.Model`; its weights beside it (``.onnx_data``) if it would be too large."""
    import onnx_ir

    size = sum(tensor.const_value.nbytes for tensor in graph.graph.initializers.values())
    data = _data(path).name if size > MOST else None
    if data is None:
        onnx_ir.external_data.load_to_model(graph)  # what was read from a large file
    onnx_ir.save(graph, path, external_data=data)


def _data(path: Path) -> Path:
    return path.with_suffix(".onnx_data")


def _stored_in_half(path: Path) -> Any:
    """The same graph, whose matrices are stored in bfloat16 and widened before they are used."""
    import onnx_ir
    from ml_dtypes import bfloat16

    model: Any = onnx_ir.load(path)
    weights = model.graph.initializers
    for name, value in list(weights.items()):
        tensor = value.const_value
        if tensor.dtype != onnx_ir.DataType.FLOAT or len(tensor.shape) < 2:
            continue
        stored = onnx_ir.val(
            f"{name}_bf16", const_value=onnx_ir.tensor(tensor.numpy().astype(bfloat16))
        )
        widen = onnx_ir.node("Cast", [stored], {"to": onnx_ir.DataType.FLOAT.value})
        value.replace_all_uses_with(widen.outputs[0])
        del weights[name]
        weights[stored.name] = stored
        model.graph.insert_before(model.graph[0], widen)
    return model


def _quantize(plain: Path, path: Path) -> None:
    """Dynamic quantisation, with weights of seven bits.

    With eight, processors without VNNI would add two products in 16 bits that do not fit, and
    answer other than those with it. ONNX Runtime calls it `reduce_range`.
    """
    import onnx_ir
    from google.protobuf.message import DecodeError
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        large = Path(folder) / path.name  # as the quantiser writes what may be above 2 GB
        try:
            with quiet():
                quantize_dynamic(
                    plain, large, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
                    op_types_to_quantize=_LINEAR, use_external_data_format=True,
                )  # fmt: skip
        except DecodeError as error:  # of its own file, which it writes without looking
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        save(onnx_ir.load(large), path)


def _quantized_weights(plain: Path) -> Any:
    import onnx
    import onnx_ir
    from onnxruntime.quantization import matmul_nbits_quantizer as nbits

    with quiet():
        config = nbits.DefaultWeightOnlyQuantConfig(block_size=BLOCK, is_symmetric=True, bits=8)
        quantizer = nbits.MatMulNBitsQuantizer(onnx.load(plain), algo_config=config)
        quantizer.process()
    return onnx_ir.from_proto(quantizer.model.model)
