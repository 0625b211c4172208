"""Classes as a network with leaky walls gives them: made from labels, with holes in the walls between cells."""
import edt
import numpy as np

MEMBRANE, FOREGROUND = 1, 2


def damaged_classes(labels, random, holes_per_cell=1.5):
    """Voxels within 1.5 of a cell's border are membrane; balls of membrane between two cells leak.

    labels [z, y, x], 0 background -> classes [z, y, x] u8. A ball's radius is from 1 to 4 voxels.
    """
    classes = np.where(edt.edt(labels, black_border=False) > 1.5, FOREGROUND, MEMBRANE).astype(np.uint8)
    classes[labels == 0] = 0
    between = np.zeros(labels.shape, bool)
    for axis in range(3):
        one, two = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        np.moveaxis(between, axis, 0)[:-1] |= (one != two) & (one > 0) & (two > 0)
    centres = np.argwhere(between)
    count = int(holes_per_cell * len(np.unique(labels)))
    for centre in centres[random.integers(0, len(centres), count)]:
        radius = random.uniform(1, 4)
        low = np.maximum(centre - 4, 0)
        box = tuple(slice(a, c + 5) for a, c in zip(low, centre))
        offsets = np.indices(classes[box].shape) + (low - centre)[:, None, None, None]
        hole = ((offsets**2).sum(0) <= radius**2) & (classes[box] == MEMBRANE)
        classes[box][hole] = FOREGROUND
    return classes
