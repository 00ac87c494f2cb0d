"""What ATC would refuse or quietly change, found in any ONNX file before ATC runs: the rules are a table.

Sources that rules name: [atc] ATC's guides in hicann/ge and what docs/ascend.md gathers of them; [ge] the code of its
ONNX parser; [ops] the ONNX plugins in hicann/ops-nn and its sisters; [rt] the platform files in hicann/runtime; all as
of August 2026. [amct] hicann/amct, 2be20da. [onnx] ONNX's own specification (docs/IR.md, the operators' schemas),
which onnx.checker holds files to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neonext_ascend.exporters.atc_rules import checks as graph
from neonext_ascend.exporters.atc_rules import form_checks as form
from neonext_ascend.exporters.atc_rules import int8_checks as int8
from neonext_ascend.exporters.atc_rules import number_checks as number
from neonext_ascend.exporters.atc_rules import wiring_checks as wiring
from neonext_ascend.exporters.atc_rules.checks import Hits, Subject

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that ATC would refuse or change.

    Args:
        id: its name, stable.
        severity: ``error`` where ATC would refuse, ``warning`` where it would change something or nobody knows.
        atc_code: what ATC prints then, where that is known.
        check: what it looks at (its docstring says so); gives the places.
        message, remedy: sentences with ``{words}`` that the check fills in.
        source: where the rule is written down.
    """

    id: str
    severity: Severity
    atc_code: str | None
    check: Callable[[Subject], Hits]
    message: str
    remedy: str
    source: str

    @property
    def looks_at(self) -> str:
        """In words."""
        return (self.check.__doc__ or "").strip()


_AT_17 = "export it at opset 17"
_QUANTISE = (
    "make the vendor's deploy form: neonext-ascend export --dtype int8 --format deploy --calibration FOLDER, or the "
    "vendor's AMCT"
)
_BROKEN = "the file is damaged or its exporter is; export it again, and hold it against onnx.checker"
_RAISE = "ask for the file's own dtype with --precision origin, or hold the OM against this file with verify"

# One rule an entry and a few lines each: formatted, the table would be three times as long.
# fmt: off
RULES: tuple[Rule, ...] = (
    Rule("graph-missing", "error", "E16004", graph.no_graph,
         "the model has no graph", "export it again", "[ge] onnx_parser.cc"),
    Rule("input-missing", "error", "E16001", graph.no_input,
         "the graph has no input", "export it with its input", "[ge] onnx_parser.cc"),
    Rule("output-missing", "error", "E16001", graph.no_output,
         "the graph has no output", "export it with its output", "[ge] onnx_parser.cc"),
    Rule("opset", "error", "E16002", graph.opset,
         "opset {opset}; ATC's parser registers operators for opsets 8 to 18", _AT_17, "[atc] [ops]"),
    Rule("opset-missing", "error", "E19999", graph.opset_missing,
         "the file names no opset for ai.onnx", _AT_17, "[ge] onnx_parser.cc"),
    Rule("domain-missing", "error", None, form.domain_missing,
         "{op} is of domain {domain!r}, for which the file names no opset",
         "export it again, or name that domain's opset", "[onnx] operator sets"),
    Rule("input-of-nobody", "error", None, wiring.dangling_input,
         "{op} reads {tensor!r}, which no node, input or constant gives", _BROKEN, "[onnx] graphs"),
    Rule("output-of-nobody", "error", None, wiring.output_of_nobody,
         "no node, input or constant of its graph gives the output {tensor!r}", _BROKEN, "[onnx] graphs"),
    Rule("written-twice", "error", None, wiring.written_twice,
         "{tensor!r} is given a second time; the first is {other}", _BROKEN, "[onnx] single static assignment"),
    Rule("cycle", "error", None, wiring.cycle,
         "it waits for itself, first for {tensor!r}: {path}", _BROKEN, "[onnx] graphs"),
    Rule("order", "warning", None, wiring.out_of_order,
         "{op} reads {tensor!r} before {other} gives it; onnx.checker refuses that, ONNX Runtime sorts it; what ATC "
         "does is not established", "sort the nodes, as onnx_ir's TopologicalSortPass does", "[onnx] graphs"),
    Rule("no-nodes", "warning", None, wiring.no_nodes,
         "the graph has no node: it computes nothing", "see that it is the file that was meant", "[onnx] graphs"),
    Rule("operator-form", "error", None, form.operator_form,
         "{op} (of opset {opset}) {what}", _BROKEN, "[onnx] schemas"),
    Rule("attribute-form", "error", None, form.attribute_form,
         "{op}'s attribute {name} {what}; onnx.checker refuses that",
         _BROKEN, "[onnx] AttributeProto"),
    Rule("attribute-unknown", "warning", None, form.attribute_unknown,
         "{op} has {names}, which ONNX does not know of it; onnx.checker and ONNX Runtime refuse that",
         "leave it out", "[onnx] schemas"),
    Rule("gelu", "error", "E16002", graph.gelu,
         "ATC has no parser for ai.onnx's Gelu at any opset; Ascend's own Gelu is the tanh form",
         "export it at opset 17 with Gelu as Erf, as neonext-ascend export writes it", "[atc] [ops]"),
    Rule("operator-too-new", "error", "E16002", graph.operator_too_new,
         "{op} came to ONNX with opset {since}; ATC's parser ends at 18",
         "export it at opset 17, where it is written with older operators", "[atc], ONNX's own operator table"),
    Rule("operator-opset", "error", "E16002", graph.operator_opset,
         "{op} has no parser at opset {opset}; it has one at {at}",
         "export it at one of those opsets", "[ops] OriginOpType lists"),
    Rule("quantised-operator", "error", "E16002", graph.onnx_quantised,
         "no plugin is known to parse {op}; a refusal is expected (inferred)", _QUANTISE, "[atc] [ops]"),
    Rule("control-flow", "error", "E16002", graph.loops,
         "{op} has no parser; of nodes with a body ATC's parser takes If alone",
         "unroll it, or compute it outside the model", "[ge] subgraph_adapter, [ops]"),
    Rule("custom-domain", "error", "E16002", graph.custom_domain,
         "{op} of domain {domain!r} has no parser",
         "write it with operators of ai.onnx, or register a plugin of your own for it", "[ge] onnx_parser.cc, [ops]"),
    Rule("local-function", "error", "E16002", graph.local_function,
         "{op} is a function of the file itself; ATC's parser reads none",
         "inline it with onnx.inliner.inline_local_functions", "[ge] onnx_parser.cc"),
    Rule("operator-unknown", "warning", "E16002", graph.operator_unknown,
         "{op} is not known to have a parser; the list may be incomplete",
         "run ATC's own check (atc --mode=3), or write it with other operators", "[ops], which need not be all"),
    Rule("constant-form", "error", None, number.constant_form,
         "a Constant without attribute value (it has: {form}); ATC's parser reads no other",
         "make it an initializer, or give it a tensor", "[ge] onnx_constant_parser.cc"),
    Rule("sparse-initializer", "error", None, number.sparse_initializer,
         "a sparse constant; ATC's parser reads dense initializers alone",
         "store it dense", "[ge] onnx_parser.cc"),
    Rule("external-data", "error", None, number.external_data,
         "{fault}", "copy that file beside the model, whole", "[onnx] external data"),
    Rule("constant-data", "error", None, number.constant_data, "it {fault}", _BROKEN, "[onnx] TensorProto"),
    Rule("duplicate-name", "error", "E13009", graph.duplicate_name,
         "{count} nodes or inputs of one graph have this name", "rename them", "[ge] pre_checker.cc"),
    Rule("dtype-unknown", "error", "E19999", graph.dtype_unknown,
         "{what}: ATC's parser has no such type", "cast it before the export", "[ge] onnx_util.cc"),
    Rule("input-shapeless", "warning", None, graph.input_shapeless,
         "this input has no shape; ATC's parser takes it for a scalar",
         "export it with its shape, or give ATC --input_shape", "[ge] onnx_data_parser.cc"),
    Rule("size-not-positive", "error", "E10011", graph.size_not_positive,
         "this input has the shape ({shape}); sizes must be positive",
         "export it with its real shape", "[atc] E10011"),
    Rule("dynamic-batch", "warning", None, graph.dynamic_batch,
         "the batch is symbolic; without batch sizes it becomes fully dynamic",
         "give --batch-gears 1,2,4,8, or export a static batch (fastest)", "[atc] dynamic_batch_size"),
    Rule("dynamic-axes", "warning", None, graph.dynamic_axes,
         "{axes} of this input are symbolic; without a range they become fully dynamic",
         "export static sizes (fastest), or give ATC ranges or profiles for them", "[atc] input_shape"),
    Rule("dynamic-axes-310b", "error", "EZ3003", graph.dynamic_axes_without_ranges,
         "{axes} of this input are symbolic; {soc} takes no shape ranges",
         "export static sizes, one file for each", "[atc] input_shape"),
    Rule("quantised-dynamic", "error", None, graph.quantised_dynamic,
         "this input has symbolic axes; a quantised model takes no dynamic shapes",
         "export it with a static shape", "[atc] illegal combinations"),
    Rule("matmul-rank", "error", None, number.matmul_rank,
         "MatMul of an operand with {rank} axes; BatchMatMulV2 takes 2 to 6",
         "reshape its operands", "[atc] BatchMatMulV2"),
    Rule("conv-rank", "error", None, number.conv_rank,
         "Conv of a map with {rank} axes; the parser takes 3 to 5",
         "reshape its input", "[ops] conv_onnx_plugin.cpp"),
    Rule("cube-dtype", "warning", None, number.cube_dtype,
         "{op} in {dtype}; the cube unit of {soc} has {has} alone, so --precision {precision} changes its numbers",
         "hold the OM against this file with verify, or export it with --dtype fp16", "[rt] platform files"),
    Rule("cube-dtype-origin", "error", None, number.cube_dtype_origin,
         "{op} in {dtype} with --precision origin; the cube unit of {soc} has {has} alone",
         "take --precision fp16, or export it with --dtype fp16", "[rt] platform files"),
    Rule("silent-half", "warning", None, number.silent_half,
         "the file has float32 values; --precision fp16, ATC's default, makes them fp16", _RAISE, "[atc] precision"),
    Rule("int8-variables", "warning", None, int8.variables,
         "{op} of int8 with two variable operands; it loses accuracy on {soc}",
         "leave it in fp16", "[atc] INT8 MatMul"),
    Rule("int8-right-operand", "warning", None, int8.right_operand,
         "{op} of int8 whose right operand is no 2-D constant",
         "leave it in fp16, or make the constant the right operand, 2-D", "[atc] INT8 MatMul (AMCT)"),
    Rule("int8-form", "error", None, int8.deploy_form,
         "{op} {what}, as in the vendor's deploy form", _QUANTISE, "[amct] deploy form"),
    Rule("int8-scale", "error", None, int8.scales,
         "{op} has {what}: what it gives is worthless", _QUANTISE, "[ops] ascend_quant_onnx_plugin.cpp, [amct]"),
    Rule("int8-dequant-fp32", "error", None, int8.dequant_fp32,
         "AscendDequant to float32 (dtype 0, or none); {soc} has it to fp16 alone, a refusal is expected (inferred)",
         "give it dtype 1, as neonext-ascend export --format deploy does", "[ops] 910B's list of operators"),
    Rule("int8-chip", "warning", None, int8.chip,
         "that {soc} has AscendQuant and AscendDequant is not proven; the vendor's tool names A2, A3 and 950",
         "measure it there with benchmark, and hold the OM against this file with verify", "[amct], [ops]"),
    Rule("gelu-erf", "warning", None, number.erf_gelu,
         "Gelu as Erf parses; whether it becomes one operator on {soc} is not established",
         "measure it there with benchmark", "[atc] not established"),
    Rule("gelu-npu", "warning", None, number.npu_gelu,
         "NPUGeluV2 becomes GeluV2; that {soc} has it is not established, 910B has",
         "export it with --gelu erf", "[ops] 910B's list of operators"),
    Rule("gelu-tanh-dynamic", "warning", None, number.tanh_gelu_dynamic,
         "Gelu's tanh form is fused (GeluFusionPass) for static shapes alone",
         "export static shapes", "[atc] GeluFusionPass"),
    Rule("shapes-unknown", "warning", None, graph.shapes_unknown,
         "ONNX cannot infer the shapes, so ranks and dtypes are not all checked: {reason}",
         "see onnx.checker.check_model for what is wrong", "onnx.shape_inference"),
)
# fmt: on
