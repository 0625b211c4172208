"""The second stage from well-known libraries, in a process of its own: `clustering_worker.py FOLDER THREADS`.

The steps of the paper: erosion, distance, spaced peaks, watershed, joining of super voxels that touch in at least
30 voxels (in time linear in the voxels, unlike the authors' code), nearest cell. Does one pass for every line on
standard input and answers with its seconds and its cells; leaves its labels as FOLDER/libraries.npy.
"""
import sys
import time
from pathlib import Path

import edt
import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

BACKGROUND, FOREGROUND = 0, 2
MIN_TOUCHING_AREA, MIN_CELL_SIZE = 30, 10


def super_voxels(classes, threads):
    core = ndimage.minimum_filter((classes == FOREGROUND).view(np.uint8), 3, mode="nearest").astype(bool)
    distance = edt.edt(core, black_border=True, parallel=threads)
    markers = np.zeros(classes.shape, np.int32)
    peaks = peak_local_max(distance, min_distance=3, labels=core.astype(np.uint8))
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=core, connectivity=3)


def touching_areas(labels):
    """Rows (label, label, number of voxels of the second that touch the first)."""
    pairs = []
    indices = np.arange(labels.size).reshape(labels.shape)
    for axis in range(3):
        low, high = [tuple(slice(*ends) if a == axis else slice(None) for a in range(3))
                     for ends in [(None, -1), (1, None)]]
        for one, two in [(low, high), (high, low)]:
            touch = (labels[one] != labels[two]) & (labels[one] > 0) & (labels[two] > 0)
            pairs.append(np.stack([labels[one][touch], labels[two][touch], indices[two][touch]]))
    pairs = np.unique(np.concatenate(pairs, axis=1), axis=1)[:2]
    return np.unique(pairs, axis=1, return_counts=True)


def join(labels):
    (one, two), area = touching_areas(labels)
    count = labels.max() + 1
    directed = coo_matrix((area, (one, two)), (count, count)).tocsr()
    both = directed.minimum(directed.T)
    _, cells = connected_components(both >= MIN_TOUCHING_AREA, directed=False)
    cells += 1
    cells[0] = 0
    return cells[labels]


def segment(classes, threads):
    cells = join(super_voxels(classes, threads))
    cells[np.bincount(cells.ravel())[cells] < MIN_CELL_SIZE] = 0
    nearest = ndimage.distance_transform_edt(cells == 0, return_distances=False, return_indices=True)
    return np.where(classes == BACKGROUND, 0, cells[tuple(nearest)]).astype(np.uint32)


def main():
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    classes, labels = np.load(folder / "classes.npy"), None
    for _ in sys.stdin:
        start = time.perf_counter()
        labels = segment(classes, threads)
        print(time.perf_counter() - start, len(np.unique(labels)) - 1, flush=True)
    np.save(folder / "libraries.npy", labels)


main()
