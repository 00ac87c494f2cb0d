"""The real torch_npu and the real onnxruntime-cann, without CANN: ``python -m tests.environments.check``; see there."""
