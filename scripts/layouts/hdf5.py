"""Random HDF5 files. The expected voxels are those that h5py reads back."""
import ctypes
import itertools
import json
import math
import os
import zlib
from pathlib import Path

# The library looks for the files of external storage beside the file then, not in the folder of the process.
os.environ["HDF5_EXTFILE_PREFIX"] = "${ORIGIN}"

import h5py
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t, h5z

from layouts.case import FLOATS, INTEGERS, NAMES

VERSIONS = [h5f.LIBVER_EARLIEST, h5f.LIBVER_V18, h5f.LIBVER_V110, h5f.LIBVER_V112, h5f.LIBVER_V114, h5f.LIBVER_LATEST]
DTYPES = INTEGERS + FLOATS + ["f2", "?"]
PARTIAL = "no filter on partial chunks"
PARTIAL_CHUNKS_UNFILTERED = 2


def make(cases, chance):
    """Adds one case."""
    chance.one([_plain, _plain, _plain, _chunked, _chunked, _chunked, _odd_type, _masked_chunks, _holes, _axistags, _linked,
                _elsewhere])(cases, chance)


class Recipe:
    """A new file, and what is said of its volume."""

    def __init__(self, cases, chance):
        self.cases, self.chance = cases, chance
        self.path = cases.path(chance.one(["h5", "hdf5"]))
        self.role, self.name, self.stated = _name(chance)
        self.said = []
        self.file = self._create()

    def _create(self):
        low = self.chance.one(VERSIONS)
        block = self.chance.one([0, 0, 0, 512, 1024, 2048, 4096])
        self.said.append(f"version {VERSIONS.index(low)} of {len(VERSIONS)}, user block {block}")
        creation, access = h5p.create(h5p.FILE_CREATE), h5p.create(h5p.FILE_ACCESS)
        # Without times the same seed gives the same file.
        creation.set_obj_track_times(False)
        creation.set_userblock(block)
        access.set_libver_bounds(low, h5f.LIBVER_LATEST)
        return h5py.File(h5f.create(bytes(self.path), h5f.ACC_TRUNC, creation, access))

    def group(self, name):
        """Returns a group, made if it is absent, without times."""
        group = self.file
        for part in filter(None, name.split("/")):
            if part not in group:
                creation = h5p.create(h5p.GROUP_CREATE)
                creation.set_obj_track_times(False)
                h5py.h5g.create(group.id, part.encode(), gcpl=creation)
            group = group[part]
        return group

    def dataset(self, shape, dtype, creation=None, maximum=None):
        """Creates the data set with h5py's lower level, which has all properties."""
        creation = creation or h5p.create(h5p.DATASET_CREATE)
        creation.set_obj_track_times(False)
        parent, _, leaf = self.name.rpartition("/")
        kind = dtype if isinstance(dtype, h5t.TypeID) else h5t.py_create(dtype, logical=True)
        space = h5s.create_simple(tuple(shape), maximum)
        return h5py.Dataset(h5d.create(self.group(parent).id, leaf.encode(), kind, space, creation))

    def finish(self, channel=None, pick=None, **options):
        """Adds the voxel size and other objects, reads the voxels back and adds the case."""
        spacing = _spacing(self.chance, self.file, self.file[self.name], self.said)
        if self.chance.often(0.4):
            _others(self.chance, self)
        self.file.close()
        with h5py.File(self.path) as file:
            data = file[self.name]
            self.said.append(f"{data.dtype.str} {data.shape} {self.name}")
            voxels = data[()]
            options["may_refuse"] = options.get("may_refuse") or _refusable(data, self.said)
        if pick:
            voxels = pick(voxels)
        self.cases.add(self.path, voxels, "HDF5, " + ", ".join(self.said), dataset=self.name if self.stated else None,
                       role=self.role, channel=channel, spacing=spacing, **options)


def _name(chance):
    """Returns the role, the name of the data set, and whether the user has to say it."""
    return chance.one([
        ("raw", "raw", False), ("raw", "raw", True), ("labels", "label", False), ("labels", "segmentation", False),
        ("labels", "label", True), ("raw", "predictions", True), ("raw", "volumes/raw", True), ("raw", "t0/s0/cells", True),
        ("raw", "exported_data", False), ("raw", "group/volume", False)])


def _spacing(chance, file, dataset, said):
    """Writes the voxel size, in one of the types that programs use; returns micrometres."""
    place = chance.one(["none", "data set", "data set", "file", "both"])
    if place == "none":
        return None
    dtype = chance.one([">f8", "<f8", "<f4", ">f4", "<i4", "<i8", "<u2", "list"])
    edges = chance.edges()
    if dtype == "list":
        dtype = "<f8"
    written = np.array(edges).astype(dtype)
    if written.dtype.kind in "iu":
        written = np.maximum(written, 1)
    said.append(f"voxel size {written.dtype.str} on {place}")
    if place in ("file", "both"):
        # That of the data set comes first.
        file.attrs["element_size_um"] = written if place == "file" else np.array([9.0, 9.0, 9.0])
    if place in ("data set", "both"):
        dataset.attrs["element_size_um"] = written
    return written.astype("f8").tolist()


def _others(chance, recipe):
    """Writes what is beside the volume in real files, and links that lead nowhere or round in circles."""
    file = recipe.file
    here = recipe.group(chance.one(["/", "extra", "extra/deeper"]))
    kinds = chance.shuffled(["table", "text", "number", "image", "loop", "dangling", "external", "attributes"])
    for kind in kinds[:chance.whole(1, 5)]:
        recipe.said.append(f"beside {kind}")
        if kind == "table":
            here.create_dataset("table", data=np.zeros(3, [("id", "i4"), ("name", "S5"), ("at", "f4", 3)]))
        elif kind == "text":
            here.create_dataset("text", data=["one", "two"], dtype=h5py.string_dtype())
        elif kind == "number":
            here["number"] = 5
        elif kind == "image":
            here["image"] = np.zeros((3, 4), "u1")
        elif kind == "loop":
            here["loop"] = h5py.SoftLink("/")
            here["itself"] = recipe.group("extra")
        elif kind == "dangling":
            here["dangling"] = h5py.SoftLink("/not/there")
        elif kind == "external":
            here["external"] = h5py.ExternalLink("absent.h5", "/raw")
        else:
            file.attrs["note"] = "written by a test"
            file[recipe.name].attrs["names"] = np.array(NAMES, h5py.string_dtype())


def _array(chance, dtype=None, most=4000):
    """Returns an array of three axes, of four with channels, or with further axes of 1; and what picks the volume."""
    dtype = np.dtype(dtype or chance.one(DTYPES)).newbyteorder(chance.one("<>"))
    kind = chance.one(["volume"] * 4 + ["ones", "channels"])
    shape = chance.extents((1, 1, 1) if kind == "volume" else (2, 2, 2), most // 3 if kind == "channels" else most)
    channel, axis = None, None
    if kind == "ones":
        for _ in range(chance.whole(1, 2)):
            shape.insert(chance.one([0, 0, len(shape)]), 1)
    if kind == "channels":
        shape.insert(chance.one([0, 3]), chance.whole(2, 5))
        axis = 0 if shape[0] < shape[3] else 3
        channel = chance.whole(0, shape[axis] - 1)
    return chance.values(shape, dtype).astype(dtype), channel, lambda voxels: _volume(voxels, axis, channel)


def _volume(voxels, axis, channel):
    if axis is not None:
        return np.take(voxels, channel, axis)
    while voxels.ndim > 3:
        voxels = np.squeeze(voxels, voxels.shape.index(1))
    return voxels


def _plain(cases, chance):
    """One run in the file, or voxels in the header of the data set."""
    recipe = Recipe(cases, chance)
    array, channel, pick = _array(chance)
    creation = h5p.create(h5p.DATASET_CREATE)
    if array.nbytes < 60000 and chance.often(0.4):
        creation.set_layout(h5d.COMPACT)
        recipe.said.append("compact")
    recipe.dataset(array.shape, array.dtype, creation)[...] = array
    recipe.finish(channel, pick)


def _chunk(chance, shape):
    """Returns the extents of a chunk, mostly no divisors of the shape; sometimes more than a thousand chunks."""
    if chance.often(0.15):
        return tuple(chance.whole(1, min(2, extent)) for extent in shape)
    if chance.often(0.15):
        return tuple(shape)
    return tuple(chance.whole(1, extent) for extent in shape)


def _maximum(chance, shape):
    """Returns the greatest extents; how many are without limit decides the index of the chunks."""
    if chance.often(0.3):
        return None
    return tuple(chance.one([extent, extent, extent + 7, h5s.UNLIMITED]) for extent in shape)


def _chunked_creation(chance, shape, dtype, filters, said):
    creation = h5p.create(h5p.DATASET_CREATE)
    chunk = _chunk(chance, shape)
    maximum = _maximum(chance, shape)
    creation.set_chunk(chunk)
    early = chance.often(0.3)
    if early:
        creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    for name in filters:
        _add_filter(chance, creation, name, dtype)
    said.append(f"chunks {chunk} of at most {maximum}, early {early}, filters {'+'.join(filters) or 'none'}")
    return creation, maximum


def _add_filter(chance, creation, name, dtype):
    if name == "gzip":
        creation.set_deflate(chance.whole(1, 9))
    elif name == "shuffle":
        creation.set_shuffle()
    elif name == "fletcher32":
        creation.set_fletcher32()
    elif name == "lzf":
        creation.set_filter(h5z.FILTER_LZF, h5z.FLAG_OPTIONAL)
    elif name == "szip":
        # A block has at most as many numbers as a chunk.
        blocks = [block for block in (4, 8, 16, 32) if block <= math.prod(creation.get_chunk())]
        coding = chance.one([h5z.SZIP_EC_OPTION_MASK, h5z.SZIP_NN_OPTION_MASK])
        if blocks:
            creation.set_szip(coding, chance.one(blocks))
    elif name == "scaleoffset":
        creation.set_scaleoffset(h5z.SO_FLOAT_DSCALE if dtype.kind == "f" else h5z.SO_INT, 2 if dtype.kind == "f" else 0)
    elif name == "nbit":
        creation.set_filter(h5z.FILTER_NBIT, h5z.FLAG_OPTIONAL)


def _filters(chance, dtype):
    """Returns filters in the order of writing, as they can stand together."""
    options = [[], [], ["gzip"], ["gzip"], ["shuffle", "gzip"], ["shuffle", "gzip"], ["shuffle", "gzip", "fletcher32"],
               ["fletcher32"], ["fletcher32", "gzip"], ["lzf"], ["shuffle", "lzf"], ["shuffle"], ["gzip", "gzip"]]
    if dtype.kind in "iuf" and dtype.itemsize in (1, 2, 4, 8):
        options += [["szip"], ["shuffle", "szip"], ["nbit"], ["nbit", "gzip"]]
    if dtype.kind in "iu" or dtype.str[1:] in ("f4", "f8"):
        options += [["scaleoffset"], ["scaleoffset", "gzip"]]
    return chance.one(options)


def _chunked(cases, chance):
    """Chunks, with every index and filter that the library writes."""
    recipe = Recipe(cases, chance)
    dtype = np.dtype(chance.one(DTYPES))
    filters = _filters(chance, dtype)
    array, channel, pick = _array(chance, dtype)
    if "scaleoffset" in filters and dtype.kind == "f":
        array = np.nan_to_num(array, posinf=1, neginf=-1).clip(-1000, 1000).astype(array.dtype)
    creation, maximum = _chunked_creation(chance, array.shape, array.dtype, filters, recipe.said)
    if chance.often(0.2) and filters and not creation.get_alloc_time() == h5d.ALLOC_TIME_EARLY:
        _leave_partial_chunks(creation, recipe.said)
    recipe.dataset(array.shape, array.dtype, creation, maximum)[...] = array
    recipe.finish(channel, pick)


def _refusable(data, said):
    """Returns why a reader may refuse a data set, if it may."""
    if PARTIAL in said:
        return PARTIAL
    if data.chunks and None not in data.maxshape:
        pairs = zip(data.shape, data.maxshape, data.chunks)
        if any(-(-most // size) != -(-now // size) for now, most, size in pairs):
            return "chunks numbered for greater extents"
    return False


def _leave_partial_chunks(creation, said):
    """Has no filter on the chunks at the edges; h5py has no call for it, but the library that comes with it does."""
    found = list(Path(h5py.__file__).parent.parent.glob("h5py.libs/libhdf5-*"))
    if found:
        options = ctypes.c_uint(PARTIAL_CHUNKS_UNFILTERED)
        ctypes.CDLL(str(found[0])).H5Pset_chunk_opts(ctypes.c_int64(creation.id), options)
        said.append(PARTIAL)


def _odd_type(cases, chance):
    """Integers of fewer bits than they take, in the middle of their bytes; names for numbers."""
    recipe = Recipe(cases, chance)
    dtype = np.dtype(chance.one(INTEGERS)).newbyteorder(chance.one("<>"))
    if chance.often(0.4):
        names = {f"value {i}": i for i in range(4)}
        kind = h5t.py_create(h5py.enum_dtype(names, dtype), logical=True)
        array = chance.rng.integers(0, 4, chance.extents()).astype(dtype)
        recipe.said.append("enumeration")
    else:
        kind = h5t.py_create(dtype).copy()
        bits = 8 * dtype.itemsize
        # The library refuses to write fewer than half of the bits.
        precision = chance.whole(bits // 2 + 1, bits)
        offset = chance.whole(0, bits - precision)
        kind.set_precision(precision)
        kind.set_offset(offset)
        array = chance.values(chance.extents(), dtype, precision).astype(dtype)
        recipe.said.append(f"{precision} bits from bit {offset}")
    filters = chance.one([[], ["gzip"], ["nbit"], ["nbit", "gzip"]])
    creation, maximum = (None, None) if chance.often(0.4) else \
        _chunked_creation(chance, array.shape, dtype, filters, recipe.said)
    dataset = recipe.dataset(array.shape, kind, creation, maximum)
    dataset.id.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(array), h5t.py_create(array.dtype))
    recipe.finish()


def _masked_chunks(cases, chance):
    """Chunks that skip filters of the data set, as parallel writers leave them."""
    recipe = Recipe(cases, chance)
    array, channel, pick = _array(chance, chance.one(["u1", "u2", "i4", "f4", "f8"]))
    creation, maximum = _chunked_creation(chance, array.shape, array.dtype, ["shuffle", "gzip"], recipe.said)
    dataset = recipe.dataset(array.shape, array.dtype, creation, maximum)
    masks = set()
    for place in itertools.product(*(range(0, n, c) for n, c in zip(array.shape, dataset.chunks))):
        mask = chance.whole(0, 3)
        masks.add(mask)
        inside = tuple(slice(start, start + length) for start, length in zip(place, dataset.chunks))
        chunk = np.zeros(dataset.chunks, array.dtype)
        chunk[tuple(slice(0, n) for n in array[inside].shape)] = array[inside]
        dataset.id.write_direct_chunk(place, _filtered(chunk, mask), mask)
    recipe.said.append(f"filter masks {sorted(masks)}")
    recipe.finish(channel, pick)


def _filtered(chunk, mask):
    """Returns a chunk after shuffle and gzip, except for those whose bit is set."""
    data = chunk.tobytes()
    if not mask & 1:
        data = np.frombuffer(data, "u1").reshape(-1, chunk.itemsize).T.tobytes()
    return data if mask & 2 else zlib.compress(data)


def _holes(cases, chance):
    """Chunks that were never written, or no voxel at all: the fill value stands for them."""
    recipe = Recipe(cases, chance)
    array, channel, pick = _array(chance, chance.one(INTEGERS + FLOATS))
    filters = _filters(chance, array.dtype)
    if "scaleoffset" in filters and array.dtype.kind == "f":
        filters = []
    if chance.often(0.3):
        creation, maximum = h5p.create(h5p.DATASET_CREATE), None
    else:
        creation, maximum = _chunked_creation(chance, array.shape, array.dtype, filters, recipe.said)
    fill = chance.one([None, 0, 7, 100])
    if fill is not None:
        creation.set_fill_value(np.array(fill, array.dtype.newbyteorder("=")))
    chunked = creation.get_layout() == h5d.CHUNKED
    if chunked and creation.get_alloc_time() != h5d.ALLOC_TIME_EARLY:
        creation.set_fill_time(chance.one([h5d.FILL_TIME_IFSET, h5d.FILL_TIME_ALLOC]))
    dataset = recipe.dataset(array.shape, array.dtype, creation, maximum)
    written = chunked and chance.often(0.7)
    if written:
        part = tuple(slice(0, max(1, extent // 2)) for extent in array.shape)
        dataset[part] = array[part]
    recipe.said.append(f"fill value {fill}, {'partly' if written else 'never'} written")
    recipe.finish(channel, pick)


def _axistags(cases, chance):
    """ilastik's note of the axes, in any order of three to five of them."""
    recipe = Recipe(cases, chance)
    extra = chance.one(["", "c", "c", "t", "tc"])
    keys = chance.shuffled("zyx" + extra)
    planes, height, width = chance.extents((2, 2, 2), 1200)
    extents = {"z": planes, "y": height, "x": width, "c": chance.whole(1, 4), "t": chance.whole(1, 3)}
    dtype = np.dtype(chance.one(["u1", "u2", "u4", "f4"]))
    array = chance.values([extents[key] for key in keys], dtype)
    kinds = {"c": 1, "x": 2, "y": 2, "z": 2, "t": 8}
    tags = {"axes": [{"key": key, "typeFlags": kinds[key], "resolution": 0, "description": ""} for key in keys]}
    text = json.dumps(tags, indent=chance.one([None, 2]))
    filters = _filters(chance, dtype)
    creation, maximum = (None, None) if chance.often(0.4) or "scaleoffset" in filters else \
        _chunked_creation(chance, array.shape, dtype, filters, recipe.said)
    dataset = recipe.dataset(array.shape, array.dtype, creation, maximum)
    dataset[...] = array
    dataset.attrs["axistags"] = text if chance.often(0.7) else np.bytes_(text)
    picks = {key: chance.whole(0, extents[key] - 1) for key in extra}
    chosen = {key: pick if extents[key] > 1 else None for key, pick in picks.items()}
    recipe.said.append(f"axistags {''.join(keys)}")
    recipe.finish(chosen.get("c"), lambda voxels: _along(voxels, keys, picks), time=chosen.get("t"))


def _along(voxels, keys, picks):
    """Returns z, y, x of an array whose axes have keys."""
    axes = [keys.index(key) for key in [*picks, *"zyx"]]
    return np.transpose(voxels, axes)[tuple(picks.values())]


def _linked(cases, chance):
    """The volume is reached by a link."""
    recipe = Recipe(cases, chance)
    recipe.stated = True
    array, channel, pick = _array(chance)
    kind = chance.one(["soft", "soft", "hard", "external"])
    target = recipe.name
    recipe.name = "stored/here"
    if kind == "external":
        recipe.file.close()
        outside = recipe.path.with_name(f"{recipe.path.stem}_outside.h5")
        with h5py.File(outside, "w") as file:
            file.create_dataset("there", data=array)
        recipe.file = recipe._create()
    else:
        recipe.dataset(array.shape, array.dtype)[...] = array
    parent, _, leaf = target.rpartition("/")
    link = {
        "soft": h5py.SoftLink("/stored/here"),
        "external": h5py.ExternalLink(f"{recipe.path.stem}_outside.h5", "there"),
    }
    recipe.group(parent)[leaf] = link[kind] if kind in link else recipe.file["stored/here"]
    recipe.name = target
    recipe.said.append(f"{kind} link")
    recipe.finish(channel, pick, may_refuse=kind == "external" and "voxels in another file")


def _elsewhere(cases, chance):
    """Voxels that lie in another file, or are put together of other data sets."""
    recipe = Recipe(cases, chance)
    array = chance.values(chance.extents((2, 1, 1)), chance.one(["u1", "u2", "f4"]))
    kind = chance.one(["external storage", "virtual"])
    if kind == "virtual":
        layout = h5py.VirtualLayout(array.shape, array.dtype)
        parts = recipe.group("parts")
        for z, plane in enumerate(array):
            parts.create_dataset(str(z), data=plane)
            layout[z] = h5py.VirtualSource(".", f"parts/{z}", plane.shape, array.dtype)
        recipe.dataset(array.shape, array.dtype, layout.dcpl)
    else:
        # Beside the file, as its name in the file says.
        outside = recipe.path.with_suffix(".bin")
        outside.write_bytes(array.tobytes())
        creation = h5p.create(h5p.DATASET_CREATE)
        creation.set_external(outside.name.encode(), 0, array.nbytes)
        creation.set_fill_time(h5d.FILL_TIME_NEVER)
        recipe.dataset(array.shape, array.dtype, creation)
    recipe.said.append(kind)
    recipe.finish(may_refuse=kind)
