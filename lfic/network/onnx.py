"""The networks for onnxruntime: two files of standard operators, for pictures of any size and any number of them.

    analysis.onnx    pixels, quality, aligned -> features, levels, symbols, counts
    synthesis.onnx   symbols, levels, quality, aligned, grid -> pixels

Symbols come and go as ``lfic.coder.ContextModel`` takes and gives them. These are the float networks: what the integers
say of a picture is theirs within what ``lfic export`` measures.
"""

import pathlib

import torch
from torch import Tensor, nn

from ..errors import MissingDependencyError
from ..files import PathLike
from ..format.geometry import STRIDE
from ..kernels import rap_quantize, rap_unpool
from .load import Model
from .net import CodecNet

SIDES = (112, 76)  # of the picture that is traced: on both axes another number of cells


class AnalysisGraph(nn.Module):
    """See ``write``."""

    gain: Tensor

    def __init__(self, net: CodecNet, gain: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("gain", gain.clone())

    def forward(self, pixels: Tensor, quality: Tensor, aligned: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y = self.net.analyze(pixels, quality, aligned)
        levels = self.net.region_levels(y, quality, aligned)
        symbols, counts = rap_quantize(y, levels, self.gain, quality - 1)
        return y, levels, symbols, counts


class SynthesisGraph(nn.Module):
    """See ``write``."""

    step: Tensor

    def __init__(self, net: CodecNet, step: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("step", step.clone())

    def forward(self, symbols: Tensor, levels: Tensor, quality: Tensor, aligned: Tensor, grid: Tensor) -> Tensor:
        rows, columns = grid.shape
        features = rap_unpool(symbols, levels, self.step, quality - 1, rows, columns)
        return self.net.synthesize(features, levels, quality, aligned, STRIDE * rows, STRIDE * columns)


def write(model: Model, folder: PathLike) -> list[pathlib.Path]:
    """A model's two networks as analysis.onnx and synthesis.onnx.

    ============  ====================================================================================================
    pixels        float [N, 3, H, W] in 0..1; of the synthesis [N, 3, 8 h, 8 w]: whole cells, to be cut to the size
    quality       int64 [N], 1 to 100
    aligned       bool [N]: faces of 112 x 112 on the template; False for any other size
    features      float [N, C, h, w], h = ceil(H / 8), w = ceil(W / 8)
    levels        uint8 [N, ceil(h / 4), ceil(w / 4)]
    symbols       int16 [N, K] in coding order, zeros behind the first counts int64 [N]
    grid          uint8 [h, w]: only its shape counts
    ============  ====================================================================================================

    Raises:
        MissingDependencyError: onnx or onnxscript is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"ONNX files need onnx and onnxscript ({error}): pip install 'lfic[onnx]'"
        ) from None
    from ..kernels.onnx import translations

    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    net, any_size = model.net, torch.export.Dim.AUTO
    quality, aligned = torch.tensor([40, 75]), torch.tensor([False, False])
    pixels = torch.rand(2, 3, *SIDES)
    analysis = AnalysisGraph(net, model.gain).eval()
    with torch.no_grad():
        y, levels, symbols, _ = analysis(pixels, quality, aligned)
    grid = torch.zeros(y.shape[2:], dtype=torch.uint8)
    batch = {0: any_size}
    wanted = (
        ("analysis", analysis, (pixels, quality, aligned), ({0: any_size, 2: any_size, 3: any_size}, batch, batch),
         ("pixels", "quality", "aligned"), ("features", "levels", "symbols", "counts")),
        ("synthesis", SynthesisGraph(net, model.step).eval(), (symbols, levels, quality, aligned, grid),
         ({0: any_size, 1: any_size}, {0: any_size, 1: any_size, 2: any_size}, batch, batch, batch | {1: any_size}),
         ("symbols", "levels", "quality", "aligned", "grid"), ("pixels",)),
    )  # fmt: skip
    paths = []
    for name, graph, example, shapes, inputs, outputs in wanted:
        with torch.no_grad():
            program = torch.onnx.export(
                graph, example, dynamo=True, dynamic_shapes=shapes, input_names=inputs, output_names=outputs,
                custom_translation_table=translations(), verbose=False,
            )  # fmt: skip
        assert program is not None
        paths.append(out / f"{name}.onnx")
        program.save(paths[-1])
    return paths
