"""Classify a picture with an ONNX file and its manifest alone: onnxruntime, numpy and Pillow, without this package.

The file's batch is 1 or dynamic.

    neonext-ascend export neonext_nano -o artifacts
    python examples/use_the_onnx_file_alone.py [FILE.onnx [PICTURE]]
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # must come before the import
import onnxruntime

file = sys.argv[1] if len(sys.argv) > 1 else "artifacts/neonext_nano-96-b1-fp32.onnx"
picture = sys.argv[2] if len(sys.argv) > 2 else "neonext_ascend/data/samples/digit_3.png"
manifest = json.loads(Path(file.removesuffix(".onnx") + ".json").read_text(encoding="utf-8"))
steps = manifest["preprocessing"]
height, width = steps["image_size"]

image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
if steps["crop_fraction"] is None:
    image = image.resize((width, height), Image.Resampling.BILINEAR)
else:  # resize so that the crop is that fraction of the short side, then take the centre
    tall, wide = (round(side / steps["crop_fraction"]) for side in (height, width))
    by_height = tall * image.width >= wide * image.height
    size = (image.width * tall // image.height, tall) if by_height else (wide, image.height * wide // image.width)
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    image = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + width, top + height))
pixels = (np.asarray(image, np.float32) / 255 - np.float32(steps["mean"])) / np.float32(steps["std"])

session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
feed = pixels.transpose(2, 0, 1)[None].astype(manifest["inputs"][0]["dtype"])
logits = session.run(["logits"], {"image": feed})[0][0].astype(np.float64)
scores = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
for index in np.argsort(-scores)[:3]:
    print(f"{100 * scores[index]:6.2f} %  {manifest['labels'][index]}")
