"""Our face regions in an XMP packet of others: theirs stay as they are.

Each region of ours carries a mark, so that a later run finds and renews it. One that a person gave
a name is theirs from then on. Where a region of theirs lies on a face, ours is not added.

Packets come from strangers: their size is bounded, and one with a document type, where entities
would be declared, is refused.

Source: Metadata Working Group, "Guidelines for Handling Image Metadata", version 2.0, 5.9: a region
may carry properties of others in `Extensions`. RDF/XML has several forms for one value: attributes
or elements, `rdf:parseType="Resource"` or an `rdf:Description` (XMP specification, part 1, 7.9).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from lxml import etree  # type: ignore[import-untyped]

from services.cli.formats.turning import Box
from services.cli.formats.xmp import AREA, DIMENSIONS, PACKET_ID, PREFIXES, RDF, REGIONS, X

MARK = "urn:faces-in-the-cloud:region:"
"""Namespace of our mark; its property `Found` is the score of the face."""

PACKET_BYTES = 16 << 20
"""Larger packets are left alone; those of photo managers have some kilobytes to a few megabytes."""

SAME_FACE = 0.3
"""Regions that overlap by this (intersection over union) are of one face. People draw them by hand
and generously: of a box twice as wide and high around a face a quarter is the face."""

SAME_SHAPE = 0.02
"""Sizes whose proportions differ by less are of one picture, smaller or larger."""

Node = Any  # an element of lxml, which has no types


class NotMergeable(ValueError):
    """A packet that is better left alone, and why."""


class Region(NamedTuple):
    """A face of ours, as stored."""

    box: Box
    score: float


class Merged(NamedTuple):
    """A packet; `empty`: there is nothing in it, neither of ours nor of others."""

    content: bytes
    empty: bool


def merge(there: bytes | None, regions: Sequence[Region], size: tuple[int, int]) -> Merged:
    """A packet with these regions of ours instead of those that it had; what others wrote stays.

    Args:
        there: the packet that there is, or None.
        size: of the stored picture, in pixels.

    Returns:
        `there` itself, byte by byte, where it says all this already.

    Raises:
        NotMergeable: it is no XMP, too large, or of a picture of another shape.
    """
    tree = _parsed(_EMPTY if there is None else there)
    rdf = _rdf(tree)
    stated = _Stated.find(rdf)
    kept, ours = stated.sorted_out()
    if kept and regions:
        _check_shape(stated, size)
    theirs = [box for box in map(_box_of, kept) if box is not None]
    missing = [one for one in regions if not any(_overlap(one.box, box) for box in theirs)]
    if (
        there is not None
        and _says(ours, missing)
        and (not missing or kept or stated.size() == size)
    ):
        return Merged(there, _is_empty(rdf))
    for item in ours:
        item.getparent().remove(item)
    if missing:
        stated.add(missing, size, keep_size=bool(kept))
    elif not kept:
        stated.drop()
    return Merged(_written(tree, new=there is None), _is_empty(rdf))


def _name(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


_EMPTY = (
    f'<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="{PACKET_ID}"?>\n'
    f'<x:xmpmeta xmlns:x="{X}"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description rdf:about=""/>'
    '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>\n'
).encode()


def _parsed(packet: bytes) -> Node:
    if len(packet) > PACKET_BYTES:
        raise NotMergeable(f"it has more than {PACKET_BYTES >> 20} MiB")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False
    )
    try:
        tree = etree.fromstring(packet, parser).getroottree()
    except (etree.XMLSyntaxError, ValueError) as error:
        raise NotMergeable(f"it is no XML: {str(error)[:100]}") from None
    if tree.docinfo.internalDTD is not None:
        raise NotMergeable("it declares a document type, which XMP has not")
    return tree


def _rdf(tree: Node) -> Node:
    """The RDF of a packet; a Description in it is made where there is none."""
    root = tree.getroot()
    rdf = root if root.tag == _name(RDF, "RDF") else root.find(_name(RDF, "RDF"))
    if rdf is None:
        raise NotMergeable("it is no XMP")
    if rdf.find(_name(RDF, "Description")) is None:
        etree.SubElement(rdf, _name(RDF, "Description")).set(_name(RDF, "about"), "")
    return rdf


def _written(tree: Node, *, new: bool) -> bytes:
    if new:
        etree.indent(tree, " ")
    declared = not new and tree.docinfo.standalone is not None
    return bytes(etree.tostring(tree, encoding="utf-8", xml_declaration=declared)) + b"\n" * new


class _Stated:
    """The regions that a packet states; with none, where they would be."""

    def __init__(self, about: Node, regions: Node | None) -> None:
        self._about = about
        self._regions = regions

    @classmethod
    def find(cls, rdf: Node) -> "_Stated":
        descriptions = rdf.findall(_name(RDF, "Description"))
        for about in descriptions:
            regions = about.find(_name(REGIONS, "Regions"))
            if regions is not None:
                return cls(about, regions)
        return cls(descriptions[0], None)

    def size(self) -> tuple[int, int] | None:
        """`AppliedToDimensions`, where it is there in pixels."""
        applied = _child(self._regions, _name(REGIONS, "AppliedToDimensions"))
        width, height = (_number(_value(applied, _name(DIMENSIONS, side))) for side in "wh")
        unit = _value(applied, _name(DIMENSIONS, "unit"))
        if not width or not height or unit not in ("", "pixel"):
            return None
        return round(width), round(height)

    def sorted_out(self) -> tuple[list[Node], list[Node]]:
        """The items of the list: what is theirs, and what is ours and may be renewed."""
        listed = _child(self._regions, _name(REGIONS, "RegionList"))
        items = [] if listed is None else listed.findall(f"{{*}}*/{_name(RDF, 'li')}")
        ours = [item for item in items if _is_ours(item)]
        return [item for item in items if item not in ours], ours

    def add(self, regions: Sequence[Region], size: tuple[int, int], *, keep_size: bool) -> None:
        """Append regions of ours; the size is stated, unless that of theirs is to be kept."""
        if self._regions is None:
            self._regions = _resource(self._about, _name(REGIONS, "Regions"))
        struct = _struct(self._regions)
        if not keep_size or self.size() is None:
            applied = struct.find(_name(REGIONS, "AppliedToDimensions"))
            if applied is not None:
                struct.remove(applied)
            applied = _element(struct, _name(REGIONS, "AppliedToDimensions"))
            struct.insert(0, applied)
            values = (("w", str(size[0])), ("h", str(size[1])), ("unit", "pixel"))
            for name, value in values:
                applied.set(_name(DIMENSIONS, name), value)
        listed = struct.find(_name(REGIONS, "RegionList"))
        if listed is None:
            listed = _element(struct, _name(REGIONS, "RegionList"))
        bag = next((one for one in listed if isinstance(one.tag, str)), None)
        if bag is None:
            bag = _element(listed, _name(RDF, "Bag"))
        for region in regions:
            _append(bag, region)

    def drop(self) -> None:
        """Take the regions away, of which none is left."""
        if self._regions is not None:
            self._about.remove(self._regions)
            self._regions = None


def _append(bag: Node, region: Region) -> None:
    item = _element(bag, _name(RDF, "li"))
    told = _element(item, _name(RDF, "Description"))
    told.set(_name(REGIONS, "Type"), "Face")
    area = _element(told, _name(REGIONS, "Area"))
    for name, value in zip("xywh", region.box, strict=True):
        area.set(_name(AREA, name), f"{value:.6f}")
    area.set(_name(AREA, "unit"), "normalized")
    mark = _element(told, _name(REGIONS, "Extensions"))
    mark.set(_name(MARK, "Found"), f"{region.score:.4f}")


_DECLARED = ("mwg-rs", "stArea", "stDim")
_OURS = {prefix: PREFIXES[prefix] for prefix in _DECLARED} | {"faces": MARK}


def _element(parent: Node, name: str) -> Node:
    """A new child. Prefixes are those that the packet has for our namespaces, else ours."""
    there = parent.nsmap
    new = {
        prefix: uri
        for prefix, uri in _OURS.items()
        if uri not in there.values() and prefix not in there
    }
    return etree.SubElement(parent, name, nsmap=new)


def _resource(parent: Node, name: str) -> Node:
    made = _element(parent, name)
    made.set(_name(RDF, "parseType"), "Resource")
    return made


def _struct(node: Node) -> Node:
    """What holds the fields of a structure: the node, or the Description in it."""
    inner = node.find(_name(RDF, "Description"))
    return node if inner is None else inner


def _child(node: Node | None, name: str) -> Node | None:
    return None if node is None else _struct(node).find(name)


def _value(node: Node | None, name: str) -> str:
    """A field of a structure, as attribute or as element; '' where it is missing."""
    if node is None:
        return ""
    struct = _struct(node)
    told = struct.get(name) or node.get(name)
    if told is None:
        told = struct.findtext(name)
    return (told or "").strip()


def _number(told: str) -> float | None:
    try:
        number = float(told)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_ours(item: Node) -> bool:
    """Whether we made it, and nobody gave it a name or a description."""
    mark = _child(item, _name(REGIONS, "Extensions"))
    named = _value(item, _name(REGIONS, "Name")) or _value(item, _name(REGIONS, "Description"))
    return bool(_value(mark, _name(MARK, "Found"))) and not named


def _box_of(item: Node) -> Box | None:
    """The box of a face of theirs; None of what is no face, or not to be understood."""
    if _value(item, _name(REGIONS, "Type")) not in ("", "Face"):
        return None
    area = _child(item, _name(REGIONS, "Area"))
    numbers = [_number(_value(area, _name(AREA, side))) for side in "xywh"]
    found = [number for number in numbers if number is not None]
    return Box(*found) if len(found) == len(numbers) else None


def _overlap(one: Box, other: Box) -> bool:
    across = min(one.x + one.w / 2, other.x + other.w / 2) - max(
        one.x - one.w / 2, other.x - other.w / 2
    )
    down = min(one.y + one.h / 2, other.y + other.h / 2) - max(
        one.y - one.h / 2, other.y - other.h / 2
    )
    if across <= 0 or down <= 0:
        return False
    shared = across * down
    return shared / (one.w * one.h + other.w * other.h - shared) >= SAME_FACE


def _says(ours: Sequence[Node], wanted: Sequence[Region]) -> bool:
    """Whether these items of ours are these regions."""
    boxes = [_box_of(item) for item in ours]
    return len(boxes) == len(wanted) and all(
        box is not None and all(abs(a - b) < 1e-5 for a, b in zip(box, one.box, strict=True))
        for box, one in zip(boxes, wanted, strict=True)
    )


def _check_shape(stated: _Stated, size: tuple[int, int]) -> None:
    """Regions are normalised: beside theirs ours fit only if they speak of the same picture."""
    there = stated.size()
    if there is None:
        return
    proportion = (there[0] * size[1]) / (there[1] * size[0])
    if abs(proportion - 1) > SAME_SHAPE:
        raise NotMergeable(
            f"its regions are of a picture of {there[0]} x {there[1]}, "
            f"and this one is stored as {size[0]} x {size[1]}"
        )


def _is_empty(rdf: Node) -> bool:
    """Whether no property is left."""
    about = {_name(RDF, "about")}
    return all(
        one.tag == _name(RDF, "Description") and not len(one) and set(one.attrib) <= about
        for one in rdf
    )
