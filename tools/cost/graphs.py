"""Make the graphs of the published networks again, without their weights, and the table of their operators.

python -m tools.cost.graphs FOLDER

writes ``FOLDER/GRAPH.onnx`` for each network that is not there yet (about five minutes for all, none over 1 MB), and
then ``operators.csv.gz`` from the graphs and the batches of ``published.csv``, and the same in int8. The definitions
are those of timm (1.0.31) and torchvision (0.29.1), which this project does not need otherwise, and only where a graph
is missing:

pip install --no-deps timm torchvision

``--no-deps``, in a virtual environment of its own that holds this project and torch: torchvision's wheel wants another
build of torch, and its compiled operators do not load with this one. No classifier needs them; their registration is
what :func:`_make` steps over.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx

from neonext_ascend.artifacts.skim import skim_model
from neonext_ascend.cost.counting import Work, operators
from neonext_ascend.cost.flow import Flow
from neonext_ascend.cost.int8.plain import can_be_int8
from tools.cost.figures import INT8_FIGURES, INT8_OPERATORS, Figure, read_figures, write_operators

OPSET = 17


@dataclass(frozen=True, slots=True)
class Definition:
    """Where a network is defined.

    Attributes:
        model: name in timm, or in torchvision.
        height, width: of the image.
        options: of its constructor.
        small: the first layer as for images of 32 pixels: 3x3, stride 1, no pool behind it.
    """

    model: str
    height: int = 224
    width: int = 224
    torchvision: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    small: bool = False


def _timm(size: int, names: str) -> dict[str, Definition]:
    return {name: Definition(name, size, size) for name in names.split()}


def _torchvision(names: str, **options: Any) -> dict[str, Definition]:
    return {name: Definition(name, torchvision=True, options=options) for name in names.split()}


# By the name in published.csv; behind @ the image size where it is not the network's usual one.
GRAPHS: Mapping[str, Definition] = {
    **_timm(
        224,
        "efficientnet_b0 densenet121 dpn131 convmixer_1536_20 convnext_tiny hrnet_w18 legacy_seresnet50 "
        "legacy_seresnext50_32x4d mobilenetv3_small_100 regnetx_016 repvgg_a0 res2net101d resnet18 resnet34 resnet50 "
        "resnet101 resnext101_32x8d seresnext101_32x4d spnasnet_100 tresnet_m vgg16 vgg19 vovnet39a wide_resnet50_2 "
        "wide_resnet101_2 swin_large_patch4_window7_224 tnt_s_patch16_224 twins_pcpvt_small twins_svt_large "
        "vit_base_patch16_224 vit_base_patch32_224 vit_base_patch8_224 vit_small_patch16_224 xcit_small_12_p16_224",
    ),
    **_timm(240, "efficientnet_b1"),
    **_timm(288, "efficientnetv2_rw_t"),
    **_timm(299, "inception_resnet_v2 inception_v3 xception"),
    **_timm(331, "nasnetalarge pnasnet5large"),
    **_timm(
        384, "vit_so400m_patch14_siglip_384 swin_large_patch4_window12_384 vit_base_patch16_384 vit_base_patch32_384"
    ),
    **_timm(456, "efficientnet_b5"),
    **_timm(600, "efficientnet_b7"),
    **_torchvision("alexnet mnasnet1_0 mobilenet_v2 shufflenet_v2_x1_0 squeezenet1_1"),
    **_torchvision("googlenet", init_weights=False),
    "densenet121@256": Definition("densenet121", 256, 256),
    "resnet18@32": Definition("resnet18", 32, 32, options={"num_classes": 100}, small=True),
    "resnet50@32": Definition("resnet50", 32, 32, options={"num_classes": 100}, small=True),
    "resnet50@384": Definition("resnet50", 384, 384),
    "reid_strong_baseline_resnet50": Definition("resnet50", 256, 128, options={"num_classes": 0, "output_stride": 16}),
    "alignedreid_resnet50": Definition("resnet50", 256, 128, options={"num_classes": 0, "global_pool": ""}),
}


def make_graph(definition: Definition) -> onnx.ModelProto:
    """Export one network with a free batch, and leave its weights out."""
    import torch  # counting needs none

    torch.manual_seed(0)
    network = _make(definition).eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            network,
            (torch.rand(2, 3, definition.height, definition.width),),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "N"}, "output": {0: "N"}},
        )
        return skim_model(path)


def _make(definition: Definition) -> Any:
    import torch

    register, torch.library.register_fake = torch.library.register_fake, lambda *_, **__: lambda function: function
    try:
        timm, torchvision = import_module("timm"), import_module("torchvision")
    finally:
        torch.library.register_fake = register
    if definition.torchvision:
        return getattr(torchvision.models, definition.model)(weights=None, **definition.options)
    network = timm.create_model(definition.model, **definition.options)
    if definition.small:
        network.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        network.maxpool = torch.nn.Identity()
    return network


def counted(folder: Path, figures: Sequence[Figure], *, int8: bool = False) -> dict[tuple[str, int], list[Work]]:
    """The operators of each published graph at each of its batches, in the order of the figures.

    Args:
        folder: of the graphs.
        figures: that name them.
        int8: with every product in int8 that can be.
    """
    models: dict[str, onnx.ModelProto] = {}
    works: dict[tuple[str, int], list[Work]] = {}
    for figure in figures:
        if (figure.graph, figure.batch) not in works:
            model = models.setdefault(figure.graph, onnx.load(folder / f"{figure.graph}.onnx"))
            flow = Flow(model, figure.batch)
            found = operators(flow, can_be_int8(flow) if int8 else ())
            works[figure.graph, figure.batch] = [operator.work for operator in found]
    return works


def main() -> None:
    """Make what is missing, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for graph, definition in GRAPHS.items():
        path = folder / f"{graph}.onnx"
        if not path.exists():
            onnx.save(make_graph(definition), path)
            print(f"{graph}: {path.stat().st_size // 1024} kB", flush=True)
    works = counted(folder, read_figures())
    write_operators(works)
    print(f"{len(works)} graphs and batches, {sum(map(len, works.values()))} operators")
    write_operators(counted(folder, read_figures(INT8_FIGURES), int8=True), INT8_OPERATORS)


if __name__ == "__main__":
    main()
