"""Tabulates the compiled kernels and what the emulated driver counted: `kernel_report.py FOLDER NVDISASM REPORT...`.

FOLDER is the build's OUT_DIR, with *.cubin, *.ptx and ptxas.txt; a REPORT is a JSON of CUDA_EMULATOR_REPORT whose
name begins with its compute capability. Prints Markdown.
"""
import json
import re
import sys
from pathlib import Path

from kernel_loops import CLASSES, hot_loops

# Limits of a multiprocessor: threads, blocks, bytes of shared memory, bytes that a block takes beside its own, and the granularity
# of shared memory (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability", and its occupancy calculator).
LIMITS = {
    75: (1024, 16, 64 << 10, 0, 256),
    80: (2048, 32, 164 << 10, 1024, 128),
    86: (1536, 16, 100 << 10, 1024, 128),
    89: (1536, 24, 100 << 10, 1024, 128),
    90: (2048, 32, 228 << 10, 1024, 128),
    100: (2048, 32, 228 << 10, 1024, 128),
    120: (1536, 24, 100 << 10, 1024, 128),
}
# Cycles for which one HMMA holds a scheduler's tensor core, f16 with f32 sums at the documented dense peak: m16n8k8 on an RTX
# 2080 Ti, m16n8k16 on an A100, an A40 (GeForce of 8.6: twice as many), an H100.
TENSOR_CYCLES = {75: 16, 80: 8, 86: 16, 90: 4}
# Bytes a cycle of shared memory and the first cache for each of a multiprocessor's four schedulers.
CACHE_RATE = 128 / 4
REGISTERS, REGISTER_UNIT = 65536, 256


def resources(folder):
    """{kernel: {architecture: (registers, bytes of shared memory, bytes of spills)}}"""
    pattern = re.compile(
        r"entry function '(\w+)' for 'sm_(\d+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
        r"\s*ptxas info\s*: Used (\d+) registers([^\n]*)", re.S)
    found = {}
    for name, architecture, stores, loads, registers, rest in pattern.findall((folder / "ptxas.txt").read_text()):
        shared = re.search(r"(\d+) bytes smem", rest)
        by_architecture = found.setdefault(name, {})
        by_architecture[int(architecture)] = (int(registers), int(shared[1]) if shared else 0, int(stores) + int(loads))
    return found


def threads(folder):
    """{kernel: threads of a block}, from `.maxntid`."""
    head = re.compile(r"\.entry (\w+)\([^{]*?\.maxntid (\d+)", re.S)
    return {name: int(count) for path in folder.glob("*.ptx") for name, count in head.findall(path.read_text())}


def blocks_at_once(architecture, registers, shared, count):
    """Blocks of `count` threads that a multiprocessor holds."""
    most_threads, most_blocks, memory, reserved, unit = LIMITS[architecture]
    warps = -(-count // 32)
    per_warp = -(-registers * 32 // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = REGISTERS // 4 // per_warp * 4 // warps
    by_memory = memory // (-(-(shared + reserved) // unit) * unit) if shared + reserved else most_blocks
    return min(most_blocks, most_threads // count, by_registers, by_memory)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def print_resources(found, counts):
    architectures = sorted({a for by_architecture in found.values() for a in by_architecture})
    rows = []
    for name, by_architecture in sorted(found.items()):
        row = [f"`{name}`", str(counts[name]), f"{max(s for _, s, _ in by_architecture.values()) / 1024:.1f}"]
        for architecture in architectures:
            if architecture not in by_architecture:
                row.append("")
                continue
            registers, shared, spills = by_architecture[architecture]
            blocks = blocks_at_once(architecture, registers, shared, counts[name])
            occupancy = 100 * blocks * counts[name] / LIMITS[architecture][0]
            row.append(f"{registers}, {blocks}, {occupancy:.0f} %" + (f", spills {spills}" if spills else ""))
        rows.append(row)
    print("Registers a thread, blocks that a multiprocessor holds, and the share of its threads that they are.\n")
    table(["kernel", "threads", "shared, KiB"] + [f"{a // 10}.{a % 10}" for a in architectures], rows)


def print_loops(folder, nvdisasm):
    rows = []
    for path in sorted(folder.glob("*.cubin")):
        architecture = int(path.stem.rsplit("_", 1)[1])
        if architecture in (75, 80, 90, 120):
            for name, (counts, _) in hot_loops(nvdisasm, path).items():
                total = sum(counts.values())
                shares = [f"{100 * counts[kind] / total:.0f} %" if counts[kind] else "" for kind in CLASSES]
                rows.append((name, architecture, [str(total)] + shares))
    print("Instructions of the innermost loop with the most arithmetic, behind its last barrier, and what share is what.\n")
    rows = [[f"`{name}`", f"{a // 10}.{a % 10}"] + row for name, a, row in sorted(rows)]
    table(["kernel", "for", "instructions"] + CLASSES, rows)


def print_reachable(folder, nvdisasm):
    shares = {}
    for architecture, cycles in TENSOR_CYCLES.items():
        for path in folder.glob(f"*_{architecture}.cubin"):
            for name, (counts, moved) in hot_loops(nvdisasm, path).items():
                # Those in bf16 whose like is there in f16 are the same loops.
                if counts["tensor"] and (name.endswith("_f16") or name.startswith(("conv_training", "weight_gradient"))):
                    tensor, issue, cache = cycles * counts["tensor"], sum(counts.values()), moved / CACHE_RATE
                    longest = max(tensor, issue, cache)
                    # In this order, so that a tie with the tensor cores names nothing.
                    limit = {issue: ", issue", cache: ", cache", tensor: ""}[longest]
                    shares.setdefault(name, {})[architecture] = f"{100 * tensor / longest:.0f} %{limit}"
    print("Share of the tensor cores' peak that the hot loop alone can reach, and what limits it.\n")
    rows = [[f"`{name}`"] + [found.get(a, "") for a in TENSOR_CYCLES] for name, found in sorted(shares.items())]
    table(["kernel"] + [f"{a // 10}.{a % 10}" for a in TENSOR_CYCLES], rows)


def print_traffic(reports):
    # A kernel that runs several times is in the first report.
    rows = {}
    for path in reports:
        for name, profile in json.loads(path.read_text()).items():
            sectors, ideal = profile["global_sectors"], profile["ideal_global_sectors"]
            accesses, extra = profile["shared_accesses"], profile["extra_shared_wavefronts"]
            row = [f"{sectors / max(ideal, 1):.3f}", f"{100 * extra / max(accesses, 1):.1f} %",
                   f"{profile['average_active_lanes']:.1f}"]
            rows.setdefault((f"`{name}`", path.name[:3]), row)
    print("As the emulated driver counts: sectors of 32 bytes of global memory over the fewest that hold what was asked for, "
          "passes over shared memory that bank conflicts add for each access of a warp, and active lanes.\n")
    table(["kernel", "for", "sectors / ideal", "conflicts", "lanes"], [[*key, *row] for key, row in sorted(rows.items())])


def main():
    folder, nvdisasm, *reports = map(Path, sys.argv[1:])
    print_resources(resources(folder), threads(folder))
    print_loops(folder, nvdisasm)
    print_reachable(folder, nvdisasm)
    print_traffic(reports)


main()
