"""Random TIFF files. The expected voxels of a page are those that tifffile reads back from it; which page is which plane
follows from the text that was written. Where tifffile reads a text too, its own order of planes has to agree."""
from dataclasses import replace

import numpy as np
import tifffile

from layouts import tiff_file, tiff_text
from layouts.case import FLOATS, INTEGERS
from layouts.tiff_file import ADOBE_DEFLATE, DEFLATE, JPEG, LZMA, LZW, NONE, PACKBITS, ZSTD, Layout, Page

COMPRESSIONS = [NONE] * 6 + [LZW, LZW, ADOBE_DEFLATE, ADOBE_DEFLATE, DEFLATE, PACKBITS, PACKBITS, ZSTD, LZMA, JPEG]
# The tags that a file may lack where their default holds.
OPTIONAL = {254, 259, 262, 266, 274, 277, 278, 284, 296, 317, 339}
OME_NUMBERS = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]


def make(cases, chance):
    """Adds one case."""
    kinds = [_own] * 10 + [_single_page, _single_page, _unnamed_channels, _noted_pages] + [_by_tifffile] * 4
    chance.one(kinds)(cases, chance)


def _own(cases, chance):
    """A stack of pages in a random layout with a random text."""
    flavour = chance.one(["plain", "plain", "ImageJ", "OME", "both", "shaped"])
    times, channels = 1, 1
    if flavour != "plain" and chance.often(0.4):
        times, channels = chance.whole(1, 3), chance.whole(1, 3)
    samples = chance.one([1, 1, 1, 2, 3, 4]) if flavour in ("plain", "OME") and channels == 1 else 1
    # A single page is a volume only where its text says so.
    least = 2 if flavour == "plain" or times * channels * samples > 1 else 1
    planes, height, width = chance.extents((least, 1, 1), 2500 // samples)
    layout, voxels, refusable = _random_layout(chance, flavour, (times, planes, channels, height, width, samples))
    text = _text(chance, flavour, voxels)
    layout = replace(layout, resolution=text.resolution or layout.resolution)
    pages = [Page(voxels[place]) for place in text.order]
    pages[0].texts = text.texts
    if flavour in ("plain", "ImageJ") and chance.often(0.2):
        _add_previews(chance, pages)
    path = _write(cases, chance, pages, layout)
    refusable = refusable or _absent_counts(layout, height, samples)
    _add(cases, chance, path, text, voxels.shape, f"{flavour}, {text.description}, {_described(layout, voxels)}", refusable)


def _text(chance, flavour, voxels):
    times, planes, channels, height, width, samples = voxels.shape
    if flavour == "ImageJ":
        return tiff_text.imagej(chance, times, planes, channels)
    if flavour == "shaped":
        return tiff_text.shaped(chance, times, planes, channels, height, width)
    if flavour == "plain":
        return tiff_text.Text([], [(0, z, 0) for z in range(planes)], description="no text", read_by_tifffile=False)
    text = tiff_text.ome(chance, times, planes, channels, height, width, voxels.dtype.str[1:], samples)
    if flavour == "both":
        _add_imagej(text, times, planes, channels)
    return text


def _add_imagej(text, times, planes, channels):
    """Adds ImageJ's text after that of OME, which says more and comes first."""
    size = "".join(f"unit=micron\nspacing={text.spacing[0]!r}\n" if text.spacing else "")
    counts = f"images={times * planes * channels}\nchannels={channels}\nslices={planes}\nframes={times}\n"
    text.texts.append(f"ImageJ=1.53t\n{counts}{size}loop=false\n".encode() + b"\0")


def _random_layout(chance, flavour, shape):
    """Returns a layout, voxels t, z, c, y, x, sample for it, and why a reader may refuse it."""
    height, _, samples = shape[3:]
    layout = Layout(
        order=chance.one("<>"), big=chance.often(0.25), compression=chance.one(COMPRESSIONS),
        rows=chance.one([1 << 20, height, chance.whole(1, height), chance.whole(1, height)]),
        tile=(chance.one([16, 32, 48]), chance.one([16, 32])) if chance.often(0.25) else None,
        planar=chance.one([1, 2]) if samples > 1 else 1, directory_first=chance.often(0.3),
        shuffled=chance.often(0.3), gap=chance.one([0, 0, 0, 1, 2, 7]), orientation=chance.one([1, 1, 1, 2, 3, 4, 6, 8]),
        sparse=chance.one([0, 0, 0, 0, 0.3]), fill_order=chance.one([1] * 15 + [2]),
        resolution=chance.one([None, ((300, 1), (300, 1))]) if flavour == "plain" else None,
        resolution_unit=chance.one([1, 2, 3]) if flavour == "plain" else 1,
    )
    if layout.compression == JPEG:
        return _jpeg(chance, layout, shape)
    types = [*OME_NUMBERS, "u1", "u2"] if flavour in ("OME", "both") else [*INTEGERS, *FLOATS, "u1", "u2", "f2", "f4"]
    layout, voxels, refusable = _numbers(chance, layout, shape, types)
    photometric = [0, 1, 1, 1] + [3] * (layout.bits in (4, 8) and voxels.dtype.kind == "u" and samples == 1) \
        + [2] * 4 * (samples >= 3)
    layout = replace(layout, photometric=chance.one(photometric))
    layout = replace(layout, omit=_omitted(chance, layout, voxels), counts=_counts(chance, layout))
    if layout.compression in (ZSTD, LZMA):
        refusable = refusable or "a rare compression"
    return layout, voxels, refusable or (layout.fill_order == 2 and "bits in reverse order")


def _numbers(chance, layout, shape, types):
    """Chooses the type of number and a predictor for it."""
    if chance.often(0.07):
        bits = chance.one([1, 2, 4, 10, 12])
        voxels = chance.values(shape, "u1" if bits < 8 else "u2", bits)
        return replace(layout, bits=bits), voxels, f"voxels of {bits} bits"
    dtype = np.dtype(chance.one(types))
    predictors, refusable = [1], False
    if layout.compression in (LZW, ADOBE_DEFLATE, DEFLATE, ZSTD, LZMA):
        # libtiff has predictors for these only and ignores the tag elsewhere; tifffile would undo one for any method.
        predictors += [2, 2] if dtype.kind != "f" else [3, 3, 2]
    predictor = chance.one(predictors)
    if predictor == 2 and dtype.kind == "f":
        refusable = "differences of the bits of floating-point numbers"
    return replace(layout, bits=8 * dtype.itemsize, predictor=predictor), chance.values(shape, dtype), refusable


def _jpeg(chance, layout, shape):
    """Pages of one value each: JPEG keeps them, whatever the decoder's arithmetic."""
    values = chance.rng.integers(0, 256, (*shape[:3], 1, 1, 1), "u1")
    layout = replace(layout, planar=2 if shape[5] > 1 else 1, predictor=1, fill_order=1)
    return layout, np.broadcast_to(values, shape), "JPEG"


def _omitted(chance, layout, voxels):
    """Returns tags whose default is what the file has."""
    defaults = {259: layout.compression == NONE, 262: layout.photometric == 1, 266: layout.fill_order == 1,
                274: layout.orientation == 1, 277: voxels.shape[5] == 1, 278: layout.rows >= voxels.shape[3],
                284: layout.planar == 1, 317: layout.predictor == 1, 339: voxels.dtype.kind == "u",
                254: True, 296: layout.resolution is None}
    probability = chance.one([0, 0.3, 1])
    return frozenset(tag for tag in OPTIONAL if defaults[tag] and chance.often(probability))


def _counts(chance, layout):
    """Absent or zero counts of bytes are what old programs wrote for uncompressed strips."""
    unsure = layout.compression != NONE or layout.tile or layout.sparse or layout.shuffled or layout.gap
    return "stated" if unsure else chance.one(["stated", "stated", "absent", "zero"])


def _absent_counts(layout, height, samples):
    """libtiff estimates the counts of a page of one strip and refuses several."""
    several = layout.rows < height or (layout.planar == 2 and samples > 1)
    return layout.counts != "stated" and several and "no byte counts of several strips"


def _add_previews(chance, pages):
    """Puts pages of reduced resolution in between."""
    for at in sorted({chance.whole(1, len(pages)) for _ in range(chance.whole(1, 3))}, reverse=True):
        pages.insert(at, Page(pages[0].voxels[::2, ::2], reduced=True))


def _write(cases, chance, pages, layout):
    """Writes the file, and beside it for tifffile one with byte counts, since it takes zero as absent voxels."""
    if any(page.reduced for page in pages):
        layout.omit -= {254}
    path = cases.path(chance.one(["tif", "tiff", "TIF", "btf"] if layout.big else ["tif", "tiff"]))
    # Palettes and texts take their part of the 64 KiB.
    small = not layout.sparse and sum(page.voxels.nbytes + 2500 for page in pages) < 40000
    layout.short_offsets = small and not layout.tile and not layout.big and chance.often(0.3)
    state = chance.rng.bit_generator.state
    tiff_file.write(cases.folder / "read_back.tif", pages, replace(layout, counts="stated"), chance)
    chance.rng.bit_generator.state = state
    tiff_file.write(path, pages, layout, chance)
    return path


def _add(cases, chance, path, text, shape, description, refusable):
    """Reads the pages back with tifffile, chooses a channel and a time point, and adds the case."""
    times, planes, channels, height, width, samples = shape
    back = _read_back(cases.folder / "read_back.tif", text, shape)
    (cases.folder / "read_back.tif").unlink()
    names = text.names or []
    channel = time = None
    t = c = 0
    if times > 1:
        t = time = chance.whole(0, times - 1)
    if channels * samples > 1:
        c = channel = chance.whole(0, channels * samples - 1)
        if len(names) == channels * samples and chance.often(0.5):
            channel = names[c].upper() if names[c].isascii() and chance.often(0.3) else names[c]
    voxels = back[t, :, c // samples, :, :, c % samples]
    cases.add(path, voxels, f"TIFF, {description}", role=_role(chance, voxels), channel=channel, time=time,
              spacing=text.spacing, may_refuse=refusable)


def _role(chance, voxels):
    return chance.one(["raw", "labels"]) if voxels.dtype.kind in "ui" else "raw"


def _read_back(path, text, shape):
    """Returns the voxels t, z, c, y, x, sample that tifffile reads from the pages of full resolution."""
    with tifffile.TiffFile(path) as file:
        pages = [page for page in file.pages if not page.is_reduced]
        assert len(pages) == len(text.order), (len(pages), len(text.order))
        back = np.zeros(shape, pages[0].dtype)
        for page, place in zip(pages, text.order):
            # Where the only strip is absent, tifffile takes the beginning of the file for it; to libtiff it is zeros.
            voxels = page.asarray() if any(page.dataoffsets) else np.zeros(shape[3:], page.dtype)
            back[place] = np.moveaxis(voxels.reshape(-1, *shape[3:5]), 0, 2) if page.planarconfig == 2 \
                else voxels.reshape(shape[3:])
        if text.read_by_tifffile and len(pages) == len(file.pages) and _alike(pages):
            _require_same_order(file.series[0], back)
    return back


def _alike(pages):
    """Whether tifffile's short cuts for series hold: strips that lie in each page as in the first, with none absent. Like
    ImageJ it may take what follows an uncompressed first page for the other planes, whatever the other pages say, but for
    OME's."""
    simple = all(all(page.dataoffsets) for page in pages) and len({bool(page.is_contiguous) for page in pages}) == 1
    return simple and (pages[0].parent.is_ome or not pages[0].is_contiguous)


def _require_same_order(series, back):
    """An error where tifffile orders the planes of a described file in another way."""
    letters = series.get_axes(squeeze=False)
    voxels = series.asarray(squeeze=False)
    names = {"T": 0, "Z": 1, "Q": 1, "I": 1, "C": 2, "Y": 3, "X": 4, "S": 5}
    assert set(letters) <= set(names), letters
    order = sorted(range(len(letters)), key=lambda axis: names[letters[axis]])
    np.testing.assert_array_equal(np.transpose(voxels, order).reshape(back.shape), back, letters)


def _described(layout, voxels):
    """Returns what differs from the simplest layout."""
    plain = Layout()
    odd = {key: value for key, value in vars(layout).items() if value != getattr(plain, key)}
    if "omit" in odd:
        odd["omit"] = sorted(odd["omit"])
    rest = " ".join(f"{key}={value}" for key, value in odd.items())
    return f"{voxels.dtype.str[1:]} t, z, c, y, x, s {voxels.shape} {rest}"


def _single_page(cases, chance):
    """ImageJ's way with large stacks: one page, and the other planes behind its strips."""
    times, channels = chance.one([(1, 1), (1, 1), (2, 1), (1, 2), (2, 3)])
    planes, height, width = chance.extents((2, 1, 1), 1500)
    dtype = np.dtype(chance.one(["u1", "u2", "i2", "f4"]))
    voxels = chance.values((times, planes, channels, height, width, 1), dtype)
    text = tiff_text.imagej(chance, times, planes, channels)
    order = chance.one("<>")
    layout = Layout(order=order, bits=8 * dtype.itemsize, rows=chance.one([1 << 20, chance.whole(1, height)]),
                    resolution=text.resolution, directory_first=chance.often(0.7))
    rest = b"".join(voxels[place].astype(dtype.newbyteorder(order)).tobytes() for place in text.order[1:])
    path = cases.path("tif")
    tiff_file.write(path, [Page(voxels[0, 0, 0], text.texts, tail=rest)], layout, chance)
    # tifffile takes a page without `slices` for the only plane, ImageJ as many planes as there are `images`.
    if b"slices" in text.texts[0]:
        with tifffile.TiffFile(path) as file:
            _require_same_order(file.series[0], voxels)
    _choose_and_add(cases, chance, path, text, voxels, f"one page for all, {text.description}, {_described(layout, voxels)}")


def _choose_and_add(cases, chance, path, text, voxels, description, refusable=False):
    times, _, channels = voxels.shape[:3]
    time = chance.whole(0, times - 1) if times > 1 else None
    channel = chance.whole(0, channels - 1) if channels > 1 else None
    chosen = voxels[time or 0, :, channel or 0, :, :, 0]
    cases.add(path, chosen, f"TIFF, {description}", channel=channel, time=time, spacing=text.spacing, may_refuse=refusable)


def _unnamed_channels(cases, chance):
    """tifffile's shape note of four axes without letters."""
    channels = chance.whole(2, 4)
    planes, height, width = chance.extents((2, 2, channels + 1), 1500)
    dtype = chance.one(["u1", "u2", "f4"])
    voxels = chance.values((channels, planes, height, width), dtype)
    path = cases.path("tif")
    tifffile.imwrite(path, voxels, photometric="minisblack", compression=chance.one([None, "zlib", "lzw"]),
                     byteorder=chance.one("<>"))
    channel = chance.whole(0, channels - 1)
    back = tifffile.imread(path)
    cases.add(path, back[channel], f"TIFF, tifffile's shape note {voxels.shape} {dtype}", channel=channel,
              may_refuse="four axes without letters, which may be channels or time points")


def _noted_pages(cases, chance):
    """Pages that were appended one by one, each with a shape note of its own."""
    planes, height, width = chance.extents((2, 2, 2), 2000)
    voxels = chance.values((planes, height, width), chance.one(["u1", "u2", "i2", "f4"]))
    path = cases.path("tif")
    options = {"byteorder": chance.one("<>"), "compression": chance.one([None, None, "zlib"]), "bigtiff": chance.often(0.2)}
    with tifffile.TiffWriter(path, byteorder=options["byteorder"], bigtiff=options["bigtiff"]) as file:
        for plane in voxels:
            file.write(plane, photometric="minisblack", compression=options["compression"])
    with tifffile.TiffFile(path) as file:
        back = np.stack([page.asarray() for page in file.pages])
    cases.add(path, back, f"TIFF, a shape note on each page, {voxels.dtype.str} {voxels.shape} {options}")


def _by_tifffile(cases, chance):
    """What tifffile itself writes, with its own choice of offsets and texts."""
    chance.one([_tifffile_imagej, _tifffile_ome, _tifffile_shaped])(cases, chance)


def _options(chance, dtype, compressed=True):
    compression = chance.one([None, None, "zlib", "lzw", "packbits"]) if compressed else None
    return {
        "compression": compression,
        "predictor": compression in ("zlib", "lzw") and np.dtype(dtype).itemsize < 8 and chance.often(0.5),
        "tile": (16, 32) if compressed and chance.often(0.3) else None,
        "rowsperstrip": chance.one([None, chance.whole(1, 9)]),
    }


def _tifffile_imagej(cases, chance):
    times, channels = chance.one([(1, 1), (2, 1), (1, 3), (2, 2)])
    planes, height, width = chance.extents((2, 2, 2), 1500)
    voxels = chance.values((times, planes, channels, height, width), chance.one(["u1", "u2", "f4"]))
    unit = chance.one(["um", "micron", "nm", "\\u00B5m"])
    factor = tiff_text.IMAGEJ_UNITS[unit]
    z, y, x = (edge / factor for edge in chance.edges())
    path = cases.path("tif")
    options = _options(chance, voxels.dtype)
    tifffile.imwrite(path, voxels, imagej=True, resolution=(1 / x, 1 / y),
                     metadata={"axes": "TZCYX", "spacing": z, "unit": unit}, **options)
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        (x_over, x_under), (y_over, y_under) = tags["XResolution"].value, tags["YResolution"].value
        stated = file.imagej_metadata["spacing"]
        back = file.series[0].asarray(squeeze=False).reshape(*voxels.shape, 1)
    text = tiff_text.Text([], [], [factor * stated, factor * y_under / y_over, factor * x_under / x_over])
    _choose_and_add(cases, chance, path, text, back, f"tifffile's ImageJ {voxels.dtype} {voxels.shape} {unit} {options}")


def _tifffile_ome(cases, chance):
    times, channels = chance.one([(1, 1), (2, 1), (1, 3), (2, 2)])
    planes, height, width = chance.extents((2, 2, 2), 1500)
    axes = "".join(chance.shuffled("TZC"))
    extents = {"T": times, "Z": planes, "C": channels}
    voxels = chance.values([*(extents[axis] for axis in axes), height, width], chance.one(["u1", "u2", "i2", "f4", "f8"]))
    edges = chance.edges()
    unit = chance.one(["µm", "nm", "mm"])
    # A fixed identifier, so that the same seed gives the same file.
    metadata = {"axes": axes + "YX", "UUID": "urn:uuid:5b6ef9a3-1c5f-4c7b-9a55-0123456789ab"}
    for axis, edge in zip("ZYX", edges):
        metadata |= {f"PhysicalSize{axis}": edge, f"PhysicalSize{axis}Unit": unit}
    path = cases.path("ome.tif")
    options = _options(chance, voxels.dtype)
    subifds = chance.one([0, 1])
    with tifffile.TiffWriter(path, ome=True, bigtiff=chance.often(0.3), byteorder=chance.one("<>")) as file:
        file.write(voxels, metadata=metadata, subifds=subifds, photometric="minisblack", **options)
        if subifds:
            file.write(voxels[..., ::2, ::2], subfiletype=1, photometric="minisblack", **options)
    back = tifffile.imread(path).reshape(voxels.shape)
    back = np.transpose(back, [*(axes.index(axis) for axis in "TZC"), 3, 4])[..., None]
    text = tiff_text.Text([], [], [edge * tiff_text.OME_UNITS[unit] for edge in edges])
    description = f"tifffile's OME {axes} {voxels.dtype} {voxels.shape} {unit} {options} smaller copies={subifds}"
    _choose_and_add(cases, chance, path, text, back, description)


def _tifffile_shaped(cases, chance):
    planes, height, width = chance.extents((2, 2, 2), 2500)
    dtype = np.dtype(chance.one(INTEGERS + FLOATS + ["f2", "?"]))
    voxels = chance.values((planes, height, width), dtype)
    truncate = chance.often(0.3)
    options = _options(chance, dtype, compressed=dtype.kind not in "bf" and not truncate)
    metadata = chance.one([{}, {"axes": "ZYX"}, {"axes": "ZYX", "name": "stack"}])
    path = cases.path("tif")
    tifffile.imwrite(path, voxels, photometric="minisblack", metadata={**metadata, "truncate": truncate}, **options)
    refusable = dtype.kind == "b" and "voxels of 1 bit"
    cases.add(path, tifffile.imread(path), f"TIFF, tifffile's {dtype} {voxels.shape} {metadata} {options} "
              f"one page for all={truncate}", may_refuse=refusable)
