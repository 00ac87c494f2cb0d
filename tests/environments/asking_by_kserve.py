"""KServe's own client, in an environment that has it: ``asking_by_kserve.py http|grpc ADDRESS PICTURE``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.rest import v2_datamodels as models

ROWS = np.random.RandomState(3).standard_normal((3, 3, 96, 96)).astype(np.float32)
# The protocol's published objects, as KServe's package has them.
ANSWERED = {
    "/v2/health/live": models.ServerLiveResponse,
    "/v2/health/ready": models.ServerReadyResponse,
    "/v2/": models.ServerMetadataResponse,
    "/v2/models/nano": models.ModelMetadataResponse,
    "/v2/models/nano/versions/1": models.ModelMetadataResponse,
    "/v2/models/nano-pictures/versions/1": models.ModelMetadataResponse,
    "/v2/models/nano/ready": models.ModelReadyResponse,
    "/v2/models/nano/versions/1/ready": models.ModelReadyResponse,
}
INFER = "/v2/models/nano/versions/1/infer"
REFUSED = (("nothing", "image", "unknown model"), ("nano", "picture", "expected image FP32"))


def request(model: str, name: str, datatype: str, array: np.ndarray[Any, Any], binary: bool = True) -> InferRequest:
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=[given], request_id="7")


def objects(url: str) -> None:
    """Every answer in JSON has the protocol's fields, of their kinds, and no others; an error has its own."""
    entry = {"name": "image", "shape": list(ROWS.shape), "datatype": "FP32", "data": ROWS.ravel().tolist()}
    with httpx.Client(base_url=url, timeout=60) as http:
        answers = [(model, http.get(path).json()) for path, model in ANSWERED.items()]
        answers.append((models.InferenceResponse, http.post(INFER, json={"id": "7", "inputs": [entry]}).json()))
        for model, answer in answers:
            assert model.model_validate(answer, strict=True).model_dump(exclude_unset=True) == answer
        for error in (http.get("/v2/models/nothing"), http.post(INFER, json={}), http.get("/v2/nothing")):
            assert error.status_code in (400, 404)
            assert list(error.json()) == ["error"]
            assert isinstance(error.json()["error"], str)


async def main(kind: str, address: str, picture: str) -> None:
    """Readiness, tensors in both forms, pictures, errors; the logits are printed."""
    at: tuple[str, ...] = (f"http://{address}",) if kind == "http" else ()
    for url in at:
        objects(url)
    client = InferenceRESTClient(RESTConfig(protocol="v2")) if at else InferenceGRPCClient(address)

    async def infer(asked: InferRequest) -> Any:
        return await (client.infer(*at, asked, model_name=asked.model_name) if at else client.infer(asked))

    assert await client.is_server_live(*at)
    assert await client.is_server_ready(*at)
    assert await client.is_model_ready(*at, "nano")
    assert not at or not await client.is_model_ready(*at, "nothing")
    answers = []
    for binary in (True, False):
        got = await infer(request("nano", "image", "FP32", ROWS, binary))
        assert (got.id, got.model_name, got.outputs[0].name) == ("7", "nano", "logits"), got
        answers.append(got.outputs[0].as_numpy())
    assert answers[0].shape == (3, 10)
    assert np.abs(answers[0] - answers[1]).max() < 1e-4
    data = np.array([Path(picture).read_bytes()] * 2, dtype=object)
    found = {
        out.name: out.as_numpy() for out in (await infer(request("nano-pictures", "picture", "BYTES", data))).outputs
    }
    assert found["index"][:, 0].tolist() == [3, 3]
    assert found["label"].astype(str)[:, 0].tolist() == ["3", "3"]
    for model, name, words in REFUSED:
        try:
            await infer(request(model, name, "FP32", ROWS))
        except Exception as error:  # each kind has its own
            said = f"{error}{getattr(getattr(error, 'response', None), 'text', '')}"
            assert words in said, said
        else:
            raise AssertionError(model)
    await client.close()
    print("logits", " ".join(f"{value:.6f}" for value in answers[0].ravel()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
