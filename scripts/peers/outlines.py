"""Pictures of a segmentation: slices of a volume with the outlines of predicted cells beside those of true cells."""
import numpy as np
from PIL import Image

WIDTHS = [590, 500, 420, 350, 300]
GAP = 10
MOST_BYTES = 300_000

# Pictures hold indices into a palette: greys, then the colours of outlines and of the gaps.
GREYS = 64
COLOURS = {"found": (0, 220, 255), "wrong": (255, 130, 0), "not counted": (170, 110, 220), "gap": (255, 255, 255)}
FOUND, WRONG, NOT_COUNTED, GAPS = range(GREYS, GREYS + len(COLOURS))


def save_picture(path, raw, labels, truth, match, spacing):
    """Writes a PNG of at most MOST_BYTES. Its rows are slices through the middle of the true cells that count (z, y and x fixed),
    with pixels as wide as high; the left column has the predicted cells, the right one the true cells.

    raw, labels, truth [z, y, x]; spacing z, y, x or None.
    """
    views = [(labels, colours(match.predicted, match.predicted_found)), (truth, colours(match.true, match.true_found))]
    middle = [int(at.min() + at.max()) // 2 for at in np.nonzero(match.true[truth])]
    for width in WIDTHS:
        picture = Image.fromarray(draw(raw, views, middle, np.array(spacing or [1, 1, 1]), width), "P")
        picture.putpalette([value for colour in palette() for value in colour])
        picture.save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return


def palette():
    return [(level * 255 // (GREYS - 1),) * 3 for level in range(GREYS)] + list(COLOURS.values())


def colours(counts, found):
    """The index of the colour of each label."""
    return np.where(counts, np.where(found, FOUND, WRONG), NOT_COUNTED).astype(np.uint8)


def draw(raw, views, middle, spacing, width):
    """The indices of the whole picture; each column is so wide."""
    zoom = width / max(raw.shape[1] * spacing[1], raw.shape[2] * spacing[2])
    rows = []
    for axis in range(3):
        size = [max(1, round(raw.shape[other] * spacing[other] * zoom)) for other in range(3) if other != axis]
        grey = grey_levels(np.take(raw, middle[axis], axis), size)
        panels = [outlined(grey, np.take(labels, middle[axis], axis), table) for labels, table in views]
        rows.append([upright(panel, axis, raw.shape, spacing) for panel in panels])
    height = sum(row[0].shape[0] for row in rows) + GAP * (len(rows) - 1)
    picture = np.full((height, 2 * width + GAP), GAPS, np.uint8)
    top = 0
    for row in rows:
        for left, panel in zip([0, width + GAP], row):
            picture[top:top + panel.shape[0], left:left + panel.shape[1]] = panel
        top += row[0].shape[0] + GAP
    return picture


def upright(panel, axis, shape, spacing):
    """The slice of fixed z turned so that the longer of its axes runs to the right."""
    tall = axis == 0 and shape[1] * spacing[1] > shape[2] * spacing[2]
    return panel.T if tall else panel


def grey_levels(plane, size):
    """A slice of the raw volume at this size (rows, columns), stretched to its own percentiles; bright spots are cut off."""
    low, high = np.percentile(plane, [0.5, 96])
    stretched = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) ** 0.8
    image = Image.fromarray((stretched * 255).astype(np.uint8)).resize(size[::-1], Image.Resampling.BILINEAR)
    return np.asarray(image) // (256 // GREYS)


def outlined(grey, labels, table):
    """The grey levels with the borders of labels in the colours of their cells."""
    image = grey.copy()
    nearest = [np.arange(new) * old // new for new, old in zip(grey.shape, labels.shape)]
    cells = labels[np.ix_(*nearest)]
    for axis in range(2):
        cells_along, image_along = np.moveaxis(cells, axis, 0), np.moveaxis(image, axis, 0)
        border = cells_along[:-1] != cells_along[1:]
        for side in [slice(None, -1), slice(1, None)]:
            drawn = border & (cells_along[side] > 0)
            image_along[side][drawn] = table[cells_along[side][drawn]]
    return image
