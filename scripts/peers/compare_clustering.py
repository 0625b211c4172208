"""Times and scores the second stage of tascan and of well-known libraries: `compare_clustering.py TASCAN BENCH`."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from damage import damaged_classes
from peer import Peer, report, run_in_turn

HERE = Path(__file__).parent


def tissue(tascan, folder, options):
    shape = ",".join(map(str, options.shape))
    subprocess.run(
        [tascan, "synthesize", "--quiet", "--output", folder, "--shape", shape, "--cells", str(options.cells),
         "--seed", str(options.seed)], check=True)
    (path,) = folder.glob("*_labels.tif")
    return tifffile.imread(path).astype(np.uint32)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tascan", help="the compiled program")
    parser.add_argument("bench", help="the compiled benchmark")
    parser.add_argument("--rounds", type=int, default=5, help="passes of each after one to warm up")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--shape", type=int, nargs=3, default=[160, 331, 181], metavar=("Z", "Y", "X"))
    parser.add_argument("--cells", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = tissue(options.tascan, folder, options)
        np.save(folder / "truth.npy", labels)
        np.save(folder / "classes.npy", damaged_classes(labels, np.random.default_rng(options.seed)))
        worker = [sys.executable, str(HERE / "clustering_worker.py"), name, str(options.threads)]
        peers = [Peer("tascan", [options.bench, "--peer", "cluster", name]), Peer("libraries", worker)]
        run_in_turn(peers, options.rounds)
        report(f"second stage, {len(np.unique(labels)) - 1} cells in {'x'.join(map(str, labels.shape))}", peers)
        for peer in peers:
            print(f"\n{peer.name}: {peer.values[-1]:.0f} cells", flush=True)
            result = folder / f"{peer.name}.npy"
            subprocess.run([options.tascan, "evaluate", "--matching", "best-iou", result, folder / "truth.npy"], check=True)


main()
