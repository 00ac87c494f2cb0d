"""Exporters: a prepared network to an artifact."""

from neonext_ascend.exporters.to_onnx import OnnxArtifact, export_onnx

__all__ = ["OnnxArtifact", "export_onnx"]
