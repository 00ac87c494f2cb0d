"""Ray Serve: a door for HTTP, and behind it a replica of the server for each NPU of a cluster.

``serve run neonext_ascend.serving.ray:application artifacts=FILE``; a RayService names it as its ``import_path``.
"""

from neonext_ascend.serving.ray.building import application

__all__ = ["application"]
