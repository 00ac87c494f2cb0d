"""A client of the server: rows or pictures in, logits or labels out; needs the extra ``[serve]``."""

from neonext_ascend.client.calls import Client

__all__ = ["Client"]
