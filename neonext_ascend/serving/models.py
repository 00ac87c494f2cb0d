"""What is served under which name: an artifact, and what its manifest says of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from neonext_ascend.artifacts.manifest import Manifest
from neonext_ascend.artifacts.reading import manifest_of
from neonext_ascend.errors import UsageError
from neonext_ascend.models.variants import VARIANTS
from neonext_ascend.runtimes.classifying import Recipe
from neonext_ascend.serving.protocol.tensors import datatype_of
from neonext_ascend.serving.refusals import RefusedError, cut
from neonext_ascend.spec import TensorSpec, maps_form

# The protocol's model of pictures beside that of tensors.
PICTURES = "-pictures"
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Served:
    """One artifact.

    Args:
        number: among all that are served.
        name, version: in the protocol's paths; versions count from 1 in the order given, the last is taken by default.
        path: of the artifact.
        manifest: beside it.
    """

    number: int
    name: str
    version: str
    path: Path
    manifest: Manifest

    @property
    def input(self) -> TensorSpec:
        """What it takes."""
        return self.manifest.inputs[0]

    @cached_property
    def recipe(self) -> Recipe:
        """What pictures and answers mean."""
        return Recipe.of(self.manifest)

    @property
    def gives(self) -> list[str]:
        """Names of its outputs."""
        return [spec.name for spec in self.manifest.outputs]

    @property
    def takes(self) -> str:
        """The same in the protocol's words."""
        inner = ", ".join(["N", *map(str, self.input.shape[1:])])
        words = f"{self.input.name} {datatype_of(self.input.dtype)}[{inner}]"
        return f"{words}, pictures to {self.name}{PICTURES}" if self.classifies else words

    @property
    def classifies(self) -> bool:
        """Whether it gives classes, so that pictures mean something to it; else maps."""
        return self.manifest.features is None

    @property
    def sha256(self) -> str:
        """Of the artifact, as the manifest says."""
        return self.manifest.artifact.files[0].sha256

    @property
    def platform(self) -> str:
        """The protocol's word for its form."""
        return "onnx_onnxv1" if self.manifest.artifact.format == "onnx" else "ascend_om"


class Models:
    """All that is served, found by name and version."""

    def __init__(self, served: Sequence[Served]) -> None:
        self.all = tuple(served)
        self._by_name: dict[str, dict[str, Served]] = {}
        for model in served:
            self._by_name.setdefault(model.name, {})[model.version] = model

    @property
    def names(self) -> list[str]:
        """In the order given."""
        return list(self._by_name)

    @property
    def titles(self) -> list[str]:
        """Names, and versions where there are several."""
        several = {name: ", ".join(versions) for name, versions in self._by_name.items() if len(versions) > 1}
        return [f"{name} (versions {several[name]})" if name in several else name for name in self.names]

    @property
    def classifying(self) -> list[str]:
        """Those that have also one for pictures."""
        return [name for name in self.names if self.find(name)[0].classifies]

    def versions(self, name: str) -> list[str]:
        """Of a model, in the order given."""
        return list(self._by_name[name.removesuffix(PICTURES)])

    @contextmanager
    def explaining(self, name: str, version: str) -> Iterator[None]:
        """What is wrong with a request's form is told with what its model takes."""
        try:
            yield
        except RefusedError as refusal:
            known = name in self._by_name and version in ("", *self._by_name[name])
            takes = f"; {name} takes {self.find(name, version)[0].takes}" if known else ""
            raise RefusedError(refusal.status, f"{refusal}{takes}") from None

    def find(self, name: str, version: str = "") -> tuple[Served, bool]:
        """The model, and whether it is asked for pictures; without a version the last one.

        Raises:
            RefusedError: 404, there is none.
        """
        versions = self._by_name.get(name.removesuffix(PICTURES), {})
        if not versions:
            raise RefusedError(404, f"unknown model {cut(name)!r}; served are {', '.join(self.names)}")
        if version and version not in versions:
            raise RefusedError(404, f"unknown version {cut(version)!r} of {name}, which has {', '.join(versions)}")
        model, pictures = versions[version or list(versions)[-1]], name.endswith(PICTURES)
        if pictures and not model.classifies:
            raise RefusedError(
                404, f"{name}: {model.name} gives maps, no classes; send it its tensor {model.input.name}"
            )
        return model, pictures


def read_models(words: Sequence[str]) -> Models:
    """What ``[NAME=]ARTIFACT`` means; without NAME a model is served under its network's name, maps with what they are.

    Raises:
        UsageError: a name that the protocol's paths cannot hold, or one for files with different outputs.
        FileAccessError, ArtifactError: an artifact or its manifest cannot be read.
    """
    served: list[Served] = []
    for word in words:
        given, sign, file = word.partition("=")
        # What is before a file is meant as a name, however wrong; a path may hold the sign as well.
        named = sign and not Path(word).exists() and (_NAME.fullmatch(given) or Path(file).is_file())
        path = Path(file if named else word)
        if not path.exists() and str(path) in VARIANTS:
            raise UsageError(f"{path}: is a model's name; what is served is a file: neonext-ascend export {path}")
        manifest = manifest_of(path)
        form = "" if manifest.features is None else maps_form(manifest.features.layout)
        name = given if named else str(manifest.network.get("name") or path.stem) + form
        if name.endswith(PICTURES) or not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r}: no model can be served so; expected letters, digits, '.', '_', '-', without {PICTURES}: "
                f"NAME={path}"
            )
        before = [model for model in served if model.name == name]
        model = Served(len(served), name, str(1 + len(before)), path.absolute(), manifest)
        if before and before[-1].gives != model.gives:
            one, other = ", ".join(before[-1].gives), ", ".join(model.gives)
            raise UsageError(
                f"{path}: gives {other}, and {before[-1].path.name} {one}: no versions of one model {name}; give it "
                f"another name: NAME={path}"
            )
        served.append(model)
    return Models(served)
