"""KServe's server in its own environment: ``python kserve_model.py FILE.onnx PORT THREADS``."""

import sys

import kserve
import onnxruntime


class Nano(kserve.Model):  # type: ignore[misc] # no types here
    """One session; outputs asked for in binary leave so."""

    def __init__(self, path: str, threads: int) -> None:
        super().__init__("nano")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    async def get_input_types(self) -> list[dict[str, object]]:
        (given,) = self.session.get_inputs()
        return [{"name": given.name, "datatype": "FP32", "shape": [-1, *given.shape[1:]]}]

    async def get_output_types(self) -> list[dict[str, object]]:
        (given,) = self.session.get_outputs()
        return [{"name": given.name, "datatype": "FP32", "shape": [-1, *given.shape[1:]]}]

    async def predict(self, payload, headers=None, response_headers=None):  # type: ignore[no-untyped-def] # as KServe's
        (given,) = payload.inputs
        (values,) = self.session.run(None, {given.name: given.as_numpy()})
        output = kserve.InferOutput("logits", list(values.shape), "FP32")
        output.set_data_from_numpy(values, binary_data=bool(payload.use_binary_outputs))
        return kserve.InferResponse(payload.id or "0", "nano", [output], use_binary_outputs=payload.use_binary_outputs)


if __name__ == "__main__":
    path, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    kserve.ModelServer(http_port=port, enable_grpc=False).start([Nano(path, threads)])
