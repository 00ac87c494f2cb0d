"""A segmentation head on a NeoNeXt's four maps, trained on shapes that it draws, and exported whole.

python examples/segment_shapes.py [STEPS]

The maps are brought to one size by NeoCells that up-sample, so the file holds nothing that a NeoNeXt does not.
"""

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import neonext_ascend
from neonext_ascend import exporters, jobs, passes
from neonext_ascend.kernels.geometry import Cell, CellGroup, Geometry
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.models.neocell import NeoCell
from neonext_ascend.runtimes.ort import OrtRunner

SIDE, SHAPES, WIDTH = 64, ("background", "disc", "square", "cross"), 32
CONFIG = NetworkConfig(
    name="shapes",
    definition="paper",  # without a LayerScale of 1e-6, which wants longer training than a minute
    depths=(1, 1, 2, 1),
    widths=(16, 32, 64, 128),
    cells=((4, 7), (4, 7), (4,), (2,)),
    shifts=(True, True, False, False),
    image_size=(SIDE, SIDE),
)


class Segmenter(nn.Module):
    """``(N, 3, H, W)`` to logits for each pixel ``(N, shapes, H, W)``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = neonext_ascend.create(CONFIG, features=True)
        info = self.features.feature_info
        self.sides = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, WIDTH, 1, bias=False), enlarged(WIDTH, stride // 4), nn.BatchNorm2d(WIDTH)
            )
            for channels, stride in zip(info.widths, info.strides, strict=True)
        )
        self.act = nn.GELU()
        self.top = nn.Sequential(nn.Conv2d(WIDTH, len(SHAPES), 1), enlarged(len(SHAPES), 4))

    def forward(self, x: Tensor) -> Tensor:
        """All maps at stride 4, their sum, and that at stride 1."""
        total: Tensor | None = None
        for side, one in zip(self.sides, self.features(x), strict=True):
            total = side(one) if total is None else total + side(one)
        y: Tensor = self.top(self.act(total))
        return y


def enlarged(channels: int, factor: int) -> nn.Module:
    """A NeoCell from one pixel to ``factor x factor``."""
    cell = Geometry((CellGroup(Cell(1, factor, 1, factor), channels),))
    return NeoCell(cell) if factor > 1 else nn.Identity()


def draw(random: np.random.RandomState, count: int) -> tuple[Tensor, Tensor]:
    """Pictures ``(N, 3, H, W)`` with up to three coloured shapes on noise, and each pixel's shape ``(N, H, W)``."""
    pictures = random.normal(0, 0.3, (count, 3, SIDE, SIDE)).astype(np.float32)
    truth = np.zeros((count, SIDE, SIDE), np.int64)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for picture, shapes in zip(pictures, truth, strict=True):
        for _ in range(random.randint(1, 4)):
            shape, radius = random.randint(1, len(SHAPES)), random.randint(6, 15)
            y, x = random.randint(radius, SIDE - radius, 2)
            inside = covered(shape, abs(rows - y), abs(columns - x), radius)
            picture[:, inside] += random.uniform(-2, 2, (3, 1))
            shapes[inside] = shape
    return torch.from_numpy(pictures), torch.from_numpy(truth)


def covered(shape: int, dy: NDArray[np.int64], dx: NDArray[np.int64], radius: int) -> NDArray[np.bool_]:
    """The pixels of a shape, from their distances to its middle."""
    square = np.maximum(dy, dx) <= radius
    disc, cross = dy**2 + dx**2 <= radius**2, square & (np.minimum(dy, dx) <= radius // 3)
    return (disc, square, cross)[shape - 1]


def train(network: Segmenter, steps: int, seed: int = 0) -> None:
    """Cross-entropy on fresh pictures."""
    random = np.random.RandomState(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    network.train()
    for _ in range(steps):
        pictures, truth = draw(random, 16)
        optimiser.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(network(pictures), truth))
        optimiser.step()
        schedule.step()
    network.eval()


def overlap(network: nn.Module) -> list[float]:
    """Intersection over union of each shape, on pictures that were not trained on."""
    pictures, truth = draw(np.random.RandomState(10**6), 64)
    with torch.no_grad():
        found = network(pictures).argmax(1)
    return [
        float(((found == shape) & (truth == shape)).sum() / ((found == shape) | (truth == shape)).sum())
        for shape in range(len(SHAPES))
    ]


torch.manual_seed(0)
segmenter = Segmenter()
train(segmenter, int(sys.argv[1]) if len(sys.argv) > 1 else 600)
print("overlap", ", ".join(f"{name} {share:.3f}" for name, share in zip(SHAPES, overlap(segmenter), strict=True)))

prepared, report = passes.prepare(segmenter, image_size=SIDE)
file = exporters.export_onnx(prepared, "shapes.onnx", batch_size=1, outputs=["pixels"]).files[0].path
picture, _ = draw(np.random.RandomState(7), 1)
with OrtRunner(file) as runner, torch.no_grad():
    got, want = runner.infer({"image": picture.numpy()})["pixels"], segmenter(picture).numpy()
print(f"wrote {file.name}, {len(report.lowerings)} NeoCells; largest difference {abs(got - want).max():.1e}", end=" ")
print(f"of {abs(want).max():.1f}")
accepted = jobs.inspect(file, soc_version="Ascend310P3").to_json()["accepted"]
print(f"inspect: {'accepted' if accepted else 'refused'} for Ascend310P3")
