import numpy as np
import pytest

from seqlab.export.compact import compact

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def test_a_compact_graph_computes_the_same_in_fewer_bytes() -> None:
    """y = relu(x W + b) + b, W with 3 of 4096 numbers, b twice and once as a node."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((64, 64), np.float32)
    weights[1, 2], weights[5, 60], weights[63, 63] = 3, -1, 0.5
    bias = np.arange(64, dtype=np.float32)
    nodes = [
        helper.make_node("Constant", [], ["a constant"], value=numpy_helper.from_array(bias)),
        helper.make_node("MatMul", ["x", "weights"], ["a very long name"], "/frontend/MatMul"),
        helper.make_node("Add", ["a very long name", "bias"], ["another"], "/model/Add"),
        helper.make_node("Relu", ["another"], ["relu"], "/model/Relu"),
        helper.make_node("Add", ["relu", "a constant"], ["y"], "/model/Add_1"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 64]) for name in "xy"]
    held = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    before = model.ByteSize()
    compact(model.graph)
    onnx.checker.check_model(model)
    assert before > 4 * 4096 > 1500 > model.ByteSize()
    assert [node.name[0] for node in model.graph.node if node.op_type in ("MatMul", "Relu")] == ["f", "m"]
    assert sum(tensor.dims == [64] for tensor in model.graph.initializer) == 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    wanted = np.maximum(x @ weights + bias, 0) + bias
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-6)
