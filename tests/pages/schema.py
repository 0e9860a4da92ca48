"""A small check of what PAGE and ALTO schemas say about the elements that are written, made by hand from the schemas.

PRImA-Research-Lab/PAGE-XML pagecontent.xsd 2013-07-15 and 2019-07-15; altoxml/schema alto-v2.0.xsd and alto-4-2.xsd.
"""

import re
from xml.etree import ElementTree

POINTS = r"(\d+,\d+ )+\d+,\d+"
CONF = r"[01](\.0+)?|0?\.\d+"
NUMBER = r"\d+(\.\d+)?"
DATE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?"
ID = r"[A-Za-z_][\w.-]*"

# element: (order of children as a pattern over their names, {attribute: pattern; required ones begin with !})
_TEXT_2013 = {
    "PcGts": ("Metadata Page ", {"pcGtsId": ID}),
    "Metadata": ("Creator Created LastChange (Comments )?", {}),
    "LastChange": ("", {}),
    "TextRegion": ("Coords ((Text|Graphic)Region )*(TextLine )*(TextEquiv )?(TextStyle )?", {"!id": ID}),
    "TextLine": ("Coords (Baseline )?(Word )*(TextEquiv )?(TextStyle )?", {"!id": ID}),
    "Word": ("Coords (Glyph )*(TextEquiv )?(TextStyle )?", {"!id": ID}),
    "Glyph": ("Coords (TextEquiv )?(TextStyle )?", {"!id": ID}),
    "Coords": ("", {"!points": POINTS, "conf": CONF}),
    "TextEquiv": ("(PlainText )?Unicode ", {"conf": CONF}),
    "Unicode": ("", {}),
}
_TAIL = "(TextEquiv )*(TextStyle )?(UserDefined )?(Labels )*"
PAGE_2013 = _TEXT_2013
PAGE_2019 = _TEXT_2013 | {
    "Metadata": ("Creator Created LastChange (Comments )?(UserDefined )?(MetadataItem )*", {}),
    "TextLine": (f"(AlternativeImage )*Coords (Baseline )?(Word )*{_TAIL}", {"!id": ID}),
    "Word": (f"(AlternativeImage )*Coords (Glyph )*{_TAIL}", {"!id": ID}),
    "Glyph": (f"(AlternativeImage )*Coords (Graphemes )?{_TAIL}", {"!id": ID}),
    "TextEquiv": ("(PlainText )?Unicode ", {"conf": CONF, "index": r"\d+", "comments": ".*"}),
}
_BOX = {"HPOS": NUMBER, "VPOS": NUMBER, "WIDTH": NUMBER, "HEIGHT": NUMBER}
_STEP = (
    "(processingDateTime )?(processingAgency )?(processingStepDescription )*(processingStepSettings )?"
    "(processingSoftware )?"
)
ALTO_4 = {
    "alto": ("(Description )?(Styles )?(Tags )?Layout ", {}),
    "Description": ("MeasurementUnit (sourceImageInformation )?(OCRProcessing )*(Processing )*", {}),
    "Processing": (f"(processingCategory )?{_STEP}", {"!ID": ID}),
    "processingSoftware": ("(softwareCreator )?(softwareName )?(softwareVersion )?(applicationDescription )?", {}),
    "TextLine": ("(Shape )?(String (SP )?)+(HYP )?", _BOX | {"ID": ID, "BASELINE": ".*", "TAGREFS": ".*"}),
    "String": ("(Shape )?(ALTERNATIVE )*(Glyph )*", _BOX | {"ID": ID, "!CONTENT": "(?s:.*)", "WC": CONF}),
    "Glyph": ("(Shape )?(Variant )*", _BOX | {"ID": ID, "!CONTENT": "(?s:.)", "GC": CONF}),
    "SP": ("", _BOX | {"ID": ID}),
}
ALTO_2 = ALTO_4 | {
    "Description": ("MeasurementUnit (sourceImageInformation )?(OCRProcessing )*", {}),
    "OCRProcessing": ("(preProcessingStep )*ocrProcessingStep (postProcessingStep )*", {"!ID": ID}),
    "ocrProcessingStep": (_STEP, {}),
    "TextLine": ("(String (SP )?)+(HYP )?", _BOX | {"ID": ID, "BASELINE": NUMBER}),
    "String": ("(ALTERNATIVE )*", _BOX | {"ID": ID, "!CONTENT": "(?s:.*)", "WC": CONF, "CC": r"\d( \d)*"}),
    "Glyph": None,
    "Processing": None,
}
IDS = {"id", "ID", "pcGtsId"}


def faults(path, schema):
    """List what an XML file has against a schema: order of children, attributes, namespaces, unique ids."""
    root = ElementTree.parse(path).getroot()
    space = root.tag[: root.tag.index("}") + 1]
    found, ids = [], set()
    for element in root.iter():
        name = element.tag.removeprefix(space)
        if "}" in name:
            found.append(f"{element.tag}: another namespace than the root's")
            continue
        for key in IDS & set(element.attrib):
            if element.get(key) in ids:
                found.append(f"{name}: id {element.get(key)} twice")
            ids.add(element.get(key))
        if name not in schema:
            continue
        if schema[name] is None:
            found.append(f"{name} is not in this version")
            continue
        order, attributes = schema[name]
        children = "".join(f"{child.tag.removeprefix(space)} " for child in element)
        if not re.fullmatch(order, children):
            found.append(f"{name}: children {children}")
        for key, pattern in attributes.items():
            value = element.get(key.lstrip("!"))
            if value is None and key.startswith("!"):
                found.append(f"{name}: no {key[1:]}")
            if value is not None and not re.fullmatch(pattern, value):
                found.append(f"{name}: {key}={value!r}")
        if name == "LastChange" and not re.fullmatch(DATE, element.text or ""):
            found.append(f"LastChange: {element.text}")
    return found
