"""A model's configuration as Triton reads it, in an environment with its client: ``triton_config.py FILE``.

Standard output: what it says, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from google.protobuf import text_format  # type: ignore[import-untyped] # no type information
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped] # no type information
from tritonclient.grpc import model_config_pb2

if __name__ == "__main__":
    config = text_format.Parse(Path(sys.argv[1]).read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    print(json.dumps(MessageToDict(config, preserving_proto_field_name=True)))
