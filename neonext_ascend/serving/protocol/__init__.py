"""The Open Inference Protocol v2: its tensors, its JSON with binary parts, its messages."""
