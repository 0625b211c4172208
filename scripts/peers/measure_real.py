"""Scores of `tascan segment` on real volumes: `measure_real.py [options]`.

Prints a Markdown table for each model, one row a volume with its voxel size and one without. A row's scores are those of
`tascan evaluate` over the true cells of more than LEAST voxels.

A volume may have a list of the true cells that count. Where it has one, the other true cells are background to
`tascan evaluate`, and predicted cells that lie in them are not false (`Match`).
"""
import argparse
import csv
import json
import re
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from match import Match
from outlines import save_picture

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared/data"
LEAST = 200


@dataclass
class Volume:
    name: str
    raw: str
    labels: str
    counted: str | None = None


def shared_volumes():
    """The volumes of ../shared/data that have a truth."""
    for raw in sorted(SHARED.glob("*_raw.tif")):
        labels, counted = [raw.with_name(raw.name.replace("_raw.tif", end)) for end in ["_labels.tif", "_counted.txt"]]
        if labels.exists():
            yield Volume(raw.name.removesuffix("_raw.tif"), str(raw), str(labels), str(counted) if counted.exists() else None)


def named_volume(paths):
    if not 2 <= len(paths) <= 3:
        raise SystemExit("--volume takes RAW LABELS and at most the list of counted cells")
    name = re.sub(r"_raw$", "", Path(paths[0].split(":")[0]).stem)
    return Volume(name, *paths)


class Tascan:
    """The program with the options of one table."""

    def __init__(self, program, model, options):
        self.program = program
        self.options = [*(["--model", model] if model else []), *shlex.split(options)]

    def run(self, *arguments):
        result = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        if result.returncode:
            raise SystemExit(f"{shlex.join(map(str, result.args))}\n{result.stdout}{result.stderr}")
        return result.stdout

    def convert(self, source, target, *options):
        """Writes the voxels of a file as NPY, which holds no voxel size, and returns them."""
        self.run("convert", *options, source, target)
        return np.load(target)

    def segment(self, raw, labels):
        """The program's own report, with the seconds from its start to its end."""
        start = time.perf_counter()
        report = json.loads(self.run("segment", "--json", *self.options, raw, "-o", labels))
        return {**report, "seconds": time.perf_counter() - start}

    def evaluate(self, labels, truth, matching):
        command = ["evaluate", "--json", "--min-cell-size", LEAST, "--matching", matching, labels, truth]
        return json.loads(self.run(*command))


class Case:
    """A volume in the folder where it is measured."""

    def __init__(self, tascan, volume, folder):
        self.volume, self.folder = volume, folder
        self.raw = tascan.convert(volume.raw, folder / "raw.npy")
        self.truth = tascan.convert(volume.labels, folder / "truth.npy", "--labels")
        self.counted = None
        if volume.counted:
            self.counted = np.loadtxt(volume.counted, dtype=np.int64, ndmin=1)
            np.save(folder / "truth.npy", np.where(np.isin(self.truth, self.counted), self.truth, 0))

    def measure(self, tascan, raw):
        """The row of one run of the program on this file, its report, and its labels."""
        path = self.folder / "labels.npy"
        report = tascan.segment(raw, path)
        scores, best = [tascan.evaluate(path, self.folder / "truth.npy", m) for m in ["one-to-one", "best-iou"]]
        labels, cells = np.load(path), scores["truth_cells"]
        found = cells - scores["missed_cells"]
        false, predicted = scores["false_cells"], scores["predicted_cells"]
        if self.counted is not None:
            predicted = int(self.match(labels).predicted.sum())
            false = predicted - found
        row = {
            "volume": self.volume.name,
            "voxel size": "yes" if report["spacing"] else "no",
            "scale": ", ".join(f"{factor:.3g}" for factor in report["scale"]),
            "cells": cells,
            "found": found,
            "false": false,
            "share found": f"{found / cells:.2f}",
            "share false": f"{false / max(predicted, 1):.2f}",
            "mean DSC": f"{scores['mean_dsc']:.3f}",
            "ARE": f"{scores['adapted_rand_error']:.3f}",
            "mean best IoU": f"{best['mean_ji']:.3f}",
            "seconds": f"{report['seconds']:.1f}",
        }
        return row, report, labels

    def match(self, labels):
        return Match(labels, self.truth, LEAST, self.counted)


def rows(tascan, volume, pictures):
    """The rows of a volume: as it is, and where it has a voxel size, without."""
    with tempfile.TemporaryDirectory() as name:
        case = Case(tascan, volume, Path(name))
        row, report, labels = case.measure(tascan, volume.raw)
        yield row
        if pictures:
            path = pictures / f"{volume.name}.png"
            save_picture(path, case.raw, labels, case.truth, case.match(labels), report["spacing"])
        if report["spacing"]:
            yield case.measure(tascan, case.folder / "raw.npy")[0]


def print_row(values):
    print(f"| {' | '.join(map(str, values))} |", flush=True)


def append(path, model, row):
    new = not path.exists() or path.stat().st_size == 0
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, ["model", *row])
        if new:
            writer.writeheader()
        writer.writerow({"model": model, **row})


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--volume", nargs="+", action="append", default=[], metavar="FILE",
                        help="RAW LABELS [COUNTED]: one more volume; COUNTED is a text file of the labels that count")
    parser.add_argument("--only", type=lambda text: text.split(","), help="names of the volumes to measure")
    parser.add_argument("--program", default=str(ROOT / "target/release/tascan"), help="the compiled program")
    parser.add_argument("--model", action="append", help="a model in place of the built-in one; several give a table each")
    parser.add_argument("--options", default="", help="more options of `tascan segment`, as --options=\"...\"")
    parser.add_argument("--csv", type=Path, help="also append the rows to this file")
    parser.add_argument("--pictures", type=Path, help="also write NAME.png of every volume into this folder")
    return parser.parse_args()


def main():
    options = arguments()
    volumes = [*shared_volumes(), *map(named_volume, options.volume)]
    if options.only:
        volumes = [volume for volume in volumes if volume.name in options.only]
    if not volumes:
        raise SystemExit(f"no volume to measure: none in {SHARED}, or none of this name")
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    for model in options.model or [None]:
        tascan = Tascan(options.program, model, options.options)
        if model:
            print(f"\n{model}\n")
        measured = (row for volume in volumes for row in rows(tascan, volume, options.pictures))
        for number, row in enumerate(measured):
            if number == 0:
                print_row(row)
                print(f"|{'---|' * len(row)}")
            print_row(row.values())
            if options.csv:
                append(options.csv, model or "built-in", row)


main()
