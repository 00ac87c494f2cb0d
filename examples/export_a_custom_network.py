"""Export a NeoNeXt of your own sizes, checked against PyTorch, with its manifest.

python examples/export_a_custom_network.py
"""

from pathlib import Path

from neonext_ascend.checkpoints.loading import load
from neonext_ascend.data import labels_for
from neonext_ascend.jobs.exporting import export_verified
from neonext_ascend.models.config import NetworkConfig

config = NetworkConfig(
    name="mine",
    definition="release",
    depths=(1, 1, 2, 1),
    widths=(16, 32, 64, 128),
    cells=((4, 7), (4, 7), (7,), (5, 3)),
    shifts=(True, True, True, False),
    num_classes=10,
    image_size=(96, 128),
)
made = export_verified(load(config, seed=1), Path("artifacts"), labels_for(config.name, config.num_classes))
print(f"wrote {made.path.name} and {made.manifest_path.name}, untrained")
print(f"parity passed: {made.verdict is not None and made.verdict.passed}")
