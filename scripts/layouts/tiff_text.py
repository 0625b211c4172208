"""The texts of TIFF files that name axes and voxel size: ImageJ's, OME's and tifffile's, with all that may vary."""
import json
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from layouts.case import NAMES

# Micrometres in one unit of ImageJ; None where the voxel size is not known.
IMAGEJ_UNITS = {
    "micron": 1, "microns": 1, "um": 1, "µm": 1, "\\u00B5m": 1, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "inch": 25400,
    "pixel": None, "pixels": None,
}

# Micrometres in one unit of the OME schema's UnitsLength. The astronomical unit and the light-year are so by definition;
# a parsec is 648000 / pi astronomical units.
METRE = 1e6
INCH = 25400.0
ASTRONOMICAL_UNIT = 149597870700 * METRE
OME_UNITS = {
    "Ym": 1e30, "Zm": 1e27, "Em": 1e24, "Pm": 1e21, "Tm": 1e18, "Gm": 1e15, "Mm": 1e12, "km": 1e9, "hm": 1e8,
    "dam": 1e7, "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "µm": 1.0, "nm": 1e-3, "pm": 1e-6, "fm": 1e-9, "am": 1e-12,
    "zm": 1e-15, "ym": 1e-18, "Å": 1e-4, "thou": INCH / 1000, "li": INCH / 12, "in": INCH, "ft": 12 * INCH,
    "yd": 36 * INCH, "mi": 63360 * INCH, "ua": ASTRONOMICAL_UNIT, "ly": 9460730472580800 * METRE,
    "pc": 648000 / 3.141592653589793 * ASTRONOMICAL_UNIT, "pt": INCH / 72, "pixel": None, "reference frame": None,
}


@dataclass
class Text:
    """What a text says: `order` holds t, z, c of each page in turn; `texts` is the bytes of tag 270 of the first page."""
    texts: list
    order: list
    spacing: list | None = None
    resolution: tuple | None = None
    names: list | None = None
    description: str = ""
    # tifffile reads no OME planes that are not listed.
    read_by_tifffile: bool = True


def resolution(chance, edge):
    """Returns a fraction of voxels per unit, and the edge of a voxel that it stands for."""
    fitting = [denominator for denominator in (1, 10, 100, 1000, 10000, 100000) if denominator / edge < 1 << 32]
    denominator = chance.one(fitting[-3:])
    numerator = max(1, round(denominator / edge))
    return (numerator, denominator), denominator / numerator


def imagej(chance, times, planes, channels):
    """ImageJ counts channels fastest, then planes, then time points."""
    unit = chance.one([*IMAGEJ_UNITS, None])
    factor = unit and IMAGEJ_UNITS[unit]
    z, y, x = (edge / (factor or 1) for edge in chance.edges())
    lines = ["ImageJ=1.54f", f"images={times * planes * channels}"]
    counts = [("channels", channels), ("slices", planes), ("frames", times)]
    if times * channels > 1 or chance.often(0.7):
        lines += [f"{key}={count}" for key, count in counts if count > 1 or key == "slices" or chance.often(0.2)]
        lines += ["hyperstack=true"] * (times * channels > 1)
    stated, edges = None, [1.0, 1.0]
    if chance.often(0.85):
        (across_y, edge_y), (across_x, edge_x) = resolution(chance, y), resolution(chance, x)
        stated, edges = (across_y, across_x), [edge_y, edge_x]
    depth = None if chance.often(0.15) else chance.one([-z, z, z, z])
    lines += [] if unit is None else [f"unit={unit}"]
    lines += [] if depth is None else [f"spacing={depth!r}"]
    lines += ["loop=false", "min=0.0", "max=255.0"]
    known = factor and (stated or depth)
    spacing = [factor * edge for edge in (abs(depth or 1.0), *edges)] if known else None
    encoding = chance.one(["latin-1", "utf-8"])
    text = "".join(line + "\n" for line in lines).encode(encoding) + b"\0"
    order = [(t, z, c) for t in range(times) for z in range(planes) for c in range(channels)]
    return Text([text], order, spacing, stated, description=f"ImageJ unit {unit} in {encoding}")


def shaped(chance, times, planes, channels, height, width):
    """tifffile's note of the shape; letters for the axes stand in it where there are more than three."""
    counts = {"T": times, "Z": planes, "C": channels}
    letters = chance.shuffled("TZC")
    letters = [letter for letter in letters if letter == "Z" or counts[letter] > 1]
    axes = "".join(letters) + "YX"
    note = {"shape": [*(counts[letter] for letter in letters), height, width]}
    if len(axes) > 3 or chance.often(0.5):
        note["axes"] = axes if len(axes) > 3 else chance.one(["ZYX", "QYX", "IYX"])
    ranges = [range(counts[letter]) for letter in letters]
    order = [_position(letters, place) for place in _places(ranges)]
    return Text([json.dumps(note).encode() + b"\0"], order, description=f"shape note {note}")


def _places(ranges):
    places = [()]
    for extent in ranges:
        places = [(*place, i) for place in places for i in extent]
    return places


def _position(letters, place):
    at = dict(zip(letters, place))
    return at.get("T", 0), at.get("Z", 0), at.get("C", 0)


def ome(chance, times, planes, channels, height, width, dtype, samples=1):
    """An OME document, with one element for all pages, one for each page, or runs of pages in any order."""
    dimensions = "".join(chance.shuffled("ZCT"))
    counts = {"Z": planes, "C": channels, "T": times}
    # The first axis after X and Y is the fastest.
    slow_first = dimensions[::-1]
    linear = [_position(slow_first, place) for place in _places([range(counts[axis]) for axis in slow_first])]
    style = chance.one(["none", "bare", "counted", "single", "runs"])
    elements, order = _page_elements(chance, style, linear)
    names = chance.shuffled(NAMES)[:channels] if chance.often(0.6) else None
    sizes, spacing, unit = _physical(chance)
    attributes = {
        "ID": "Pixels:0", "DimensionOrder": "XY" + dimensions, "Type": _ome_type(dtype), "SizeX": width, "SizeY": height,
        "SizeZ": planes, "SizeC": channels * samples, "SizeT": times, "BigEndian": "false", **sizes,
    }
    document = _document(chance, attributes, _channel_elements(channels, samples, names), elements)
    description = f"OME {dimensions} {style} unit {unit}"
    return Text([document.encode() + b"\0"], order, spacing, names=names, description=description,
                read_by_tifffile=style != "none")


def _page_elements(chance, style, linear):
    """Returns the TiffData elements and which plane each page holds."""
    count = len(linear)
    if style in ("none", "bare", "counted"):
        counted = chance.one([{"IFD": 0, "PlaneCount": count}, {"PlaneCount": count}])
        return {"none": [], "bare": [{}], "counted": [counted]}[style], linear
    runs, start = [], 0
    while start < count:
        length = 1 if style == "single" else chance.whole(1, count - start)
        runs.append(linear[start:start + length])
        start += length
    order, elements = [], []
    for run in chance.shuffled(runs):
        t, z, c = run[0]
        element = {"IFD": len(order), "FirstZ": z, "FirstC": c, "FirstT": t, "PlaneCount": len(run)}
        unsaid = {key: value for key, value in element.items() if key.startswith("First") and value == 0}
        if len(run) == 1:
            unsaid["PlaneCount"] = 1
        elements.append({key: value for key, value in element.items() if key not in unsaid or chance.often(0.5)})
        order += run
    return chance.shuffled(elements), order


def _physical(chance):
    """Returns the attributes of the voxel size and the micrometres that they stand for."""
    if chance.often(0.1):
        return {}, None, "absent"
    unit = chance.one([*OME_UNITS, "µm", "µm", None])
    factor = 1.0 if unit is None else OME_UNITS[unit]
    attributes, spacing = {}, []
    for axis, edge in zip("ZYX", chance.edges()):
        text = f"{edge / (factor or 1):{chance.one(['.17g', '.9g', '.6E'])}}"
        attributes[f"PhysicalSize{axis}"] = text
        spacing.append(float(text) * (factor or 1))
        # Without a unit the schema's default is micrometres.
        attributes |= {} if unit is None else {f"PhysicalSize{axis}Unit": unit}
    return attributes, spacing if factor else None, unit


def _ome_type(dtype):
    return {"u1": "uint8", "i1": "int8", "u2": "uint16", "i2": "int16", "u4": "uint32", "i4": "int32", "f4": "float",
            "f8": "double"}[dtype]


def _channel_elements(channels, samples, names):
    elements = [{"ID": f"Channel:0:{c}", "SamplesPerPixel": samples} for c in range(channels)]
    for element, name in zip(elements, names or []):
        element["Name"] = name
    return elements


def _document(chance, pixels, channels, pages):
    """Returns the text, written in one of the ways that XML allows."""
    prefix = chance.one(["", "", "ome:"])
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    root = {"xmlns" + (":ome" if prefix else ""): schema, "UUID": "urn:uuid:5b6ef9a3-1c5f-4c7b-9a55-0123456789ab"}
    inner = _elements(chance, prefix, "Channel", channels) + _elements(chance, prefix, "TiffData", pages)
    body = _element(chance, prefix, "Pixels", pixels, inner)
    image = _element(chance, prefix, "Image", {"ID": "Image:0", "Name": 'a < b & "c"'}, body)
    note = "<!-- <Pixels SizeZ='99'/> -->" if chance.often(0.3) else ""
    extra = _element(chance, prefix, "StructuredAnnotations", {}, "<![CDATA[<Pixels SizeC='7'>]]>")
    declaration = '<?xml version="1.0" encoding="UTF-8"?>\n' if chance.often(0.7) else ""
    return declaration + _element(chance, prefix, "OME", root, note + image + extra * chance.often(0.3))


def _elements(chance, prefix, name, list_of_attributes):
    return "".join(_element(chance, prefix, name, attributes) for attributes in list_of_attributes)


def _element(chance, prefix, name, attributes, inner=""):
    written = "".join(f"{chance.one([' ', chr(10)])}{key}={_quoted(chance, str(value))}"
                      for key, value in chance.shuffled(list(attributes.items())))
    if not inner and chance.often(0.7):
        return f"<{prefix}{name}{written}/>"
    return f"<{prefix}{name}{written}>{inner}</{prefix}{name}>"


def _quoted(chance, value):
    text = quoteattr(value)
    if text[0] == '"' and "'" not in text and chance.often(0.3):
        text = f"'{text[1:-1]}'"
    escape = chance.one([None, "&#{};", "&#x{:X};"])
    return text if escape is None else "".join(c if ord(c) < 128 else escape.format(ord(c)) for c in text)
