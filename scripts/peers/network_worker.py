"""One peer in a process of its own: `network_worker.py PEER CASE FOLDER THREADS DEVICE`.

Does one pass for every line on standard input and answers with its seconds and its loss. At the end of the
input a forward pass leaves its probabilities, or classes, as FOLDER/PEER.npy. What a pass gets and gives is on the host.
"""
import sys
import time
from pathlib import Path

import numpy as np
import torch

from cellsegnet import CellSegNet, loss


class Peer:
    """How a peer computes, as its name says."""

    def __init__(self, name, device):
        self.device = device
        self.memory_format = torch.channels_last_3d if "channels-last" in name else torch.contiguous_format
        self.dtype = torch.float16 if "f16" in name.split("-") else torch.float32
        self.autocasts = "bf16" in name
        self.compiles = "compiled" in name
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = "tf32" in name
        # Tries all algorithms for a shape in the pass that warms up, and keeps to the fastest.
        torch.backends.cudnn.benchmark = True

    def sent(self, tensor, dtype=torch.float32):
        tensor = tensor.to(self.device, dtype)
        return tensor.contiguous(memory_format=self.memory_format) if tensor.dim() == 5 else tensor

    def network(self, folder):
        model = CellSegNet()
        model.load_state_dict(torch.load(folder / "weights.pt")["model_state_dict"])
        return model.to(self.device, self.dtype, memory_format=self.memory_format)


def batch(folder):
    return torch.from_numpy(np.load(folder / "input.npy"))[:, None]


def torch_forward(folder, case, peer):
    model, x = peer.network(folder).eval(), batch(folder)

    def classify(x):
        out = model(x)
        return out.argmax(1).to(torch.uint8) if case == "classes" else out

    classify = torch.compile(classify) if peer.compiles else classify
    x = x.pin_memory() if case == "classes" else x
    out = None

    def run():
        nonlocal out
        with torch.inference_mode():
            out = classify(peer.sent(x, peer.dtype)).cpu()
        return 0.0

    return run, lambda: out[0].contiguous().numpy()


def torch_step(folder, peer):
    model, x = peer.network(folder).train(), batch(folder)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    classes = torch.from_numpy(np.load(folder / "class.npy"))
    weight = torch.from_numpy(np.load(folder / "weight.npy"))[:, None]

    def run():
        adam.zero_grad()
        truth = torch.nn.functional.one_hot(classes.to(peer.device).long(), 3).permute(0, 4, 1, 2, 3)
        with torch.autocast(torch.device(peer.device).type, torch.bfloat16, enabled=peer.autocasts):
            out = model(peer.sent(x))
        value = loss(out.float(), peer.sent(truth), peer.sent(weight))
        value.backward()
        adam.step()
        return value.item()

    return run, None


def openvino_forward(folder, threads):
    import openvino

    x = batch(folder)
    model = openvino.convert_model(Peer("openvino", "cpu").network(folder).eval(), example_input=x)
    # Without the hint it computes in bf16 where the processor can.
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled = openvino.compile_model(model, "CPU", options)
    request, out = compiled.create_infer_request(), None

    def run():
        nonlocal out
        out = request.infer([x.numpy()])[0]
        return 0.0

    return run, lambda: out[0]


def main():
    name, case, folder, threads, device = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.set_num_threads(threads)
    if name == "openvino":
        run, result = openvino_forward(folder, threads)
    elif case == "step":
        run, result = torch_step(folder, Peer(name, device))
    else:
        run, result = torch_forward(folder, case, Peer(name, device))
    for _ in sys.stdin:
        start = time.perf_counter()
        value = run()
        print(time.perf_counter() - start, value, flush=True)
    if result:
        np.save(folder / f"{name}.npy", result())


main()
