"""Write the JSON Schemas of a manifest and of a configuration from the structs that read them.

python -m tools.write_schemas
"""

from __future__ import annotations

import json
from pathlib import Path

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.strict import schema
from neonext_ascend.models.config import NetworkConfig
from neonext_ascend.training.recipe import Recipe

DOCS = Path(__file__).parent.parent / "docs"


def schemas() -> dict[Path, str]:
    """Each file and its text."""
    made = {
        "manifest": schema(Manifest, "The manifest beside an artifact of neonext-ascend"),
        "recipe": schema(Recipe, "A recipe for neonext-ascend train --recipe, in TOML", closed=True),
        "config": schema(NetworkConfig, "A network for neonext-ascend --config, in TOML", closed=True),
    }
    return {DOCS / f"{name}.schema.json": json.dumps(data, indent=1) + "\n" for name, data in made.items()}


if __name__ == "__main__":
    for path, text in schemas().items():
        path.write_text(text, encoding="utf-8")
