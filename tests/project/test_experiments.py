"""The experiments: what they measure is what the paper says, and each can find that it does not."""

from __future__ import annotations

import pytest
import torch

from experiments import cost_curves, receptive_field, resampling, signal_preservation, table_1
from experiments.__main__ import NAMES, main
from neonext_ascend.kernels.geometry import Geometry
from neonext_ascend.models.neocell import NeoCell
from tests import ROOT


def test_no_file_is_left_out_and_a_wrong_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    files = {path.stem for path in (ROOT / "experiments").glob("*.py")} - {"__init__", "__main__", "page"}
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    assert files <= set(NAMES)
    assert all(f"`{name}`" in page for name in NAMES)
    assert main(["table_2"]) == 2
    assert "no table_2" in capsys.readouterr().err


def test_table_1_is_met_to_the_digit_and_a_wrong_digit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert table_1.main()
    monkeypatch.setitem(table_1.PAPER, "neonext_b", (87.3, 15.18))
    assert not table_1.main()


def test_neo_init_keeps_the_signal_and_random_weights_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal_preservation, "CHANNELS", 1024)
    for k in (4, 7):
        assert signal_preservation.preserved(k, random=False)[0] == pytest.approx(1 / (1 + 1 / k), abs=0.01)
        assert abs(signal_preservation.preserved(k, random=True)[0]) <= 0.01


def test_one_size_stays_in_its_patch_and_the_remedies_leave_it() -> None:
    seen = {kind: int((receptive_field.field(*how, 2) > 0).sum()) for kind, how in receptive_field.KINDS.items()}
    assert list(seen.values()) == [49, 64, 493, 493]


def test_fractional_factors_are_means_of_areas() -> None:
    x = torch.rand(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    low = resampling.resampled(x, 7, 4)
    assert low.shape == (1, 3, 16, 16)
    assert resampling.from_means(x, low, 7, 4) <= resampling.SAME
    assert resampling.from_means(x, low.flip(3), 7, 4) > 0.1
    assert torch.allclose(resampling.area(3, 2), torch.tensor([[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]))


def test_the_two_forms_whose_cost_is_drawn_compute_the_same() -> None:
    for k in cost_curves.SIZES:
        cell = NeoCell(Geometry.split(cost_curves.CHANNELS, (k,), False))
        x = torch.randn(
            1, cost_curves.CHANNELS, cost_curves.MAP, cost_curves.MAP, generator=torch.Generator().manual_seed(k)
        )
        with torch.no_grad():
            # Sums of k products in another order.
            torch.testing.assert_close(cost_curves.patchwise(x, cell.weight_a[0], cell.weight_b[0]), cell(x))
