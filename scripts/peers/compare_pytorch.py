"""Times tascan and PyTorch in turn, in one run: `compare.py TASCAN_BENCH [options]`."""
import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from cellsegnet import example
from peer import Peer, report, run_in_turn

HERE = Path(__file__).parent

# On a GPU PyTorch computes in f16, or as usual in f32, whose products have the 11 bits of TF32. It compiles the network for the
# shape in the pass that warms up.
ON_GPU = {
    "classes": ["torch-f16", "torch-f16-channels-last", "torch-f16-compiled"],
    "step": ["torch-tf32", "torch-f32", "torch-bf16-channels-last"],
}
ON_CPU = ["torch-channels-last", "torch"]
# In which tascan runs each case there; the first goes by its name alone.
OURS_ON_GPU = {"classes": ["f16"], "step": ["f32", "bf16"]}


def write_inputs(folder, shape):
    random = np.random.default_rng(1)
    np.save(folder / "input.npy", random.uniform(0, 1, shape).astype(np.float32))
    np.save(folder / "class.npy", random.integers(0, 3, shape).astype(np.uint8))
    np.save(folder / "weight.npy", random.uniform(0.2, 1, shape).astype(np.float32))
    torch.save({"model_state_dict": example().state_dict()}, folder / "weights.pt")


def start(names, case, folder, options):
    python = [sys.executable, str(HERE / "network_worker.py")]
    precisions = ["f32"] if options.device == "cpu" else OURS_ON_GPU[case]
    if options.device != "cpu" and torch.cuda.get_device_capability(options.device) < (8, 0):
        precisions = [precision for precision in precisions if precision != "bf16"]
    ours = [options.tascan, "--peer", case, str(folder), options.device]
    names_of_ours = ["tascan"] + [f"tascan-{precision}" for precision in precisions[1:]]
    peers = [Peer(name, [*ours, precision]) for name, precision in zip(names_of_ours, precisions)]
    return peers + [
        Peer(name, [*python, name, case, str(folder), str(options.threads), options.device]) for name in names
    ]


def compare(names, case, shape, options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, shape)
        peers = start(names, case, folder, options)
        run_in_turn(peers, options.rounds)
        report(f"{case} {'x'.join(map(str, shape))}", peers)
        for peer in peers[1:]:
            if case == "step":
                worst = max(abs(a - b) / b for a, b in zip(peers[0].values, peer.values))
                print(f"losses of {len(peer.values)} steps, largest relative difference from {peer.name}: {worst:.2e}")
                continue
            ours, theirs = np.load(folder / "tascan.npy"), np.load(folder / f"{peer.name}.npy")
            if case == "forward":
                print(f"probabilities, largest difference from {peer.name}: {np.abs(ours - theirs).max():.2e}")
            else:
                print(f"classes that differ from {peer.name}: {np.mean(ours != theirs):.1e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tascan", help="the compiled benchmark")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each peer after one to warm up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", type=int, default=128, help="edge of the volume of the forward pass")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:NUMBER")
    parser.add_argument("--openvino", action="store_true", help="compare with OpenVINO in f32 too, on the CPU alone")
    parser.add_argument("--only", choices=["forward", "step"])
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    print(f"{options.threads} threads, PyTorch {torch.__version__}, {options.device}")
    on_gpu = options.device != "cpu"
    if options.only != "step":
        case = "classes" if on_gpu else "forward"
        peers = ON_GPU[case] if on_gpu else ON_CPU + ["openvino"] * options.openvino
        compare(peers, case, [1] + [options.size] * 3, options)
    if options.only != "forward":
        compare(ON_GPU["step"] if on_gpu else ON_CPU, "step", [7, 64, 64, 64], options)


main()
