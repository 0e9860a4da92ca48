"""Graphs in fewer bytes: their int8 form, and what else can be left out, which counts where weights are int8."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from seqlab.errors import ConfigError

QUANTIZED = ("LSTM", "MatMul", "Gemm")  # convolutions stay: int8 ones are slower on CPUs than float
FRONTEND = "f"  # begins the names of its nodes, see compact
SPARSE = 4096  # bytes from which a tensor that is mostly zeros is written as its other elements


def compact(graph: Any) -> None:
    """Shorten what a graph calls its values, hold equal constants once, and leave out zeros and inferred shapes.

    A constant that the exporter hands on as a copy is the same one.

    Inputs, outputs and the first letter of a node's place in the network keep their names: a node of the frontend is
    called f and a number.

    Args:
        graph: an onnx.GraphProto without subgraphs; it is changed.
    """
    from onnx import helper, numpy_helper

    nodes, weights = [], list(graph.initializer)
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            value.name = node.output[0]
            weights.append(value)
        else:
            nodes.append(node)
    given = {tensor.name for tensor in weights}
    copies = {node.output[0]: node.input[0] for node in nodes if node.op_type == "Identity" and node.input[0] in given}
    copies = {name: of for name, of in copies.items() if name not in {x.name for x in graph.output}}
    nodes = [node for node in nodes if node.output[0] not in copies]
    same: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    kept = []
    for tensor in weights:
        array = numpy_helper.to_array(tensor)
        key = (tensor.data_type, array.shape, array.tobytes())
        same[tensor.name] = seen.setdefault(key, tensor.name)
        if same[tensor.name] != tensor.name:
            continue
        places = np.flatnonzero(array)
        if array.dtype == np.float32 and array.nbytes >= SPARSE and 4 * len(places) < array.size:
            parts = {
                "size": np.array([array.size]),
                "places": places.astype(np.int32),
                "values": array.reshape(-1)[places],
                "shape": np.array(array.shape),
            }
            kept += [numpy_helper.from_array(part, f"{tensor.name}.{name}") for name, part in parts.items()]
            size, at, values, shape = (f"{tensor.name}.{name}" for name in parts)
            zeros, flat = f"{tensor.name}.zeros", f"{tensor.name}.flat"
            made = [
                helper.make_node("ConstantOfShape", [size], [zeros]),
                helper.make_node("ScatterElements", [zeros, at, values], [flat]),
                helper.make_node("Reshape", [flat, shape], [tensor.name]),
            ]
            nodes[:0] = made
        else:
            kept.append(tensor)
    same |= {name: same[of] for name, of in copies.items()}
    outside = {x.name for x in (*graph.input, *graph.output)} | {""}
    names: dict[str, str] = {name: name for name in outside}

    def short(name: str) -> str:
        name = same.get(name, name)
        return names.setdefault(name, f"v{len(names)}")

    for number, node in enumerate(nodes):
        node.name = f"{node.name.lstrip('/')[:1] or 'n'}{number}"
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
        node.ClearField("doc_string")
    for tensor in kept:
        tensor.name = short(tensor.name)
    for field, rows in (("node", nodes), ("initializer", kept)):
        graph.ClearField(field)
        getattr(graph, field).extend(rows)
    graph.ClearField("value_info")


def quantize(file: Path, out: Path) -> None:
    """Write a graph with int8 weights; activations are quantised as they come (dynamic quantisation).

    Args:
        file: a graph of ``export_graph``.
        out: the int8 graph.
    """
    packages()
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(file)
    _unshared(graph.graph)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it advises on the root logger
    try:
        quantize_dynamic(
            *(graph, out),
            op_types_to_quantize=list(QUANTIZED),
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[node.name for node in graph.graph.node if node.name.startswith(FRONTEND)],
        )
    finally:
        root.setLevel(level)
    graph = onnx.load(out)
    compact(graph.graph)
    onnx.save(graph, out)


def _unshared(graph: Any) -> None:
    """Give every LSTM weights of its own: the quantiser leaves a second reader of the same ones as it is.

    ``compact`` holds them once again.
    """
    weights, read = {tensor.name: tensor for tensor in graph.initializer}, set()
    for node in graph.node:
        for place in (1, 2) if node.op_type == "LSTM" else ():
            name = node.input[place]
            if name in read and name in weights:
                node.input[place] = f"{name}.{node.name}"
                graph.initializer.add().CopyFrom(weights[name])
                graph.initializer[-1].name = node.input[place]
            read.add(name)


def packages() -> None:
    """Make sure that what writes and runs graphs is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed: pip install 'seqlab[export]'") from None
