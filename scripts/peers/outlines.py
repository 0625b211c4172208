"""Pictures of a segmentation: three slices of a volume with the outlines of predicted cells beside those of true cells."""
import numpy as np
from PIL import Image

PANEL = 590
GAP = 10
MOST_BYTES = 300_000

FOUND, WRONG, UNCOUNTED = (0, 220, 255), (255, 130, 0), (150, 90, 200)


def colours(counts, found):
    """The colour of each label."""
    table = np.where(counts[:, None], WRONG, UNCOUNTED).astype(np.uint8)
    table[counts & found] = FOUND
    return table


def save_picture(path, raw, labels, truth, match, spacing):
    """Writes a PNG of at most MOST_BYTES: rows z, y, x through the middle; predicted left, true right."""
    tables = [colours(match.predicted, match.predicted_found), colours(match.true, match.true_found)]
    low, high = np.percentile(raw, [1, 99.8])
    grey = np.clip((raw - low) / max(high - low, 1e-9) * 255, 0, 255).astype(np.uint8)
    edges = np.array(spacing or [1, 1, 1], float)
    for shrink in [1, 0.85, 0.7, 0.6, 0.5, 0.4]:
        picture = draw(grey, labels, truth, tables, edges, int(PANEL * shrink))
        picture.quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            return


def draw(grey, labels, truth, tables, edges, width):
    extent = np.array(grey.shape) * edges
    zoom = width / max(extent[1:])
    rows = []
    for axis in range(3):
        middle = grey.shape[axis] // 2
        size = [max(1, round(extent[other] * zoom)) for other in range(3) if other != axis]
        slices = [np.take(volume, middle, axis) for volume in [grey, labels, truth]]
        rows.append([panel(slices[0], of, table, size) for of, table in zip(slices[1:], tables)])
    height = sum(row[0].shape[0] for row in rows) + GAP * (len(rows) - 1)
    canvas = np.full((height, 2 * width + GAP, 3), 255, np.uint8)
    top = 0
    for row in rows:
        for column, image in enumerate(row):
            left = column * (width + GAP)
            canvas[top:top + image.shape[0], left:left + image.shape[1]] = image[:, :width]
        top += row[0].shape[0] + GAP
    return Image.fromarray(canvas)


def panel(grey, labels, table, size):
    """A slice at this size (rows, columns) with the outlines of its labels."""
    image = np.array(Image.fromarray(grey).resize(size[::-1], Image.Resampling.BILINEAR))
    image = np.repeat(image[..., None], 3, 2)
    at = np.ix_(*[np.arange(n) * old // n for n, old in zip(size, labels.shape)])
    cells = labels[at]
    for axis in range(2):
        here, there = [np.moveaxis(cells, axis, 0)[part] for part in [slice(None, -1), slice(1, None)]]
        edge, target = here != there, np.moveaxis(image, axis, 0)
        for part, of in [(slice(None, -1), here), (slice(1, None), there)]:
            chosen = edge & (of > 0)
            target[part][chosen] = table[of[chosen]]
    return image
