"""Compare the logits of two ONNX files on the same noise, as fp16 against fp32.

neonext-ascend export neonext_nano -o artifacts
neonext-ascend export neonext_nano -o artifacts --dtype fp16
python examples/compare_two_files.py artifacts/neonext_nano-96-b1-fp16.onnx artifacts/neonext_nano-96-b1-fp32.onnx
"""

import sys
from pathlib import Path

from neonext_ascend.runtimes.ort import OrtRunner
from neonext_ascend.spec import INPUT, OUTPUT, TOLERANCES
from neonext_ascend.verify.compare import compare_logits
from neonext_ascend.verify.feeds import noise

if len(sys.argv) != 3:
    sys.exit("give two ONNX files: the candidate, then the reference")
with OrtRunner(Path(sys.argv[1])) as candidate, OrtRunner(Path(sys.argv[2])) as reference:
    shape = tuple(n if isinstance(n, int) else 1 for n in reference.inputs[0].shape)
    feeds = {INPUT: noise(shape, seed=0)}
    result = compare_logits("noise", candidate.infer(feeds)[OUTPUT], reference.infer(feeds)[OUTPUT], TOLERANCES["fp16"])
print(f"max rel {result.max_rel:.1e}, cosine {result.cosine:.6f}, same first class {result.top1:.0%}")
print("within the bounds for fp16" if result.passed else f"too far apart: {'; '.join(result.failures)}")
