"""The parity ladder: what is climbed, and the climb from PyTorch to what runs on a chip."""
