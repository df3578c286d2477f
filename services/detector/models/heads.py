"""YuNet's twelve heads as three: the same numbers from the same weights, sooner.

At each stride the network ends in four heads (class, object, box, landmarks), each of two small
convolutions over the same features. onnxruntime computes convolutions in blocks of 16 channels, so
that a head of one channel costs as much as one of 16: just as many as all four have together.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

HEADS = ("cls", "obj", "bbox", "kps")
CHANNELS = 16  # 1 + 1 + 4 + 10, in this order


def joined(weights: bytes, outputs: list[str]) -> bytes:
    """The model with one output a stride, (1, 16, rows, columns), named by `outputs`.

    Class and object come as they are before the sigmoid that the file puts behind them.
    """
    model = onnx.load_from_string(weights)
    graph = model.graph
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    features = {node.input[1]: node.input[0] for node in graph.node if node.op_type == "Conv"}
    for level, output in enumerate(outputs):
        heads = [f"bbox_head.multi_level_{head}.{level}" for head in HEADS]
        for part in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
            together = np.concatenate([values[f"{head}.{part}"] for head in heads])
            graph.initializer.append(numpy_helper.from_array(together, f"{output}.{part}"))
        first = [f"{output}.conv1.weight", f"{output}.conv1.bias"]
        second = [f"{output}.conv2.weight", f"{output}.conv2.bias"]
        source, between = features[f"{heads[0]}.conv1.weight"], f"{output}.conv1"
        graph.node.extend(
            [
                helper.make_node("Conv", [source, *first], [between], kernel_shape=[1, 1]),
                helper.make_node(
                    "Conv",
                    [between, *second],
                    [output],
                    kernel_shape=[3, 3],
                    pads=[1, 1, 1, 1],
                    group=CHANNELS,
                ),
            ]
        )
    del graph.output[:]
    for output in outputs:
        shape = [1, CHANNELS, None, None]
        told = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, shape)
        graph.output.append(told)
    _prune(graph, outputs)
    return bytes(model.SerializeToString())


def _prune(graph: onnx.GraphProto, outputs: list[str]) -> None:
    """Take out what leads to none of the outputs; onnxruntime would compute it all the same."""
    needed = set(outputs)
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    kept = [one for one in graph.initializer if one.name in needed]
    del graph.node[:]
    del graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(kept)
