"""Passes: network in, network out, with a report of what changed, how often, and what was refused and why."""

from neonext_ascend.passes.base import Pass, PassReport, Refusal, Report
from neonext_ascend.passes.channels_first import ChannelsFirst
from neonext_ascend.passes.fold_batchnorm import FoldBatchNorm
from neonext_ascend.passes.fold_downsampling import FoldDownsampling
from neonext_ascend.passes.fold_layer_scale import FoldLayerScale
from neonext_ascend.passes.fold_layernorm import FoldLayerNorm
from neonext_ascend.passes.fold_space_to_depth import FoldSpaceToDepth
from neonext_ascend.passes.keep_padding import KeepPadding
from neonext_ascend.passes.lower_neocell import LowerNeoCell
from neonext_ascend.passes.move_shift import MoveShift
from neonext_ascend.passes.pipeline import prepare
from neonext_ascend.passes.remove_noops import RemoveNoops

__all__ = [
    "ChannelsFirst",
    "FoldBatchNorm",
    "FoldDownsampling",
    "FoldLayerNorm",
    "FoldLayerScale",
    "FoldSpaceToDepth",
    "KeepPadding",
    "LowerNeoCell",
    "MoveShift",
    "Pass",
    "PassReport",
    "Refusal",
    "RemoveNoops",
    "Report",
    "prepare",
]
