"""One peer in a process of its own: `network_worker.py PEER CASE FOLDER THREADS`.

Does one pass for every line on standard input and answers with its seconds and its loss. At the end of the
input a forward pass leaves its probabilities as FOLDER/PEER.npy.
"""
import sys
import time
from pathlib import Path

import numpy as np
import torch

from cellsegnet import CellSegNet, loss


def network(folder, memory_format):
    model = CellSegNet()
    model.load_state_dict(torch.load(folder / "weights.pt")["model_state_dict"])
    return model.to(memory_format=memory_format)


def batch(folder, memory_format):
    x = torch.from_numpy(np.load(folder / "input.npy"))[:, None]
    return x.contiguous(memory_format=memory_format)


def torch_forward(folder, memory_format):
    model, x = network(folder, memory_format).eval(), batch(folder, memory_format)
    out = None

    def run():
        nonlocal out
        with torch.inference_mode():
            out = model(x)
        return 0.0

    return run, lambda: out[0].contiguous().numpy()


def torch_step(folder, memory_format):
    model, x = network(folder, memory_format).train(), batch(folder, memory_format)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)
    classes = torch.from_numpy(np.load(folder / "class.npy")).long()
    truth = torch.nn.functional.one_hot(classes, 3).permute(0, 4, 1, 2, 3).float()
    truth = truth.contiguous(memory_format=memory_format)
    weight = torch.from_numpy(np.load(folder / "weight.npy"))[:, None]

    def run():
        adam.zero_grad()
        value = loss(model(x), truth, weight)
        value.backward()
        adam.step()
        return value.item()

    return run, None


def openvino_forward(folder, threads):
    import openvino

    x = batch(folder, torch.contiguous_format)
    model = openvino.convert_model(network(folder, torch.contiguous_format).eval(), example_input=x)
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
    peer, case, folder, threads = sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    if peer == "openvino":
        run, result = openvino_forward(folder, threads)
    else:
        memory_format = torch.channels_last_3d if peer == "torch-channels-last" else torch.contiguous_format
        run, result = (torch_forward if case == "forward" else torch_step)(folder, memory_format)
    for _ in sys.stdin:
        start = time.perf_counter()
        value = run()
        print(time.perf_counter() - start, value, flush=True)
    if result:
        np.save(folder / f"{peer}.npy", result())


main()
