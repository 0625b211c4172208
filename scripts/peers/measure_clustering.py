"""Scores of the second stage on damaged classes: `measure_clustering.py TASCAN [options]`.

Prints Markdown: one row a volume for the authors' pipeline, the plain rule and the defaults; then one row a
variant of the defaults, over all volumes.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import mean

import numpy as np
import tifffile

from damage import FOREGROUND, MEMBRANE, damaged_classes

SHARED = Path(__file__).parents[3] / "shared"
HOLES = [0.5, 1.5, 3.0]

# Where the crops begin (z, y, x), each of this shape.
CROPS = [(24, 30, 330), (40, 60, 64), (40, 60, 200), (30, 100, 384), (40, 130, 40)]
CROP = (104, 112, 112)

AUTHORS = ("--tascan authors --watershed flood --keep-pockets --keep-debris --min-relative-area 0 "
           "--min-touching-fraction 0.51")
PLAIN = "--min-relative-area 0 --peak-fraction 0 --fragment-fraction 0 --keep-debris"
RULES = {"authors": AUTHORS, "plain": PLAIN, "defaults": ""}

SWEEPS = {
    "--peak-height": [0.25, 0.5, 0.75, 1.0, 1.5],
    "--peak-fraction": [0, 0.05, 0.1, 0.15, 0.2, 0.3],
    "--peak-distance": [0, 2, 3, 5],
    "--min-touching-area": [15, 30, 60],
    "--min-relative-area": [0, 0.2, 0.4, 0.5, 0.7, 0.9],
    "--min-touching-fraction": [0.3, 0.5, 0.7, 2],
    "--fragment-fraction": [0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2],
    "--keep-debris": [""],
}


def oracle(folder):
    """Yields name, truth and classes of the authors' code's test volumes."""
    for name in ["s64", "s96"]:
        path = folder / f"stage2_{name}.npz"
        if path.exists():
            masks = np.load(path)
            classes = np.where(masks["foreground"], FOREGROUND, np.where(masks["boundary"], MEMBRANE, 0))
            # Where background and membrane are both set, the authors' last step leaves background.
            yield name, masks["gt"], np.where(masks["background"], 0, classes)


def tissues(tascan, ovule, folder):
    """Yields name and truth of cells to damage: synthetic ones, a real organ, and that at half its size."""
    command = [tascan, "synthesize", "--quiet", "--output", folder, "--shape", "96,128,128", "--seed", "11"]
    for cells in [60, 400]:
        subprocess.run([*command, "--cells", str(cells)], check=True, stdout=subprocess.DEVNULL)
        (path,) = folder.glob("*_labels.tif")
        yield f"synthetic, {cells}", tifffile.imread(path)
    if ovule.exists():
        labels = tifffile.imread(ovule)
        for start in CROPS:
            box = tuple(slice(a, a + size) for a, size in zip(start, CROP))
            yield f"ovule {','.join(map(str, start))}", labels[box]
        yield "ovule, half size", labels[::2, ::2, ::2][:, 20:140, 120:280]


def volumes(tascan, options, folder):
    """Yields the name of each volume; its classes and its truth are then in the folder."""
    damaged = [(name, truth, holes, number)
               for number, (name, truth) in enumerate(tissues(tascan, options.ovule, folder)) for holes in HOLES]
    for name, truth, classes in oracle(options.oracle):
        yield save(folder, name, truth, classes)
    for name, truth, holes, number in damaged:
        random = np.random.default_rng([number, int(2 * holes)])
        yield save(folder, f"{name}; {holes} holes", truth, damaged_classes(truth.astype(np.uint32), random, holes))


def save(folder, name, truth, classes):
    np.save(folder / "truth.npy", np.ascontiguousarray(truth, np.uint32))
    np.save(folder / "classes.npy", np.ascontiguousarray(classes, np.uint8))
    return name


def score(tascan, folder, variant):
    """(mean best IoU, adapted Rand error, cells found, true cells, average precision at IoU 0.5) of the volume in the folder."""
    classes, labels, truth = [folder / name for name in ["classes.npy", "labels.npy", "truth.npy"]]
    subprocess.run([tascan, "cluster", "--quiet", classes, "-o", labels, *variant.split()], check=True)
    command = [tascan, "evaluate", "--json", "--matching", "best-iou", labels, truth]
    scores = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    precision = scores["detection"][0]["average_precision"]
    return *(scores[key] for key in ["mean_ji", "adapted_rand_error", "predicted_cells", "truth_cells"]), precision


def print_volumes(scores):
    print(f"\n| volume | true cells | {' | '.join(RULES)} |\n|---|---|{'---|' * len(RULES)}")
    for name, of in scores.items():
        cells = of[""][3]
        rules = [f"{iou:.3f} / {are:.3f} / {found}" for iou, are, found, *_ in map(of.get, RULES.values())]
        print(f"| {name} | {cells} | {' | '.join(rules)} |")


def print_variants(scores, variants):
    print("\n| options | mean IoU | mean ARE | mean AP | worst IoU | most lost in a volume | most won |\n|---|---|---|---|---|---|---|")
    for variant in variants:
        iou, are, precision = [[of[variant][n] for of in scores.values()] for n in (0, 1, 4)]
        change = [of[variant][0] - of[""][0] for of in scores.values()]
        name = {AUTHORS: "authors", PLAIN: "plain", "": "defaults"}.get(variant, variant)
        means = f"{mean(iou):.4f} | {mean(are):.4f} | {mean(precision):.4f}"
        print(f"| {name} | {means} | {min(iou):.3f} | {min(change):+.3f} | {max(change):+.3f} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tascan", help="the compiled program")
    parser.add_argument("--oracle", type=Path, default=SHARED / "oracle/stage2", help="folder of stage2_*.npz")
    parser.add_argument("--ovule", type=Path, default=SHARED / "data/ovule_geometry_labels.tif", help="labels of an organ")
    parser.add_argument("--variant", action="append", help="options of `tascan cluster` in place of the sweeps")
    options = parser.parse_args()
    sweeps = [f"{option} {value}".rstrip() for option, values in SWEEPS.items() for value in values]
    variants = [*RULES.values(), *(options.variant or sweeps)]
    scores = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for volume in volumes(options.tascan, options, folder):
            scores[volume] = {variant: score(options.tascan, folder, variant) for variant in variants}
    print_volumes(scores)
    print_variants(scores, variants)


main()
