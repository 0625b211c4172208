"""Which cells of a segmentation count, and which of them are found."""
import numpy as np


class Match:
    """Predicted against true cells, as tables with an entry for each label: `predicted` and `true` say which cells count,
    `predicted_found` and `true_found` which of these have a partner at an IoU of 0.5 or more.

    Without a list, as in `tascan evaluate`: true cells of more than `least` voxels count, and predicted cells of which at most half
    lies in smaller ones. With a list of true labels only these true cells count, and predicted cells that are found or
    have more than `least` voxels and, of their voxels in true cells, more than two thirds in those of the list.
    """

    def __init__(self, prediction, truth, least, listed=None):
        pairs, voxels = np.unique(prediction.astype(np.uint64) << 32 | truth.astype(np.uint64), return_counts=True)
        of, cell = (pairs >> 32).astype(np.int64), (pairs & 0xFFFFFFFF).astype(np.int64)
        sizes, true_sizes = np.bincount(of, voxels), np.bincount(cell, voxels)
        shared = lambda chosen: np.bincount(of, voxels * chosen[cell])
        cells = np.arange(len(true_sizes)) > 0
        self.true = cells & (true_sizes > least)
        if listed is None:
            self.predicted = 2 * shared(cells & ~self.true) <= sizes
        else:
            self.true &= np.isin(np.arange(len(cells)), listed)
            self.predicted = (sizes > least) & (3 * shared(self.true) > 2 * shared(cells))
        found = (2 * voxels >= sizes[of] + true_sizes[cell] - voxels) & self.true[cell] & (of > 0)
        self.predicted_found = np.isin(np.arange(len(sizes)), of[found])
        self.true_found = np.isin(np.arange(len(cells)), cell[found])
        self.predicted |= self.predicted_found
        self.predicted[0] = False
