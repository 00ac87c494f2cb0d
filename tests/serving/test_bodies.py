"""Bodies that are made to hold a server up, or that a form holds: each is read in one pass, or refused."""

from __future__ import annotations

import contextlib
import itertools
import json
import struct
from typing import Any

import numpy as np
import pytest

from neonext_ascend.serving.protocol import rest, values
from neonext_ascend.serving.protocol.messages import MESSAGES
from neonext_ascend.serving.protocol.messages import parse_request as parse_message
from neonext_ascend.serving.protocol.tensors import InferRequest
from neonext_ascend.serving.refusals import RefusedError
from neonext_ascend.serving.web.bodies import picture_of

FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
FIELD = b'--b\r\nContent-Disposition: form-data; name="top"\r\n\r\n2\r\n'
# Fields whose name or type tells of a file, and which are none.
NO_FILES = [
    b"--b\r\nContent-Disposition: form-data; name=%s\r\n%s\r\ncat.png\r\n" % told
    for told in (
        (b'"filename"', b""),
        (b"filename", b""),
        (b'"a; filename=b"', b""),
        (b'"a\\"; filename=b"', b""),
        (b'"a"', b"X: a; filename=b\r\n"),
    )
]
DATA = b"\x89PNG\r\n\r\n--a --b \r\n-\r\n--"


@pytest.mark.parametrize(
    ("kind", "body", "want"),
    [
        ("image/png", FILE + DATA + b"\r\n--b--", FILE + DATA + b"\r\n--b--"),
        ("multipart/form-data; boundary=b", FILE + DATA + b"\r\n--b--\r\n", DATA),
        ('Multipart/Form-Data; charset=x; Boundary="b"', FIELD + FILE + DATA + b"\r\n" + FIELD + b"--b--", DATA),
        ("multipart/form-data; boundary=b", b"preamble\r\n" + FILE + DATA + b"\r\n--b--", DATA),
        ("multipart/form-data; boundary=b", FILE + b"\r\n--b--", b""),
        ("multipart/form-data; boundary=b", FILE.replace(b"filename", b"FileName*") + b"x\r\n--b", b"x"),
        ("multipart/form-data; boundary=b ; charset=utf-8", FILE + DATA + b"\r\n--b--", DATA),
        ("multipart/form-data; xboundary=q; boundary=b", FILE + DATA + b"\r\n--b--", DATA),
        ('multipart/form-data; boundary="b c"', FILE.replace(b"--b", b"--b c") + DATA + b"\r\n--b c--", DATA),
        *(("multipart/form-data; boundary=b", field + FILE + DATA + b"\r\n--b--", DATA) for field in NO_FILES),
    ],
)
def test_a_forms_file(kind: str, body: bytes, want: bytes) -> None:
    assert picture_of(body, kind) == want


@pytest.mark.parametrize("body", [b'{"inputs": []}', b' \n{"image": "aGk="}', b'["aGk="]'])
def test_json_is_no_picture(body: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", ""):
        words = "what was sent: is JSON; expected a picture's bytes, or a form with a file"
        with pytest.raises(RefusedError, match=words) as caught:
            picture_of(body, kind)
        assert caught.value.status == 400


NESTED = b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(20000))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", FILE + DATA + b"\r\n--b--"),
        ('multipart/form-data; boundary=""', FILE + DATA + b"\r\n--b--"),
        ("multipart/form-data; boundary=\xff", FILE + DATA + b"\r\n--b--"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", FIELD + b"--b--"),
        ("multipart/form-data; boundary=b", FILE + DATA),  # cut off
        ("multipart/form-data; boundary=b", FIELD * 101 + FILE + DATA + b"\r\n--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\na\r\n" * 2**20),
        ("multipart/form-data; boundary=0", NESTED),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: " + b'"; ' * 2**22 + b"\r\n\r\nx\r\n--b--"),
    ],
)
def test_a_form_without_a_file_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(RefusedError, match="the form holds no file") as caught:
        picture_of(body, kind)
    assert caught.value.status == 400


def read(body: bytes, header_length: str | None) -> tuple[InferRequest, int]:
    """A request, and how often others had their turn meanwhile."""
    reading = rest.parse_request(body, header_length)
    for turns in itertools.count():
        try:
            reading.send(None)
        except StopIteration as over:
            return over.value, turns
    raise AssertionError


def parse_request(body: bytes, header_length: str | None) -> InferRequest:
    """At once, and in the smallest pieces: the same comes of both."""
    found: list[InferRequest | RefusedError] = []
    for large in (2**40, -1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rest, "LARGE", large)
            patch.setattr(values, "_PIECE", 1)
            try:
                found.append(read(body, header_length)[0])
            except RefusedError as refused:
                found.append(refused)
    whole, pieces = found
    if isinstance(whole, RefusedError):
        assert isinstance(pieces, RefusedError)
        assert (str(pieces), pieces.status) == (str(whole), whole.status)
        raise whole
    assert isinstance(pieces, InferRequest)
    assert (pieces.id, pieces.outputs, pieces.parameters) == (whole.id, whole.outputs, whole.parameters)
    for one, other in zip(pieces.inputs, whole.inputs, strict=True):
        assert (one.name, one.datatype, one.shape) == (other.name, other.datatype, other.shape)
        np.testing.assert_array_equal(np.asarray(one.data), np.asarray(other.data))
    return pieces


def binary(raw: bytes, **of: object) -> tuple[bytes, str]:
    entry = {"name": "x", "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}, **of}
    head = json.dumps({"inputs": [entry]}).encode()
    return head + raw, str(len(head))


@pytest.mark.parametrize("shape", [[0, *[2**32 - 1] * 15], [2**31] * 16, [2**20, 2**20, 2]])
@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_shape_beyond_all_arrays_is_refused(datatype: str, shape: list[int]) -> None:
    with pytest.raises(RefusedError, match=r"expected at most 16 whole numbers .*, 2\*\*40 elements"):
        parse_request(*binary(b"", datatype=datatype, shape=shape))
    inline = {"name": "x", "datatype": datatype, "shape": shape, "data": []}
    with pytest.raises(RefusedError, match="expected at most 16 whole numbers"):
        parse_request(json.dumps({"inputs": [inline]}).encode(), None)
    message = MESSAGES["ModelInferRequest"](inputs=[{"name": "x", "datatype": datatype, "shape": shape}])
    with pytest.raises(RefusedError, match="expected at most 16 whole numbers"):
        parse_message(message)
    message.raw_input_contents.append(b"")
    with pytest.raises(RefusedError, match="expected at most 16 whole numbers"):
        parse_message(message)


def test_byte_strings_without_number_are_not_read() -> None:
    count = 2**16 + 1
    with pytest.raises(RefusedError, match="65537 elements; expected at most 65536") as caught:
        parse_request(*binary(bytes(4 * count), datatype="BYTES", shape=[count]))
    assert caught.value.status == 413
    inline = {"name": "x", "datatype": "BYTES", "shape": [count], "data": [""] * count}
    with pytest.raises(RefusedError, match="expected at most 65536"):
        parse_request(json.dumps({"inputs": [inline]}).encode(), None)
    # What is more than the shape says is not read either.
    raw = struct.pack("<I", 1) + b"a" + bytes(2**22)
    with pytest.raises(RefusedError, match="its bytes are not 1 elements"):
        parse_request(*binary(raw, datatype="BYTES", shape=[1]))


@pytest.mark.parametrize("inner", [b"[[[]]]", b"[]", b"{}"])
def test_lists_without_number_are_not_read(inner: bytes) -> None:
    count = 2**22 // (len(inner) // 2) + 1
    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [' + (inner + b",") * count + b"1]}]}"
    with pytest.raises(RefusedError, match="more than 4194304 lists in JSON; send numbers flat, or binary") as caught:
        parse_request(body, None)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("datatype", "data", "right"),
    [
        ("INT32", [1, -2], True), ("UINT8", [[0], [255]], True), ("BOOL", [True, False], True),
        ("UINT64", [2**64 - 1, 0], True), ("FP32", [1, 2.5], True), ("INT32", [1, 2.5], False),
        ("UINT8", [1, 256], False), ("UINT8", [1, -1], False), ("INT64", ["1", "2"], False),
        ("BOOL", ["false", ""], False), ("BOOL", [1, 0], False), ("INT8", [None, 1], False), ("INT8", [True, 1], False),
        ("FP32", [[1], [2.5]], True), ("FP16", [-1, 2**10], True), ("FP64", [2**53 - 1, 1e300], True),
        ("FP32", ["1", 2.5], False), ("FP32", [["1"], ["2"]], False), ("FP32", [True, 1.5], False),
        ("FP16", [[1], [False]], False), ("FP64", [True, False], False), ("FP64", [10**400, 1], False),
    ],
)  # fmt: skip
def test_numbers_are_taken_as_they_are_or_not_at_all(datatype: str, data: list[object], right: bool) -> None:
    body = json.dumps({"inputs": [{"name": "x", "datatype": datatype, "shape": [2], "data": data}]}).encode()
    if right:
        (tensor,) = parse_request(body, None).inputs
        assert np.ravel(tensor.data).tolist() == np.asarray(data, object).ravel().tolist()
    else:
        with pytest.raises(RefusedError, match="its data are not"):
            parse_request(body, None)


@pytest.mark.parametrize(
    ("data", "shape", "right"),
    [
        (["YQ==", "Yg=="], [2], True),
        ([["YQ=="], ["Yg=="]], [2, 1], True),
        ([["YQ==", "Yg=="]], [1, 2], True),
        ([["YQ=="], "Yg=="], [2], False),
        ([["YQ=="], ["Yg==", "Yw=="]], [3], False),
        ([[97]], [1], False),
    ],
)
def test_byte_strings_lie_flat_or_nested(data: list[object], shape: list[int], right: bool) -> None:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "BYTES", "shape": shape, "data": data}]}).encode()
    if right:
        (tensor,) = parse_request(body, None).inputs
        assert (tensor.shape, list(tensor.data)) == (tuple(shape), [b"a", b"b"])
    else:
        with pytest.raises(RefusedError, match=r"not strings in base64; expected a list of them, flat or nested"):
            parse_request(body, None)


A = np.arange(24)


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "BYTES"])
@pytest.mark.parametrize(
    ("nested", "shape", "right"),
    [
        ([1, 2, 3, 4], [1, 3, 4, 2], False),  # channels last, for channels first
        ([2, 12], [2, 3, 4], False),
        ([4, 6], [6, 4], False),
        ([2, 3, 4], [24], False),
        ([2, 2, 6], [1, 4, 6], False),
        ([1, 2, 3, 4], [1, 2, 3, 4], True),
        ([2, 3, 4], [1, 2, 3, 4], True),
        ([2, 1, 3, 4, 1], [2, 3, 1, 4], True),
        ([24], [2, 3, 4], True),
        ([1, 24], [2, 3, 4], True),
        ([24, 1], [2, 12], True),
    ],
)
def test_lists_are_nested_as_the_shape_says_or_flat(
    datatype: str, nested: list[int], shape: list[int], right: bool
) -> None:
    values = np.array(["YQ==", "Yg=="])[A % 2] if datatype == "BYTES" else A
    entry = {"name": "x", "datatype": datatype, "shape": shape, "data": values.reshape(nested).tolist()}
    body = json.dumps({"inputs": [entry]}).encode()
    if right:
        (tensor,) = parse_request(body, None).inputs
        assert tensor.shape == tuple(shape)
        assert np.ravel(tensor.data).tolist() == ([b"a", b"b"] * 12 if datatype == "BYTES" else A.tolist())
    else:
        with pytest.raises(RefusedError) as caught:
            parse_request(body, None)
        assert (caught.value.status, str(caught.value)) == (
            400,
            f"x: its lists are nested as {nested}; expected {shape}, or flat",
        )


@pytest.mark.parametrize("data", [[1], [], 0, ""])
def test_a_tensor_comes_one_way(data: object) -> None:
    with pytest.raises(RefusedError, match="x: has data as well as binary_data_size; send one of them") as caught:
        parse_request(*binary(bytes(4), shape=[1], data=data))
    assert caught.value.status == 400
    (tensor,) = parse_request(*binary(bytes(4), shape=[1], data=None)).inputs
    assert np.ravel(tensor.data).tolist() == [0]


@pytest.mark.parametrize("size", ["4", "x", 4.0, True, [4], {}])
def test_a_size_that_is_no_whole_number_is_said(size: object) -> None:
    with pytest.raises(RefusedError) as caught:
        parse_request(*binary(bytes(4), shape=[1], parameters={"binary_data_size": size}))
    assert str(caught.value) == f"x: binary_data_size {str(size)!r}; expected a whole number"
    with pytest.raises(RefusedError, match="x: binary_data_size 5; the body has 4 bytes left"):
        parse_request(*binary(bytes(4), shape=[1], parameters={"binary_data_size": 5}))


@pytest.mark.parametrize("asked", [{"shared_memory_region": "r", "shared_memory_byte_size": 4}, {"classification": 2}])
def test_what_would_be_left_undone_is_refused(asked: dict[str, Any]) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1]}
    wrong = {"name": "y", "parameters": asked}
    kinds = {str: "string_param", int: "int64_param"}
    over = {**wrong, "parameters": {word: {kinds[type(value)]: value} for word, value in asked.items()}}
    contents = {"contents": {"fp32_contents": [1.0]}}
    words = f"y: {next(iter(asked))}: there is no .* here; leave it out"
    for fields in ({"inputs": [{**tensor, **wrong}]}, {"inputs": [{**tensor, "data": [1]}], "outputs": [wrong]}):
        with pytest.raises(RefusedError, match=words) as caught:
            parse_request(json.dumps(fields).encode(), None)
        assert caught.value.status == 400
    for fields in ({"inputs": [{**tensor, **over}]}, {"inputs": [{**tensor, **contents}], "outputs": [over]}):
        with pytest.raises(RefusedError, match=words) as caught:
            parse_message(MESSAGES["ModelInferRequest"](**fields))
        assert caught.value.status == 400


def test_null_is_as_if_it_were_left_out() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1], "parameters": None}
    asked = parse_request(
        json.dumps({"inputs": [tensor], "id": None, "parameters": None, "outputs": None}).encode(), None
    )
    assert (asked.id, asked.outputs, asked.parameters) == ("", {}, {})
    output = {"name": "y", "parameters": None}
    asked = parse_request(json.dumps({"inputs": [tensor], "id": "7", "outputs": [output]}).encode(), None)
    assert (asked.id, asked.outputs) == ("7", {"y": None})
    for wrong, words in (
        ({"id": 0}, "id: expected a string"),
        ({"parameters": 0}, "parameters: expected an object"),
        ({"outputs": 0}, "outputs: expected a list"),
        ({"inputs": None}, "inputs: expected at least one"),
    ):
        with pytest.raises(RefusedError, match=words):
            parse_request(json.dumps({"inputs": [tensor], **wrong}).encode(), None)


LONG = "n" * 5000


@pytest.mark.parametrize(
    "fields",
    [
        {"name": LONG, "shape": [2], "data": [1]},
        {"name": LONG, "shape": [1], "data": [[[]]]},
        {"name": LONG, "shape": [2**40], "data": []},
        {"name": LONG, "shape": [1], "data": [300]},
        {"name": LONG, "shape": [1], "data": 1},
        {"name": LONG, "shape": [1], "parameters": {"binary_data_size": 1}},
        {"name": LONG, "shape": [1], "parameters": {"binary_data_size": LONG}},
        {"shape": [1], "datatype": LONG, "data": [1]},
        {"shape": [1], "datatype": [LONG], "parameters": {"binary_data_size": 0}},
        {"shape": [LONG] * 99, "data": [1]},
        {"name": LONG, "datatype": "BYTES", "shape": [1], "data": [1]},
    ],
)
def test_of_what_is_too_long_for_a_line_only_the_beginning_is_told(fields: dict[str, object]) -> None:
    entry = {"name": "x", "datatype": "INT8", **fields}
    with pytest.raises(RefusedError) as caught:
        parse_request(json.dumps({"inputs": [entry]}).encode(), None)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("tensor", "raw"),
    [
        ({"name": LONG, "datatype": "INT8", "shape": [2]}, b"1"),
        ({"name": LONG, "datatype": "INT8", "shape": [2]}, None),
        ({"name": LONG, "datatype": "FP16", "shape": [1]}, None),
        ({"name": "x", "datatype": LONG, "shape": [1]}, b"1"),
        ({"name": "x", "datatype": LONG, "shape": [1]}, None),
    ],
)
def test_of_a_message_as_well(tensor: dict[str, object], raw: bytes | None) -> None:
    message = MESSAGES["ModelInferRequest"](inputs=[tensor], raw_input_contents=[] if raw is None else [raw])
    with pytest.raises(RefusedError) as caught:
        parse_message(message)
    assert len(str(caught.value)) < 500


def test_a_messages_tensor_comes_one_way() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1]}
    both = {**tensor, "contents": {"fp32_contents": [1.0]}}
    raw = struct.pack("<f", 2.0)
    for inputs in ([both], [tensor, both]):
        message = MESSAGES["ModelInferRequest"](inputs=inputs, raw_input_contents=[raw] * len(inputs))
        with pytest.raises(RefusedError, match="x: has contents as well as raw_input_contents; send one") as caught:
            parse_message(message)
        assert caught.value.status == 400
    two = {**tensor, "contents": {"fp32_contents": [1.0], "int_contents": [2]}}
    with pytest.raises(
        RefusedError, match="x: has int_contents, fp32_contents; expected fp32_contents alone"
    ) as caught:
        parse_message(MESSAGES["ModelInferRequest"](inputs=[two]))
    assert caught.value.status == 400
    # Contents that hold nothing, as made by touching them, are none.
    message = MESSAGES["ModelInferRequest"](inputs=[{**tensor, "contents": {}}], raw_input_contents=[raw])
    assert np.ravel(parse_message(message).inputs[0].data).tolist() == [2.0]


@pytest.mark.parametrize("datatype", ["FP32", "INT8", "BOOL", "FP9"])
@pytest.mark.parametrize(
    "data",
    [
        "[1,2,3,4,5,6]", "[ 1 ,2,\n3,4,5, 6 ]", "[[1,2,3],[4,5,6]]", "[[[1],[2],[3]],[[4],[5],[6]]]",
        "[[1, 2,3,4,5,6]]",
        "[[[[1],[2]],[[3],[4]],[[5],[6]]]]", "[[1.5,-2e0,3],[4,null,6]]", "[[true,false,true],[true,true,true]]",
        "[[1,2],[3,4]]", "[1,2,3,4,5]", "[]", "[[]]", "[[1,2,3],[4,5]]", "[[1,2,3],[4,5,6],7]", "[[1,2,3],4,5,6]",
        "[1,2,3,[4,5,6]]", "[[1,2,3],[[4],[5],[6]]]", "[[[1,2,3],4,5],[6]]", "[[1,2,3],[]]", "[[1],[]]",
        "[[[1,2],[3]],[[4,5],[6]]]",
        "[1,2,3,4,5,300]", "[[1,2,3],[4,5,300]]", '["1","2","3","4","5","6"]', '["1,2","3","4","5","6"]',
        '[["[","]",1],[1,1,1]]', '[["x,y"],["y,x"]]', '[{"a":1,"b":2},3,4,5,6]', '[[{"a":1},2,3],[4,5,6]]',
        "{}", "1", '"[1,2,3,4,5,6]"', "null", "[1,2,3,4,5,6", "[1,,2,3,4,5]", "[1,2,3,4,5,6,]", "[[1,2,3],[4,5,6]],",
        "[01,2,3,4,5,6]", '["\\x",2,3,4,5,6]',
    ],
)  # fmt: skip
def test_a_lot_of_numbers_is_read_as_a_few_are(datatype: str, data: str) -> None:
    body = f'{{"inputs": [{{"name": "x", "datatype": "{datatype}", "shape": [2, 3], "data": {data}}}], "id": "7"}}'
    with contextlib.suppress(RefusedError):
        (tensor,) = parse_request(body.encode(), None).inputs
        assert np.shape(tensor.data) == (2, 3)


@pytest.mark.parametrize(
    "data", ["[[],[1]]", "[[ ],[1]]", "[[[[1]]],[1]]", "[[1],[ ]]", '[["1"]]', f"{'[' * 17}1{']' * 17}"]
)
def test_of_a_lot_nothing_is_left_out(data: str) -> None:
    """What a few numbers may be beside: text, or deeper than any shape."""
    body = f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [1], "data": {data}}}]}}'.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rest, "LARGE", -1)
        patch.setattr(values, "_PIECE", 1)
        with pytest.raises(RefusedError, match="its data are not FP32; expected a list of them"):
            read(body, None)


@pytest.mark.parametrize("data", [[1] * 600000, [[1, 0]] * 300000])
def test_others_have_their_turns_while_a_lot_is_read(data: list[Any]) -> None:
    asked = {"inputs": [{"name": "x", "datatype": "UINT8", "shape": np.shape(data), "data": data}]}
    request, turns = read(json.dumps(asked, separators=(",", ":")).encode(), None)
    assert np.size(request.inputs[0].data) == 600000
    assert turns >= 9  # 1.2 million digits and commas, of which a piece has 131,072


def test_byte_strings_without_number_are_not_decoded_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "read_json", None)
    entry = {"name": "x", "datatype": "BYTES", "shape": [1], "data": [""] * 2**19}
    with pytest.raises(RefusedError, match="524288 elements; expected at most 65536"):
        read(json.dumps({"inputs": [entry]}).encode(), None)
