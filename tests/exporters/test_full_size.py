"""Full-size networks from state dicts in the authors' layout, every tensor of order 1, to ONNX and back to numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.data import labels_for
from neonext_ascend.jobs.making.onnx_file import Orders, export_verified
from neonext_ascend.models.neonext import build, redraw_at_order_one
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.ort import OrtRunner


@pytest.mark.full_size
@pytest.mark.parametrize(
    ("name", "keys", "prefix"),
    [
        ("neonext_t", 286, "module."),
        ("neonext_s", 538, ""),
        ("neonext_b", 538, "module."),
        ("neonext_t_384", 286, ""),
    ],
)
def test_a_checkpoint_of_order_one_exports_within_rounding(tmp_path: Path, name: str, keys: int, prefix: str) -> None:
    config = VARIANTS[name].config
    reference = build(config)
    redraw_at_order_one(reference, seed=11)
    state = {prefix + key: value for key, value in reference.state_dict().items()}
    assert len(state) == keys
    torch.save(state, tmp_path / "weights.pt")
    loaded = load(name, checkpoint=tmp_path / "weights.pt")
    made = export_verified(loaded, tmp_path, labels_for(name, 1000), orders=Orders(verify=False))
    x = np.random.RandomState(2).standard_normal((1, 3, *config.image_size)).astype(np.float32)
    with torch.no_grad():
        want = reference.double()(torch.from_numpy(x).double()).numpy()
    with OrtRunner(made.path) as runner:
        got = runner.infer({"image": x})["logits"]
    # Against float64, so the whole rounding of onnxruntime's float32 counts: 1e-6 was measured.
    assert np.abs(got - want).max() <= 5e-6 * np.abs(want).max()
    assert np.abs(want).max() > 1  # weights of order 1 give logits of order 1: nothing is hidden
