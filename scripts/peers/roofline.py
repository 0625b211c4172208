"""Estimates the network's time on GPUs that are not at hand: `roofline.py FOLDER NVDISASM`, FOLDER as of kernel_report.py.

A layer takes at least as long as its bytes at the memory's rate, its operations at the arithmetic's rate, and its instructions
at one a cycle for each of a multiprocessor's four schedulers. Prints Markdown.
"""
import sys
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path

from kernel_loops import hot_loops


@dataclass
class Gpu:
    name: str
    architecture: int
    multiprocessors: int
    clock: float
    tensor: float  # operations a second in f16 with f32 sums, dense
    f32: float
    memory: float  # bytes a second
    bus: float  # bytes a second to and from the host
    capacity: float  # bytes
    mma: int  # multiply-adds of one HMMA


# NVIDIA's Turing and Hopper architecture whitepapers (reference boards, boost clocks); of the bus some 4/5 of PCIe 3.0 and 5.0.
GPUS = [
    Gpu("RTX 2080 Ti", 75, 68, 1.545e9, 53.8e12, 13.4e12, 616e9, 12e9, 11e9, 16 * 8 * 8),
    Gpu("H100 SXM", 90, 132, 1.83e9, 989e12, 66.9e12, 3350e9, 50e9, 80e9, 16 * 8 * 16),
]


@dataclass
class Layer:
    name: str
    kernel: str
    multiply_adds: float  # a voxel of the volume
    read: float  # bytes a voxel of the volume, each value once
    written: float


def layers():
    """In f16, of voxels in u16: values and voxels of 2 bytes, the class of one."""
    yield Layer("conv1, conv2", "first_conv_f16", 27 * 2 * 32, 2, 64)
    channels = 32
    for number, grid in enumerate((8, 64, 512)):
        finer = channels * 2 * 8 / grid
        yield Layer(f"conv{number + 3}", f"conv3d_halve_{channels}_f16", 27 * channels * 64 / grid, finer, 128 / grid)
        yield Layer(f"resmodule{number + 1}", "conv3d_residual_f16", 27 * 64 * 64 / grid, 128 / grid, 128 / grid)
        channels = 64
    for number, (grid, channels) in enumerate(((64, 64), (8, 64), (1, 32))):
        coarse, skip = 128 / (8 * grid), 2 * channels / grid
        kernel = f"conv_transpose3d_{channels}_f16"
        yield Layer(f"deconv{number + 1}", kernel, 8 * 64 * channels / grid, coarse + skip, skip)
    yield Layer("conv6, classes", "class_conv_f16", 27 * 32 * 3, 64, 1)


def seconds(layer, gpu, loops):
    """For one voxel: at the memory's rate, at the arithmetic's, at the schedulers'."""
    loop = loops[layer.kernel]
    peak = gpu.tensor if loop["tensor"] else gpu.f32
    # conv2 has 56 columns for two halves of 27 voxels, of which the last 8 are an instruction of their own, and conv6 computes
    # 16 for its 3 classes in 3 planes.
    padded = {"conv1, conv2": (56 if gpu.architecture < 80 else 64) / 54, "conv6, classes": 16 / 9}
    done = layer.multiply_adds * (padded.get(layer.name, 1) if loop["tensor"] else 1)
    in_loop = loop["tensor"] * gpu.mma + loop["multiply-add"] * 32
    issue = done / in_loop * sum(loop.values()) / (4 * gpu.multiprocessors * gpu.clock)
    return (layer.read + layer.written) / gpu.memory, 2 * layer.multiply_adds / peak, issue


HALO, BYTES_PER_VOXEL = 32, 122  # a block's halo, and what it takes of the memory


def reads(n, extent):
    """Voxels that the blocks of an axis read."""
    return [min(start + extent + HALO, n) - max(start - HALO, 0) for start in range(0, n, extent)]


def best_block(shape, gpu):
    """As src/tiles.rs cuts a volume for nine tenths of the memory."""
    axes = [{-(-n // parts // 8) * 8 for parts in range(1, n // 8 + 2)} for n in shape]
    along = {(n, extent): reads(n, extent) for n, extents in zip(shape, axes) for extent in extents}
    cuts = {extents: [along[axis] for axis in zip(shape, extents)] for extents in product(*axes)}
    fits = [extents for extents, cut in cuts.items() if prod(map(max, cut)) * BYTES_PER_VOXEL <= 0.9 * gpu.capacity]
    return min(fits, key=lambda extents: prod(map(sum, cuts[extents])))


def computed(n, extent):
    """Along an axis in blocks of `extent`: what they read, and compute of the decoder's layers (src/network/needed.rs)."""
    total = {"read": sum(reads(n, extent)), "deconv3": 0, "deconv2": 0, "deconv1": 0, "conv6, classes": n}
    for start in range(0, n, extent):
        first, end = max(start - 1, 0), min(start + extent + 1, n)
        for level, name in enumerate(("deconv3", "deconv2", "deconv1")):
            total[name] += min(end * 2**level, n) - first * 2**level
            first, end = max(first - 1, 0) // 2, end // 2 + 1
    return total


def voxels(shape, gpu):
    """What all blocks together read, and compute of the decoder's layers, in voxels of the volume."""
    axes = [computed(n, extent) for n, extent in zip(shape, best_block(shape, gpu))]
    return {name: prod(axis[name] for axis in axes) for name in axes[0]}


def main():
    folder, nvdisasm = map(Path, sys.argv[1:])
    print("| layer | multiply-adds | bytes read | bytes written | operations a byte |\n|---|---|---|---|---|")
    rows = list(layers())
    rows.append(Layer("all", "", *(sum(getattr(row, field) for row in rows) for field in ("multiply_adds", "read", "written"))))
    for row in rows:
        intensity = 2 * row.multiply_adds / (row.read + row.written)
        print(f"| {row.name} | {row.multiply_adds:,.0f} | {row.read:.2f} | {row.written:.2f} | {intensity:.0f} |")
    volumes = {"HMS, 181x331x160": (181, 331, 160), "LRP, 2000x1000x500": (2000, 1000, 500)}
    head = ["GPU", "volume", "voxels read", "multiply-adds", "memory", "arithmetic", "instructions", "network", "bus"]
    print("\n| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for gpu in GPUS:
        loops = {}
        for path in folder.glob(f"*_{gpu.architecture}.cubin"):
            loops |= {name: counts for name, (counts, _) in hot_loops(nvdisasm, path).items()}
        for name, shape in volumes.items():
            count = voxels(shape, gpu)
            read = count["read"]
            each = [(layer, count.get(layer.name, read)) for layer in layers()]
            done = sum(layer.multiply_adds * n for layer, n in each) / sum(layer.multiply_adds * read for layer, _ in each)
            times = [[s * n for s in seconds(layer, gpu, loops)] for layer, n in each]
            sums = [sum(column) for column in zip(*times)] + [sum(map(max, times)), (2 * read + prod(shape)) / gpu.bus]
            row = [gpu.name, name, f"{read / prod(shape):.2f}", f"{done:.2f}"] + [f"{1e3 * s:,.1f} ms" for s in sums]
            print("| " + " | ".join(row) + " |")


main()
