from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.media import xml
from seqlab.media.xml import local, parse_xml


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_tree_namespaces_and_characters(tmp_path: Path) -> None:
    text = '<?xml version="1.0"?><a xmlns="http://x.y/z" x="1&amp;2"><!-- no --><b>é&#233;<![CDATA[<&]]></b>t</a>'
    root = parse_xml(write(tmp_path / "a.xml", text))
    assert (root.tag, local(root.tag), root.get("x")) == ("{http://x.y/z}a", "a", "1&2")
    (child,) = root
    assert (local(child.tag), child.text, child.tail) == ("b", "éé<&", "t")
    assert local("plain") == "plain"


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-16", "utf-8-sig"])
def test_declared_encodings(tmp_path: Path, encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?><a t="é"/>'
    assert parse_xml(write(tmp_path / "a.xml", text, encoding)).get("t") == "é"


def test_a_document_type_is_passed_over_and_never_fetched(tmp_path: Path) -> None:
    write(tmp_path / "form.dtd", '<!ENTITY e "from the dtd">')
    path = write(tmp_path / "a.xml", '<!DOCTYPE form SYSTEM "form.dtd"><form id="a"/>')
    assert parse_xml(path).get("id") == "a"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('<!DOCTYPE a [\n<!ENTITY e "x">]><a>&e;</a>', ":2: the file declares an entity"),
        ('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/hostname">]><a>&e;</a>', "declares an entity"),
        ('<!DOCTYPE a [<!ENTITY % e SYSTEM "http://x.y/z"> %e;]><a/>', "declares an entity"),
        ('<!DOCTYPE a SYSTEM "form.dtd"><a>\n\n&e;</a>', ":3: the file uses an entity"),
        ("<a>&e;</a>", ":1: not well-formed XML"),
        ("<a>\n<b></a>", ":2: not well-formed XML"),
        ("<!DOCTYPE html><html><p>log in<br></html>", "looks like a web page"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "encoding"),
        ("", "is empty"),
    ],
)
def test_hostile_and_broken_files_are_refused(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(DataError, match=rf"a\.xml.*{cause}"):
        parse_xml(write(tmp_path / "a.xml", text))


def test_entities_are_seen_in_every_encoding(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xml", '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', "utf-16")
    with pytest.raises(DataError, match="declares an entity"):
        parse_xml(path)


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="200 elements within one another"):
        parse_xml(write(tmp_path / "deep.xml", "<a>" * 300 + "</a>" * 300))
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 10)
    with pytest.raises(DataError, match="10 in all"):
        parse_xml(write(tmp_path / "many.xml", "<a>" + "<b/>" * 10 + "</a>"))
    monkeypatch.setattr(xml, "MAX_BYTES", 2**20)
    with pytest.raises(DataError, match="larger than the 1 MB"):
        parse_xml(write(tmp_path / "large.xml", "<a>" + " " * 2**20 + "</a>"))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.xml not found"):
        parse_xml(tmp_path / "no.xml")
    with pytest.raises(DataError, match="folder"):
        parse_xml(tmp_path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60) | st.text(alphabet="<>!?[]&;a=\"' /-", max_size=60).map(str.encode))
def test_any_bytes_give_a_tree_or_a_named_fault(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.xml"
    path.write_bytes(data)
    fault = None
    try:
        parse_xml(path)
    except DataError as error:
        fault = str(error)
    assert fault is None or "a.xml" in fault


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16", "utf-16-le", "utf-16-be"])
def test_entities_of_an_unread_dtd_are_refused_in_attributes_too(tmp_path: Path, encoding: str) -> None:
    declared = encoding[:6] if encoding.startswith("utf-16") else encoding
    head = f"<?xml version='1.0' encoding='{declared}'?><!-- <!DOCTYPE no> -->\n<!DOCTYPE form\n SYSTEM 'form>.dtd'>\n"
    good = write(tmp_path / "good.xml", head + '<form text="caf\u00e9 &amp; &#233;"/>', encoding)
    assert parse_xml(good).get("text") == "caf\u00e9 & \u00e9"
    path = write(tmp_path / "a.xml", head + '<form>\n<line text="caf&eacute;"/></form>', encoding)
    with pytest.raises(DataError, match=r"a\.xml:5: the file uses an entity"):
        parse_xml(path)


def test_defaults_of_attributes_are_refused_and_other_declarations_passed_over(tmp_path: Path) -> None:
    assert parse_xml(write(tmp_path / "a.xml", "<!DOCTYPE a [<!ELEMENT a ANY>]><a/>")).tag == "a"
    with pytest.raises(DataError, match=r"b\.xml:1: the file declares attributes"):
        parse_xml(write(tmp_path / "b.xml", '<!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>'))
