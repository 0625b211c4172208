"""Times tascan and its peers in turn, in one run: `compare.py TASCAN_BENCH [options]`."""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from cellsegnet import example

HERE = Path(__file__).parent
# PyTorch's threads spin for a while after a pass; let them fall asleep before another peer starts.
PAUSE = 0.5


class Peer:
    def __init__(self, name, command):
        self.name, self.seconds, self.losses, self.peak = name, [], [], 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self):
        time.sleep(PAUSE)
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        seconds, loss = self.process.stdout.readline().split()
        self.seconds.append(float(seconds))
        self.losses.append(float(loss))

    def close(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e6
        self.process.stdin.close()
        if self.process.wait() != 0:
            sys.exit(f"{self.name} failed")


def write_inputs(folder, shape):
    random = np.random.default_rng(1)
    np.save(folder / "input.npy", random.uniform(0, 1, shape).astype(np.float32))
    np.save(folder / "class.npy", random.integers(0, 3, shape).astype(np.uint8))
    np.save(folder / "weight.npy", random.uniform(0.2, 1, shape).astype(np.float32))
    torch.save({"model_state_dict": example().state_dict()}, folder / "weights.pt")


def start(names, case, folder, options):
    python = [sys.executable, str(HERE / "worker.py")]
    peers = [Peer("tascan", [options.tascan, "--peer", case, str(folder)])]
    return peers + [Peer(name, [*python, name, case, str(folder), str(options.threads)]) for name in names]


def report(case, shape, peers):
    print(f"\n{case} {'x'.join(map(str, shape))}: seconds, and times of each pair beside tascan's")
    ours = peers[0].seconds
    for peer in peers:
        ratios = " ".join(f"{theirs / own:.2f}" for theirs, own in zip(peer.seconds, ours))
        spread = f"[{min(peer.seconds):.3f}-{max(peer.seconds):.3f}]"
        print(f"{peer.name:<20} median {median(peer.seconds):.3f} {spread}  peak {peer.peak:.2f} GB  x tascan: {ratios}")


def compare(names, case, shape, options):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, shape)
        peers = start(names, case, folder, options)
        for _ in range(1 + options.rounds):
            for peer in peers:
                peer.run()
        for peer in peers:
            # The first pass warms up.
            peer.seconds = peer.seconds[1:]
            peer.close()
        report(case, shape, peers)
        for peer in peers[1:]:
            if case == "forward":
                ours, theirs = np.load(folder / "tascan.npy"), np.load(folder / f"{peer.name}.npy")
                print(f"probabilities, largest difference from {peer.name}: {np.abs(ours - theirs).max():.2e}")
            else:
                worst = max(abs(a - b) / b for a, b in zip(peers[0].losses, peer.losses))
                print(f"losses of {len(peer.losses)} steps, largest relative difference from {peer.name}: {worst:.2e}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tascan", help="the compiled benchmark")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each peer after one to warm up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--size", type=int, default=128, help="edge of the volume of the forward pass")
    parser.add_argument("--openvino", action="store_true", help="compare with OpenVINO in f32 too")
    parser.add_argument("--only", choices=["forward", "step"])
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    names = ["torch-channels-last", "torch"]
    print(f"{options.threads} threads, PyTorch {torch.__version__}")
    if options.only != "step":
        peers = names + ["openvino"] * options.openvino
        compare(peers, "forward", [1] + [options.size] * 3, options)
    if options.only != "forward":
        compare(names, "step", [7, 64, 64, 64], options)


main()
