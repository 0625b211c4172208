"""A writer of TIFF files that may leave out or turn round whatever the format allows and tifffile never writes."""
import struct
from dataclasses import dataclass, field

import imagecodecs
import numpy as np

ASCII, SHORT, LONG, RATIONAL, LONG8 = 2, 3, 4, 5, 16
SIZES = {ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, LONG8: 8}
CODES = {SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}
NONE, LZW, JPEG, ADOBE_DEFLATE, PACKBITS, DEFLATE, LZMA, ZSTD = 1, 5, 7, 8, 32773, 32946, 34925, 50000
ENCODERS = {
    NONE: bytes,
    LZW: imagecodecs.lzw_encode,
    ADOBE_DEFLATE: imagecodecs.zlib_encode,
    DEFLATE: imagecodecs.zlib_encode,
    LZMA: imagecodecs.lzma_encode,
    ZSTD: imagecodecs.zstd_encode,
}


@dataclass
class Layout:
    """How the pages of a file are laid out. `omit` holds the numbers of tags that are left out."""
    order: str = "<"
    big: bool = False
    bits: int = 8
    compression: int = NONE
    predictor: int = 1
    tile: tuple | None = None
    rows: int = 1 << 20
    planar: int = 1
    fill_order: int = 1
    photometric: int = 1
    orientation: int = 1
    omit: frozenset = frozenset()
    counts: str = "stated"
    short_offsets: bool = False
    shuffled: bool = False
    gap: int = 0
    sparse: float = 0.0
    directory_first: bool = False
    resolution: tuple | None = None
    resolution_unit: int = 1


@dataclass
class Page:
    """One page: voxels y, x, sample, its texts (tag 270, as often as there are texts), and what follows its strips."""
    voxels: np.ndarray
    texts: list = field(default_factory=list)
    reduced: bool = False
    tail: bytes = b""


def write(path, pages, layout, chance):
    """Writes a file; `chance` decides the order of strips and which are absent."""
    order, big = layout.order, layout.big
    mark = b"II" if order == "<" else b"MM"
    out = bytearray(mark + (struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)))
    link = len(out) - (8 if big else 4)
    for page in pages:
        blob, places = _blob(list(encoded(page.voxels, layout)), page.tail, layout, chance)
        out += bytes(len(out) % 2)
        at = len(out) if layout.directory_first else len(out) + len(blob) + len(blob) % 2
        size = len(_directory(_tags(page, places, 0, layout), at, layout)[0])
        base = at + size if layout.directory_first else len(out)
        directory, next_link = _directory(_tags(page, places, base, layout), at, layout)
        blob += bytes(len(blob) % 2)
        out += directory + blob if layout.directory_first else blob + directory
        struct.pack_into(order + ("Q" if big else "I"), out, link, at)
        link = next_link
    path.write_bytes(out)


def _blob(segments, tail, layout, chance):
    """Returns the bytes of all segments and where each begins in them; an absent one is None."""
    blob, places = bytearray(), [None] * len(segments)
    numbers = range(len(segments))
    for number in chance.shuffled(numbers) if layout.shuffled else numbers:
        if layout.sparse and chance.often(layout.sparse):
            continue
        blob += bytes([0xA5]) * layout.gap
        places[number] = (len(blob), len(segments[number]))
        blob += segments[number]
    return blob + tail, places


def _tags(page, places, base, layout):
    """Returns the values and types of all tags, by number."""
    height, width, samples = page.voxels.shape
    sample_format = {"u": 1, "b": 1, "i": 2, "f": 3}[page.voxels.dtype.kind]
    tags = {
        254: (LONG, [1 if page.reduced else 0]),
        256: (LONG if layout.big else SHORT, [width]),
        257: (SHORT, [height]),
        258: (SHORT, [layout.bits] * samples),
        259: (SHORT, [layout.compression]),
        262: (SHORT, [layout.photometric]),
        266: (SHORT, [layout.fill_order]),
        274: (SHORT, [layout.orientation]),
        277: (SHORT, [samples]),
        284: (SHORT, [layout.planar]),
        296: (SHORT, [layout.resolution_unit]),
        317: (SHORT, [layout.predictor]),
        339: (SHORT, [sample_format] * samples),
    }
    tags.update(_location(places, base, height, layout))
    if layout.resolution:
        y, x = layout.resolution
        tags.update({282: (RATIONAL, list(x)), 283: (RATIONAL, list(y))})
    extra = samples - (3 if layout.photometric == 2 else 1)
    if extra > 0:
        tags[338] = (SHORT, [0] * extra)
    if layout.photometric == 3:
        tags[320] = (SHORT, [i * 7919 % 65536 for i in range(3 << layout.bits)])
    kept = [(number, *tag) for number, tag in tags.items() if number not in layout.omit]
    return sorted(kept + [(270, ASCII, text) for text in page.texts], key=lambda tag: tag[0])


def _location(places, base, height, layout):
    kind = SHORT if layout.short_offsets else LONG8 if layout.big else LONG
    offsets = [place[0] + base if place else 0 for place in places]
    counts = [place[1] if place and layout.counts != "zero" else 0 for place in places]
    if layout.tile:
        return {322: (SHORT, [layout.tile[1]]), 323: (LONG, [layout.tile[0]]), 324: (kind, offsets), 325: (LONG, counts)}
    tags = {273: (kind, offsets), 278: (LONG, [layout.rows]), 279: (LONG, counts)}
    if layout.counts == "absent":
        del tags[279]
    return tags


def _directory(tags, at, layout):
    """Returns the bytes of a directory that begins at byte `at`, and the place of the link to the next one."""
    order, big = layout.order, layout.big
    head, room, number = ("Q", 8, "Q") if big else ("H", 4, "I")
    values_at = at + struct.calcsize(order + head) + len(tags) * (12 + 2 * (room - 4)) + room
    entries, values = struct.pack(order + head, len(tags)), b""
    for tag, kind, value in tags:
        packed = value if kind == ASCII else struct.pack(f"{order}{len(value)}{CODES[kind]}", *value)
        entries += struct.pack(order + "HH" + number, tag, kind, len(packed) // SIZES[kind])
        if len(packed) <= room:
            entries += packed.ljust(room, b"\0")
        else:
            entries += struct.pack(order + number, values_at + len(values))
            values += packed + bytes(len(packed) % 2)
    return entries + bytes(room) + values, at + len(entries)


def encoded(voxels, layout):
    """Returns the bytes of each strip or tile of a page of shape y, x, sample."""
    parts = [voxels] if layout.planar == 1 else [voxels[..., [s]] for s in range(voxels.shape[2])]
    return (_encode(segment, layout) for part in parts for segment in _segments(part, layout))


def _segments(part, layout):
    height, width, _ = part.shape
    if not layout.tile:
        return [part[y:y + layout.rows] for y in range(0, height, layout.rows)]
    rows, columns = layout.tile
    padded = np.pad(part, [(0, -height % rows), (0, -width % columns), (0, 0)], mode="edge")
    return [padded[y:y + rows, x:x + columns] for y in range(0, height, rows) for x in range(0, width, columns)]


def _encode(segment, layout):
    rows = _rows(segment, layout)
    if layout.compression == PACKBITS:
        coded = b"".join(imagecodecs.packbits_encode(row) for row in rows)
    elif layout.compression == JPEG:
        coded = imagecodecs.jpeg8_encode(segment[..., 0].copy(), level=100)
    else:
        coded = ENCODERS[layout.compression](b"".join(rows))
    # Each byte is turned round after compression, as libtiff and tifffile do.
    return imagecodecs.bitorder_encode(coded) if layout.fill_order == 2 else coded


def _rows(segment, layout):
    """Returns the bytes of each row, after the predictor and in the byte order of the file."""
    rows, width, samples = segment.shape
    if layout.bits not in (8, 16, 32, 64):
        shifts = np.arange(layout.bits - 1, -1, -1)
        bits = segment.reshape(rows, -1, 1).astype("u2") >> shifts & 1
        return [row.tobytes() for row in np.packbits(bits.reshape(rows, -1).astype("u1"), axis=1)]
    if layout.predictor == 3:
        return [_floating_differences(row, samples) for row in segment]
    if layout.predictor == 2:
        numbers = np.ascontiguousarray(segment).view(f"u{segment.itemsize}")
        segment = np.concatenate([numbers[:, :1], np.diff(numbers, axis=1)], axis=1)
    return [row.tobytes() for row in segment.astype(segment.dtype.newbyteorder(layout.order))]


def _floating_differences(row, samples):
    """Returns the most significant bytes of all numbers of a row first, as differences of bytes; no byte order matters."""
    row = np.ascontiguousarray(row, row.dtype.newbyteorder(">"))
    planes = row.reshape(-1).view("u1").reshape(-1, row.itemsize).T.reshape(-1)
    differences = planes.copy()
    differences[samples:] -= planes[:-samples]
    return differences.tobytes()
