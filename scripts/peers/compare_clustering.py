"""Times and scores the second stage of tascan and of well-known libraries: `compare_clustering.py TASCAN BENCH`."""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import edt
import numpy as np
import tifffile

from peer import Peer, report, run_in_turn

HERE = Path(__file__).parent
MEMBRANE, FOREGROUND = 1, 2


def tissue(tascan, folder, options):
    shape = ",".join(map(str, options.shape))
    subprocess.run(
        [tascan, "synthesize", "--quiet", "--output", folder, "--shape", shape, "--cells", str(options.cells),
         "--seed", str(options.seed)], check=True)
    (path,) = folder.glob("*_labels.tif")
    return tifffile.imread(path).astype(np.uint32)


def damaged_classes(labels, random, holes_per_cell=1.5):
    """Voxels within 1.5 of a cell's border are membrane; balls of membrane between two cells leak."""
    classes = np.where(edt.edt(labels, black_border=False) > 1.5, FOREGROUND, MEMBRANE).astype(np.uint8)
    classes[labels == 0] = 0
    between = np.zeros(labels.shape, bool)
    for axis in range(3):
        one, two = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        np.moveaxis(between, axis, 0)[:-1] |= (one != two) & (one > 0) & (two > 0)
    centres = np.argwhere(between)
    count = int(holes_per_cell * len(np.unique(labels)))
    for centre in centres[random.integers(0, len(centres), count)]:
        radius = random.uniform(1, 4)
        low = np.maximum(centre - 4, 0)
        box = tuple(slice(a, c + 5) for a, c in zip(low, centre))
        offsets = np.indices(classes[box].shape) + (low - centre)[:, None, None, None]
        hole = ((offsets**2).sum(0) <= radius**2) & (classes[box] == MEMBRANE)
        classes[box][hole] = FOREGROUND
    return classes


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
