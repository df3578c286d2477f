"""Face regions in XMP, by the schema of the Metadata Working Group that photo managers read.

Source: Metadata Working Group, "Guidelines for Handling Image Metadata", version 2.0, 5.9 (image
regions): areas are normalised to the picture's size, x and y are those of the centre.
"""

from xml.etree import ElementTree as ET

from shared.catalog import ImageRow
from shared.messages import Face
from shared.printing import printable

X = "adobe:ns:meta/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DC = "http://purl.org/dc/elements/1.1/"
REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
AREA = "http://ns.adobe.com/xmp/sType/Area#"
DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"

PREFIXES = {
    "x": X,
    "rdf": RDF,
    "dc": DC,
    "mwg-rs": REGIONS,
    "stArea": AREA,
    "stDim": DIMENSIONS,
}

PACKET_ID = "W5M0MpCehiHzreSzNTczkc9d"
"""What every XMP packet begins with, by the XMP specification, part 1, 7.3.2."""


def sidecar(row: ImageRow) -> bytes:
    """The packet of one picture: its size, and a region a face. UTF-8.

    `row` has a size and is upright, as annotated pictures are. Names of strangers are escaped.
    """
    assert row.width and row.height
    for prefix, namespace in PREFIXES.items():
        ET.register_namespace(prefix, namespace)
    root = ET.Element(f"{{{X}}}xmpmeta")
    rdf = ET.SubElement(root, f"{{{RDF}}}RDF")
    about = ET.SubElement(rdf, f"{{{RDF}}}Description", {f"{{{RDF}}}about": ""})
    ET.SubElement(about, f"{{{DC}}}source").text = printable(row.name)
    resource = {f"{{{RDF}}}parseType": "Resource"}
    regions = ET.SubElement(about, f"{{{REGIONS}}}Regions", resource)
    ET.SubElement(
        regions,
        f"{{{REGIONS}}}AppliedToDimensions",
        {
            f"{{{DIMENSIONS}}}w": str(row.width),
            f"{{{DIMENSIONS}}}h": str(row.height),
            f"{{{DIMENSIONS}}}unit": "pixel",
        },
    )
    bag = ET.SubElement(ET.SubElement(regions, f"{{{REGIONS}}}RegionList"), f"{{{RDF}}}Bag")
    for face in row.faces:
        item = ET.SubElement(bag, f"{{{RDF}}}li")
        region = ET.SubElement(item, f"{{{RDF}}}Description", {f"{{{REGIONS}}}Type": "Face"})
        ET.SubElement(region, f"{{{REGIONS}}}Area", _area(face, row.width, row.height))
    ET.indent(root, " ")
    packet = ET.tostring(root, encoding="unicode")
    text = f'<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="{PACKET_ID}"?>\n{packet}\n'
    return (text + '<?xpacket end="w"?>\n').encode()


def _area(face: Face, width: int, height: int) -> dict[str, str]:
    """The part of a face that is in the picture: a model may see it reach over the edge."""
    left, right = (min(max(x, 0), width) / width for x in (face.x, face.x + face.w))
    top, bottom = (min(max(y, 0), height) / height for y in (face.y, face.y + face.h))
    values = {
        "x": (left + right) / 2,
        "y": (top + bottom) / 2,
        "w": right - left,
        "h": bottom - top,
    }
    area = {f"{{{AREA}}}{name}": f"{value:.6f}" for name, value in values.items()}
    return area | {f"{{{AREA}}}unit": "normalized"}
