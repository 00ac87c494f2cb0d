"""What ``list`` counts from a configuration is what the graph holds."""

from __future__ import annotations

import onnx
import pytest

from neonext_ascend.cost.count import count_network, useful_multiplications
from neonext_ascend.jobs.making.graphs import cell_costs, network_cost
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.machine.chips import SOCS
from neonext_ascend.models.neonext import build
from neonext_ascend.models.variants import VARIANTS

P3 = SOCS["Ascend310P3"]


@pytest.mark.parametrize("name", VARIANTS)
def test_dense_multiplications_are_those_of_the_graph(name: str) -> None:
    config = VARIANTS[name].config
    # In chnw the down-sampling is a NeoCell, as in the count.
    assert network_cost(config, "chnw", "blockdiag", P3, 3).multiplications == 3 * count_network(config).dense


def test_what_is_useful_is_what_patchwise_multiplies_where_cells_fit_the_map() -> None:
    geometry = Geometry.split(6, (4,), False)
    cost = cell_costs(geometry, 8, 20, 3, "nchw", P3)
    assert cost["patchwise"].multiplications == 3 * useful_multiplications(geometry, 8, 20) == 3 * 2 * 6 * 8 * 20 * 4
    assert cost["blockdiag"].multiplications == 3 * 6 * 8 * 20 * (8 + 20)
    assert cost["blockdiag"].cube == 3 * 6 * (16 * 16 * 32 + 16 * 32 * 32)


def test_the_skeleton_is_the_exported_graph_without_its_weights(tmp_path: object) -> None:
    from pathlib import Path

    from neonext_ascend.artifacts.skim import skim_model
    from neonext_ascend.exporters import export_onnx
    from neonext_ascend.jobs.making.graphs import network_graph
    from neonext_ascend.passes import prepare

    config = VARIANTS["neonext_nano"].config
    network, _ = prepare(build(config).eval(), layout="chnw", lowering="patchwise", defer=True)
    path = Path(str(tmp_path)) / "it.onnx"
    export_onnx(network, path, batch_size=None)
    written, skeleton = skim_model(path), network_graph(config, "chnw", "patchwise")
    assert [n.SerializeToString() for n in written.graph.node] == [n.SerializeToString() for n in skeleton.graph.node]

    def constants(model: onnx.ModelProto) -> list[tuple[str, tuple[int, ...], int]]:
        return [(c.name, tuple(c.dims), c.data_type) for c in model.graph.initializer]

    assert constants(written) == constants(skeleton)
