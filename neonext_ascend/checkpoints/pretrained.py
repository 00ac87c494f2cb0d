"""Networks saved and loaded in Hugging Face's form, with a card made from what is known of them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from neonext_ascend._version import __version__
from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import manifest_of, read_manifest
from neonext_ascend.artifacts.staging import staged
from neonext_ascend.checkpoints.folder import CARD, CONFIG, MODEL_TYPE, WEIGHTS, folder_at
from neonext_ascend.checkpoints.loading import load
from neonext_ascend.data import labels_for
from neonext_ascend.errors import FileAccessError, ToolchainError, UsageError
from neonext_ascend.images.preprocessing import preprocessing_for
from neonext_ascend.models.arguments import file_path, folder_path, shown
from neonext_ascend.models.config import NetworkConfig, size_text
from neonext_ascend.models.neonext import NeoNeXt


def save_pretrained(network: NeoNeXt, folder: str | Path, *, manifest: str | Path | None = None) -> Path:
    """Write a network as ``config.json``, ``model.safetensors`` and a card, ``README.md``; all of them or none.

    Args:
        network: in PyTorch.
        folder: created where absent.
        manifest: of an export of this network, or the artifact beside it: the card takes from there where the weights
            come from and how the export was checked, and the configuration the names of the classes.

    Returns:
        The folder.

    Raises:
        UsageError: it is no NeoNeXt, or the manifest is another network's.
        ArtifactError: the manifest is missing or damaged.
        FileAccessError: a file cannot be read or written.
    """
    from safetensors.torch import save_file

    if not isinstance(network, NeoNeXt):
        raise UsageError(f"network {shown(network)}: expected a NeoNeXt with its head")
    target, config = folder_path(folder, "folder"), network.config
    known = None if manifest is None else _manifest(file_path(manifest, "manifest"))
    if known is not None and known.network != config.to_json():
        raise UsageError(f"{manifest}: of another network ({known.network.get('name')}) than {config.name}")
    if any(value.is_meta for value in network.state_dict().values()):
        raise UsageError(f"network {config.name}: is on the meta device and holds no weights to save")
    state = {name: value.detach().contiguous().cpu() for name, value in network.state_dict().items()}
    with staged(target) as stage:
        save_file(state, str(stage.folder / WEIGHTS), {"format": "pt"})
        (stage.folder / CONFIG).write_text(json.dumps(_config(config, known), indent=2) + "\n", encoding="utf-8")
        parameters = sum(value.numel() for value in network.parameters())
        (stage.folder / CARD).write_text("\n".join(_card(config, parameters, known)) + "\n", encoding="utf-8")
        stage.publish(WEIGHTS, CARD, CONFIG)  # the one that makes it such a folder last
    return target


def from_pretrained(name: str | Path) -> NeoNeXt:
    """A network in evaluation mode from a folder that :func:`save_pretrained` wrote, or from a hub.

    Args:
        name: of a folder; where there is none, of a repository (``owner/name``) that ``huggingface_hub`` fetches.

    Raises:
        CheckpointError: the folder holds something else.
        FileAccessError: a file cannot be read or fetched.
        ToolchainError: there is no such folder, and huggingface_hub is not installed.
    """
    path = folder_path(name, "name")
    if path.is_dir() and folder_at(path) is None:
        raise FileAccessError(f"{path}: lacks {CONFIG}; expected a folder that save_pretrained wrote")
    network = load(checkpoint=path if path.exists() else _fetched(str(name))).network
    assert isinstance(network, NeoNeXt)
    return network


def _fetched(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise ToolchainError(
            f"{name}: no such folder; for a name of the Hugging Face hub: pip install huggingface_hub"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # its own, and those of the libraries that it fetches with
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileAccessError(f"{name}: no such folder, and huggingface_hub cannot fetch it: {reason}") from None


def _manifest(path: Path) -> Manifest:
    return read_manifest(path) if path.suffix == ".json" else manifest_of(path)


def _config(config: NetworkConfig, known: Manifest | None) -> dict[str, object]:
    prepared = preprocessing_for(config.name, config.image_size) if known is None else known.preprocessing
    labels = labels_for(config.name, config.num_classes) if known is None or not known.labels else known.labels
    return {
        "architectures": ["NeoNeXt"],
        "model_type": MODEL_TYPE,
        "network": config.to_json(),
        "preprocessing": asdict(prepared),
        "id2label": {str(index): label for index, label in enumerate(labels)},
        "neonext_ascend_version": __version__,
    }


def _card(config: NetworkConfig, parameters: int, known: Manifest | None) -> Iterator[str]:
    """Front matter, then only what is known."""
    prepared = preprocessing_for(config.name, config.image_size) if known is None else known.preprocessing
    crop = "" if prepared.crop_fraction is None else f", {prepared.crop_fraction:g} of the short side"
    yield from ("---", "library_name: neonext-ascend", "pipeline_tag: image-classification", "tags:", "- neonext")
    yield from ("---", "", f"# {config.name}", "")
    yield "A NeoNeXt ([arXiv 2403.11251](https://arxiv.org/abs/2403.11251)) for pictures of "
    yield f"{size_text(config.image_size)} pixels and {config.num_classes} classes."
    yield from ("", "| | |", "|---|---|")
    rows = {
        "definition": config.definition,
        "parameters": f"{parameters:,}",
        "depths": ", ".join(map(str, config.depths)),
        "widths": ", ".join(map(str, config.widths)),
        "cells": ", ".join("+".join(map(str, sizes)) for sizes in config.cells),
        "shifts": ", ".join("yes" if shift else "no" for shift in config.shifts),
        "pictures": f"{prepared.resize}{crop}, {prepared.interpolation}, {prepared.channels}",
        "mean, std": f"{list(prepared.mean)}, {list(prepared.std)}",
        **({} if known is None else _facts(known)),
    }
    yield from (f"| {name} | {value} |" for name, value in rows.items())
    if known is None:
        yield from ("", "Where the weights come from, and how good they are, nobody has said here.")
    yield from (
        "",
        "```python",
        "import neonext_ascend",
        "",
        'network = neonext_ascend.from_pretrained("FOLDER")',
        "```",
    )
    yield from ("", "```console", "$ neonext-ascend export --checkpoint FOLDER", "```")


def _facts(known: Manifest) -> dict[str, str]:
    """What an export tells."""
    origin = f"{known.weights.file} (sha256 {known.weights.sha256})"
    if known.weights.source == "seed":
        origin = f"**untrained**: NeoInit's, seed {known.weights.seed}"
    facts = {"weights": origin, "exported as": f"{known.artifact.files[0].name} by {known.tool}"}
    if known.parity is not None:
        passed, far = known.parity.get("passed"), known.parity.get("max_rel")
        facts["parity of that file"] = f"{'passed' if passed else 'failed'}, largest relative difference {far}"
    return {name: textwrap.shorten(value, 200) for name, value in facts.items()}
