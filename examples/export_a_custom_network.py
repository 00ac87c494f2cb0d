"""Export a NeoNeXt of your own sizes, checked against PyTorch, with its manifest.

python examples/export_a_custom_network.py
"""

from neonext_ascend import jobs
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
made = jobs.export(config, seed=1, output="artifacts").onnx
print(f"wrote {made.path.name} and {made.manifest_path.name}, untrained")
print(f"parity passed: {made.verdict is not None and made.verdict.passed}")
