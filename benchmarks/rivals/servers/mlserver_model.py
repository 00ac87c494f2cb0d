"""A model of mlserver's, in its own environment: the module that ``model-settings.json`` names."""

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Nano(MLModel):  # type: ignore[misc] # no types here
    """One session."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(self.settings.parameters.extra["threads"])
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        (given,) = payload.inputs
        (values,) = self.session.run(None, {given.name: NumpyCodec.decode_input(given).astype("float32", copy=False)})
        output = NumpyCodec.encode_output("logits", values)
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
