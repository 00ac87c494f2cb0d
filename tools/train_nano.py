"""Train ``neonext_nano`` on scikit-learn's digits and write every file that comes of it.

Under ``--output`` (the repository unless given) these are ``neonext_ascend/data/neonext_nano.safetensors``,
ten pictures in ``neonext_ascend/data/samples`` and the held-out digits, ``tests/data/digits.npz``. The last
epoch's weights are written: the held-out digits choose nothing. What is printed is measured on the files.

    python tools/train_nano.py --seed 0
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from neonext_ascend.checkpoints.reading import load_network, read_checkpoint
from neonext_ascend.images.decoding import read_picture
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.layers import LayerScale
from neonext_ascend.models.neonext import NeoNeXt, build
from neonext_ascend.models.variants import VARIANTS

CONFIG = VARIANTS["neonext_nano"].config
PREPARE = preprocessing_for(CONFIG.name, CONFIG.image_size)
EPOCHS, BATCH, WARM_UP, PEAK_RATE, WEIGHT_DECAY, LAYER_SCALE = 60, 64, 0.1, 4e-3, 0.05, 0.1
PROBED = "stage_3.0.ops.content.neocell.weight_b.1"

Bytes = NDArray[np.uint8]


def split_digits() -> list[Bytes]:
    """Training and held-out pictures ``(N, 8, 8)``, training and held-out classes."""
    data = load_digits()
    pixels, labels = np.round(data.images * 255 / 16).astype(np.uint8), data.target.astype(np.uint8)
    return list(train_test_split(pixels, labels, test_size=0.2, stratify=labels, random_state=0))


def enlarge(pixels: Bytes) -> Bytes:
    """``(N, 8, 8)`` to ``(N, 64, 64)``, each pixel a square."""
    return pixels.repeat(8, axis=1).repeat(8, axis=2)


def inputs(pictures: Bytes) -> Tensor:
    """Grey pictures to network inputs ``(N, 3, 96, 96)``, as every command prepares them."""
    return torch.from_numpy(np.stack([PREPARE(Image.fromarray(picture)) for picture in pictures]))


def augment(x: Tensor) -> Tensor:
    """Turn by up to 10 degrees, scale by up to 10 %, shift by up to 8 %, lower the contrast by up to 30 %."""
    n = x.shape[0]

    def spread(limit: float) -> Tensor:
        return (2 * torch.rand(n) - 1) * limit

    angle, scale = spread(torch.pi / 18), 1 + spread(0.1)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    affine = torch.stack([cos, -sin, spread(0.16), sin, cos, spread(0.16)], dim=1).view(n, 2, 3)
    grid = F.affine_grid(affine, list(x.shape), align_corners=False)
    light = F.grid_sample(x + 1, grid, align_corners=False)  # black is 0 here, like what lies outside
    return light * (1 - 0.3 * torch.rand(n, 1, 1, 1)) - 1


def train(net: NeoNeXt, choices: Tensor, labels: Tensor) -> None:
    """Train in place on ``choices (K, N, 3, H, W)``: each epoch shows one of each digit's K pictures."""
    for module in net.modules():
        if isinstance(module, LayerScale):
            nn.init.constant_(module.gamma, LAYER_SCALE)  # at the release's 1e-6 the blocks would stay hidden
    optimiser = torch.optim.AdamW(net.parameters(), PEAK_RATE, weight_decay=WEIGHT_DECAY)
    steps = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK_RATE, EPOCHS * steps, pct_start=WARM_UP)
    net.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(labels))[: steps * BATCH].view(steps, BATCH):
            logits = net(augment(choices[torch.randint(len(choices), (BATCH,)), batch]))
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: training loss {total / steps:.4f}", flush=True)
    net.eval()


def write_samples(folder: Path, net: NeoNeXt, pixels: Bytes, right: NDArray[np.bool_], labels: Bytes) -> None:
    """Of each class the first of the digits in ``right``, enlarged; checked as read back."""
    for label in range(CONFIG.num_classes):
        path = folder / f"digit_{label}.png"
        Image.fromarray(enlarge(pixels[right & (labels == label)])[0]).save(path, optimize=True)
        assert int(net(torch.from_numpy(PREPARE(read_picture(path).image))[None]).argmax()) == label, path


@torch.no_grad()
def measure(net: NeoNeXt, pixels: Bytes, labels: Bytes) -> NDArray[np.bool_]:
    """Print what the network can do; which digits it names rightly both as they are and enlarged."""
    x, large = inputs(pixels), inputs(enlarge(pixels))
    logits = net(x)
    right, right_large = (y.argmax(1).numpy() == labels for y in (logits, net(large)))
    for size, hits in (("8x8", right), ("64x64", right_large)):
        print(f"held-out digits as {size} pictures: {hits.sum()} of {len(hits)} right, {hits.mean():.2%}")
    gammas = torch.cat([m.gamma.abs() for m in net.modules() if isinstance(m, LayerScale)])
    print(f"|gamma|: min {gammas.min():.4f}, median {gammas.median():.4f}, max {gammas.max():.4f}")
    weight = net.get_parameter(PROBED)
    trained = weight.clone()
    weight.copy_(trained.mT)
    change = (net(x) - logits).abs().max() / logits.abs().max()
    weight.copy_(trained)
    print(f"logits change by {change:.3g} of the largest with {PROBED} transposed")
    return np.asarray(right & right_large)


def main() -> None:
    """Train, write, and measure what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent.parent, metavar="REPOSITORY")
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    train_x, test_x, train_y, test_y = split_digits()
    started, net = time.perf_counter(), build(CONFIG, args.seed)
    train(net, torch.stack([inputs(train_x), inputs(enlarge(train_x))]), torch.from_numpy(train_y).long())
    print(f"{EPOCHS} epochs in {time.perf_counter() - started:.0f} s")

    data, held_out = args.output / "neonext_ascend" / "data", args.output / "tests" / "data" / "digits.npz"
    (data / "samples").mkdir(parents=True, exist_ok=True)
    held_out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(held_out, pixels=test_x, labels=test_y)
    weights = data / "neonext_nano.safetensors"
    weights.write_bytes(save(net.state_dict()))
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {weights.stat().st_size} bytes")
    net = load_network(CONFIG, read_checkpoint(weights))
    write_samples(data / "samples", net, test_x, measure(net, test_x, test_y), test_y)


if __name__ == "__main__":
    main()
