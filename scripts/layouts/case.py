"""A case: a file in some layout, and the voxels and voxel size that a reader has to find in it."""
import json
import math
from pathlib import Path

import numpy as np

INTEGERS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"]
FLOATS = ["f4", "f8"]
NAMES = ["membrane", "nuclei", "GFP", "Ch 2", "café"]


class Cases:
    """Writes the expected voxels beside the files and collects cases.json."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.list = []

    def path(self, ending):
        """Returns the path of the next case's file."""
        return self.folder / f"{len(self.list):04}.{ending}"

    def add(self, path, voxels, description, *, dataset=None, role="raw", channel=None, time=None, spacing=None,
            may_refuse=False):
        voxels = shown(voxels)
        assert voxels.ndim == 3 and voxels.size, (description, voxels.shape)
        expected = f"expected_{len(self.list):04}.npy"
        np.save(self.folder / expected, voxels)
        self.list.append({
            "spec": path.name if dataset is None else f"{path.name}:{dataset}",
            "role": role,
            "channel": channel,
            "time": time,
            "expected": expected,
            "spacing": spacing and [float(edge) for edge in spacing],
            "may_refuse": may_refuse,
            "description": description,
        })

    def save(self):
        (self.folder / "cases.json").write_text(json.dumps(self.list, indent=1))


def shown(voxels):
    """Returns voxels in the type that the program shows: truth values as u8, half floats as f32."""
    kind, size = voxels.dtype.kind, voxels.dtype.itemsize
    if kind == "b":
        dtype = np.dtype("u1")
    elif kind == "f" and size == 2:
        dtype = np.dtype("f4")
    else:
        dtype = np.dtype(f"<{kind}{size}")
    return np.ascontiguousarray(voxels, dtype)


class Chance:
    """A generator of random choices, as plain Python values."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def one(self, options):
        return options[int(self.rng.integers(len(options)))]

    def often(self, probability):
        return bool(self.rng.random() < probability)

    def whole(self, least, most):
        return int(self.rng.integers(least, most + 1))

    def shuffled(self, items):
        return [items[i] for i in self.rng.permutation(len(items))]

    def extents(self, least=(1, 1, 1), most=6000):
        """Returns z, y, x from 1 to 40, mostly all different."""
        while True:
            shape = [self.whole(start, 40) for start in least]
            if 200 <= math.prod(shape) <= most and (len(set(shape)) == 3 or self.often(0.1)):
                return shape

    def edges(self):
        """Returns the edges of a voxel in micrometres."""
        return [round(float(edge), self.whole(2, 6)) for edge in self.rng.uniform(0.05, 3, 3)]

    def values(self, shape, dtype, bits=None):
        """Returns noise over the whole range, small numbers, or steps that every method compresses."""
        dtype = np.dtype(dtype)
        style = self.one(["noise", "small", "steps"])
        if style == "steps":
            flat = np.arange(math.prod(shape)) // self.whole(1, 50) % (1 << min(bits or 7, 7) - 1)
            return flat.reshape(shape).astype(dtype)
        if dtype.kind == "b":
            return self.rng.random(shape) < 0.5
        if dtype.kind == "f":
            return self._floats(shape, dtype, style)
        bits = bits or 8 * dtype.itemsize
        low, high = (0, 1 << bits) if dtype.kind == "u" else (-(1 << bits - 1), 1 << bits - 1)
        if style == "small":
            low, high = max(low, -20), min(high, 100)
        return self.rng.integers(low, high, shape, dtype.newbyteorder("="))

    def _floats(self, shape, dtype, style):
        numbers = self.rng.normal(0, 1 if style == "small" else 1000, shape).astype(dtype)
        if self.often(0.3):
            special = np.array([np.nan, np.inf, -np.inf, -0.0], dtype)
            chosen = self.rng.random(shape) < 0.02
            numbers[chosen] = self.rng.choice(special, int(chosen.sum()))
        return numbers
