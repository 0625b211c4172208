"""The hot loop of each kernel of a cubin, from nvdisasm's listing."""
import re
import subprocess
from collections import Counter

# Kinds of instructions, by the beginning of their name; the first that fits.
KINDS = [
    ("tensor", ("HMMA",)),
    ("multiply-add", ("FFMA", "FADD", "FMUL", "HFMA", "HADD", "HMUL")),
    ("shared", ("LDS", "STS")),
    ("global", ("LDG", "STG", "LDGDEPBAR")),
    ("integer", ("IMAD", "IADD", "LEA", "LOP", "SHF", "ISETP", "SEL", "IMNMX", "UIADD", "UIMAD", "ULEA", "ULOP", "USHF", "UISETP",
                 "USEL", "VIADD", "VIMNMX", "PLOP", "UPLOP", "MOV", "UMOV", "R2UR", "PRMT", "UPRMT", "CS2R", "USGXT", "SGXT")),
]
CLASSES = [kind for kind, _ in KINDS] + ["other"]
# Multiply-adds of a lane, or so, by which the hottest loop is found.
WEIGHTS = {"tensor": 64, "multiply-add": 1}

# Bytes that a warp moves through shared memory and the first cache, which are one, with one instruction: those of its widest
# access.
MATRIX_BYTES = [("LDSM.16.M88.4", 512), ("LDSM.16.M88.2", 256), ("LDSM", 128)]

INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:\{\s*)?(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)[^;]*;")
BRANCH = re.compile(r"\bBRA\b[^;]*`\((\.L_\w+)\)")


def kind(name):
    # LDGSTS begins as LDG: a copy from global to shared memory.
    return next((kind for kind, names in KINDS if name.startswith(names)), "other")


def moved_bytes(text):
    """Of one instruction as it is listed; 0 where it does not run or moves nothing."""
    if "@!PT" in text or not (name := re.search(r"\b(?:LDSM|LDS|STS|LDGSTS|LDG|STG)\b[.\w]*", text)):
        return 0
    for beginning, size in MATRIX_BYTES:
        if name[0].startswith(beginning):
            return size
    return 512 if ".128" in name[0] else 256 if ".64" in name[0] else 128


def hot_loops(nvdisasm, cubin):
    """{kernel: (Counter of kinds, bytes that a warp moves through shared memory and the first cache)}"""
    listing = subprocess.run([nvdisasm, "-c", cubin], check=True, capture_output=True, text=True).stdout
    sections = re.split(r"^\.text\.(\w+):$", listing, flags=re.M)
    return {name: hot_loop(body) for name, body in zip(sections[1::2], sections[2::2])}


def hot_loop(body):
    names, moved, labels, loops = [], [], {}, []
    for line in body.splitlines():
        if label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(names)
        elif line.strip().startswith(".section"):
            break
        elif instruction := INSTRUCTION.search(line):
            names.append(instruction[1])
            moved.append(moved_bytes(line))
            # A branch back; the one to itself that ends a kernel is none.
            if (branch := BRANCH.search(line)) and labels.get(branch[1], len(names)) < len(names) - 1:
                loops.append((labels[branch[1]], len(names)))
    inside = lambda inner, outer: inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]
    # What a loop has beside the loops in it.
    own = lambda loop: [i for i in range(*loop) if not any(inside(other, loop) and i in range(*other) for other in loops)]
    arithmetic = lambda loop: sum(WEIGHTS.get(kind(names[i]), 0) for i in own(loop))
    start, end = max(loops or [(0, len(names))], key=arithmetic)
    kinds = [kind(name) for name in names]
    heaviest = "tensor" if "tensor" in kinds[start:end] else "multiply-add"
    first = kinds.index(heaviest, start) if heaviest in kinds[start:end] else start
    barriers = [i for i in range(start, first) if names[i] == "BAR"]
    hot = range(barriers[-1] + 1 if barriers else start, end)
    return Counter(kinds[i] for i in hot if names[i] != "NOP"), sum(moved[i] for i in hot)
