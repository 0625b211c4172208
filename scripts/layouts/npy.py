"""Random NPY and NPZ files. The expected voxels are those that NumPy reads back."""
import io
import zipfile

import numpy as np

from layouts.case import FLOATS, INTEGERS

DTYPES = INTEGERS + FLOATS + ["f2", "?"]


def make(cases, chance):
    """Adds one case."""
    chance.one([_npy, _npz])(cases, chance)


def _npy(cases, chance):
    array = _array(chance)
    path = cases.path("npy")
    header = chance.one([1, 1, 2, 3, "Python 2", "free"])
    path.write_bytes(_bytes(chance, array, header))
    voxels, channel = _choice(chance, np.load(path))
    cases.add(path, voxels, f"NPY, {_described(array)}, header {header}", channel=channel,
              role=chance.one(["raw", "labels"]) if array.dtype.kind in "ui" else "raw")


def _array(chance):
    """Returns an array of three axes, of four with channels, or with further axes of 1; of any type, byte order and order."""
    dtype = np.dtype(chance.one(DTYPES)).newbyteorder(chance.one("<>"))
    kind = chance.one(["volume", "volume", "ones", "channels"])
    shape = chance.extents((1, 1, 1) if kind == "volume" else (2, 2, 2), 1500 if kind == "channels" else 4000)
    if kind == "ones":
        for _ in range(chance.whole(1, 2)):
            shape.insert(chance.one([0, 0, len(shape)]), 1)
    if kind == "channels":
        shape.insert(chance.one([0, 3]), chance.whole(2, 5))
    array = chance.values(shape, dtype).astype(dtype)
    return np.asfortranarray(array) if chance.often(0.4) else array


def _choice(chance, array):
    """Returns z, y, x of the array and the channel that was chosen: the first axis if it is shorter than the last."""
    if array.ndim == 4 and 1 not in (array.shape[0], array.shape[3]):
        axis = 0 if array.shape[0] < array.shape[3] else 3
        channel = chance.whole(0, array.shape[axis] - 1)
        return np.take(array, channel, axis), channel
    while array.ndim > 3:
        array = np.squeeze(array, array.shape.index(1))
    return array, None


def _bytes(chance, array, header):
    """Returns a file with the header of a version, of Python 2, or in a freer spelling that NumPy takes too."""
    if isinstance(header, int):
        file = io.BytesIO()
        np.lib.format.write_array(file, array, version=(header, 0))
        return file.getvalue()
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    long = "L" if header == "Python 2" else ""
    entries = [f"'descr': {array.dtype.str!r}", f"'fortran_order': {fortran}",
               "'shape': (" + ", ".join(f"{extent}{long}" for extent in array.shape) + ")"]
    text = "{" + ", ".join(entries) + ", }"
    if header == "free":
        comma = chance.one([",", " ,  ", ", "])
        text = "{ " + comma.join(chance.shuffled(entries)) + chance.one(["", ", "]) + " }"
        text = text.replace("'", '"') if chance.often(0.5) else text
    # Old versions of NumPy padded to 16 bytes only.
    text += " " * (-(len(text) + 11) % 16) + "\n"
    order = "F" if fortran else "C"
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text.encode() + array.tobytes(order)


def _described(array):
    return f"{array.dtype.str} {array.shape}{'' if array.flags.c_contiguous else ' Fortran'}"


def _npz(cases, chance):
    array = _array(chance)
    role, name, stated = chance.one([
        ("raw", "raw", False), ("raw", "raw", True), ("labels", "label", False), ("labels", "segmentation", False),
        ("raw", "predictions", True), ("raw", "volume", False), ("raw", "arr_0", True)])
    method = chance.one([zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED,
                         zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    arrays = {name: array}
    if stated or name in ("raw", "label"):
        arrays |= {"other": np.ones((3, 4, 5), "u1")} if chance.often(0.3) else {}
    spacing = None
    if chance.often(0.6):
        edges = np.array(chance.edges(), chance.one(["<f8", "<f4", ">f8", "<i4", "<i8"]))
        edges = np.maximum(edges, 1) if edges.dtype.kind == "i" else edges
        arrays["element_size_um"] = edges
        spacing = edges.astype("f8").tolist()
    path = cases.path("npz")
    streamed = _write_archive(chance, path, arrays, method)
    with np.load(path) as archive:
        voxels, channel = _choice(chance, archive[name])
    refusable = method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA) and "a rare compression"
    cases.add(path, voxels, f"NPZ, {_described(array)}, {', '.join(arrays)}, method {method}, streamed {streamed}",
              dataset=name if stated else None, role=role, channel=channel, spacing=spacing, may_refuse=refusable)


class Stream(io.RawIOBase):
    """A file that cannot be sought in: the archive has its sizes behind the entries then."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        return self.file.write(data)

    def seekable(self):
        return False

    def writable(self):
        return True


def _write_archive(chance, path, arrays, method):
    streamed = chance.often(0.25)
    with open(path, "wb") as file:
        with zipfile.ZipFile(Stream(file) if streamed else file, "w", method) as archive:
            for name in chance.shuffled(list(arrays)):
                # A fixed time, so that the same seed gives the same file.
                entry = zipfile.ZipInfo(f"{name}.npy", (2020, 2, 2, 2, 2, 2))
                entry.compress_type = method
                with archive.open(entry, "w", force_zip64=chance.often(0.5)) as out:
                    np.lib.format.write_array(out, arrays[name])
    return streamed
