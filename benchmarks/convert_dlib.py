"""dlib's recogniser, from a TorchScript file to the weights that ship: lfic/weights/dlib-resnet.safetensors.

python benchmarks/convert_dlib.py dlib-resnet.pt OUT.safetensors

The file's graph has one scale and one shift for each convolution; both are folded into it. Every weight becomes 8 bits.
SHA-256 of the file that was converted: 3aeea41f08cb22db94f52367e89d93a9114a2f28291dbb587c52f65ae0a7aa03.
"""

import sys

import numpy as np
import torch
from safetensors.numpy import save_file

from lfic.format.weights import digest
from lfic.metric.identity import open_torchscript
from lfic.metric.resnet import FORMAT, FaceResNet, eight_bits


def layers_of(path):
    """([weight, bias, scale, shift] of each convolution in order, weight [inputs, outputs] of the last layer)."""
    found, last = [], None
    constants = {}
    for node in open_torchscript(path).inlined_graph.nodes():
        inputs = [value.debugName() for value in node.inputs()]
        known = [constants[name] for name in inputs if name in constants]
        if node.kind() == "prim::Constant" and node.output().type().kind() == "TensorType":
            constants[node.output().debugName()] = node.output().toIValue()
        elif node.kind() == "aten::_convolution":
            found.append(known)
        elif node.kind() in ("aten::mul", "aten::add") and known:
            found[-1] += known
        elif node.kind() == "aten::matmul":
            last = known[0]
    return found, last


def main(source, target):
    convolutions, last = layers_of(source)
    names = [name for name, module in FaceResNet().named_modules() if isinstance(module, torch.nn.Conv2d)]
    arrays = {}
    for name, (weight, bias, scale, shift) in zip(names, convolutions, strict=True):
        folded = (weight * scale.view(-1, 1, 1, 1)).numpy().astype(np.float32)
        arrays |= {f"{name}.weight{key}": value for key, value in eight_bits(folded).items()}
        arrays[f"{name}.bias"] = (bias * scale.flatten() + shift.flatten()).numpy().astype(np.float32)
    arrays |= {f"out.weight{key}": value for key, value in eight_bits(last.T.contiguous().numpy()).items()}
    arrays = {key: np.ascontiguousarray(value) for key, value in arrays.items()}
    about = {"format": FORMAT, "digest": digest(arrays), "licence": "public domain (Davis King, dlib)"}
    save_file(arrays, target, about)


if __name__ == "__main__":
    main(*sys.argv[1:])
