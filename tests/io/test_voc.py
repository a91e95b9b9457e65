"""Pascal VOC's XML files as tools write them, and as attackers do."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd
from tests.factories import SIDES

CORNERS = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>40</xmax><ymax>80</ymax></bndbox>"
OBJECT = f"<object><name>car</name>{CORNERS}</object>"
SIZE = "<size><width>640</width><height>480</height><depth>3</depth></size>"


def annotation(*parts: str, name: str = "<filename>a.jpg</filename>") -> str:
    return f"<annotation>{name}{''.join(parts)}</annotation>"


def read(tmp_path: Path, text: str | bytes, **options: Any) -> npd.Frames:
    path = tmp_path / "a.xml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return npd.read_voc(path, **options)


def test_a_box_is_from_corner_to_corner(tmp_path: Path) -> None:
    items, boxes = read(tmp_path, annotation(SIZE, OBJECT))
    assert items[["reference_id", "image_width", "image_height"]].values.tolist() == [["a.jpg", 640, 480]]
    assert boxes[["reference_id", "label", "type", *SIDES]].values.tolist() == [["a.jpg", "car", "box", 10, 20, 30, 60]]
    assert (items["metadata"][0], boxes["metadata"][0]) == ({"size": {"depth": 3}}, {})
    assert items["image_url"].isna().all()
    nothing = read(tmp_path, annotation()).annotations
    pd.testing.assert_series_equal(nothing.dtypes, boxes.dtypes)


def test_decimals_are_subtracted_without_rounding(tmp_path: Path) -> None:
    corners = "<bndbox><xmin>0.1</xmin><ymin>1e2</ymin><xmax>0.8</xmax><ymax> 100.3 </ymax></bndbox>"
    boxes = read(tmp_path, annotation(f"<object><name>car</name>{corners}</object>")).annotations
    assert boxes[SIDES].values.tolist() == [[0.1, 100.0, 0.7, 0.3]]


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotation verified="yes"><!-- by hand -->
  <folder>x</folder> <filename>x\\a.jpg</filename> <source><database>Unknown</database></source>
  <size><width>640</width><height>480</height><depth></depth></size> <segmented>0</segmented>
  <object>
    <name>tr\u00fcck</name> <occluded>1</occluded> <truncated>007</truncated> <area>1.5</area>
    <bndbox><xmin>10.5</xmin><ymin>20</ymin><xmax>40.0</xmax><ymax>80</ymax></bndbox>
    <attributes>
      <attribute><name>the colour</name><value>red</value></attribute>
      <attribute><name>rotation</name><value>0.0</value></attribute>
    </attributes>
    <part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><part><name>hand</name></part><part>foot</part>
    <actions by="hand">jumping</actions>
    <confidence>0.25</confidence>
  </object>
</annotation>"""


def test_everything_that_has_no_column_is_metadata_and_comes_back(tmp_path: Path) -> None:
    frames = read(tmp_path, CVAT)
    assert frames.items["reference_id"].tolist() == ["x/a.jpg"]
    assert frames.items["metadata"][0] == {
        "@verified": "yes",
        "folder": "x",
        "source": {"database": "Unknown"},
        "size": {"depth": ""},
        "segmented": 0,
    }
    assert frames.annotations.iloc[0].drop(["annotation_id"]).to_dict() == {
        "reference_id": "x/a.jpg",
        "label": "trück",
        "type": "box",
        "x": 10.5,
        "y": 20.0,
        "width": 29.5,
        "height": 60.0,
        "confidence": 0.25,
        "metadata": {
            "occluded": 1,
            "truncated": "007",
            "area": 1.5,
            "attributes": {"the colour": "red", "rotation": "0.0"},
            "part": [{"name": "head", "bndbox": {"xmin": "1"}}, {"name": "hand"}, "foot"],
            "actions": {"@by": "hand", "#text": "jumping"},
        },
    }
    npd.to_voc(*frames, tmp_path / "out")
    for mine, theirs in zip(npd.read_voc(tmp_path / "out"), frames, strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


def test_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a/c", "a"):
        path = tmp_path / f"{name}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(annotation(OBJECT, name=f"<filename>{name}.jpg</filename>"))
    (tmp_path / "notes.txt").write_text("no XML")
    assert npd.read_voc(tmp_path).items["reference_id"].tolist() == ["a.jpg", "a/c.jpg", "b.jpg"]
    several = [tmp_path / "b.xml", str(tmp_path / "a.xml")]
    assert npd.read_voc(several).annotations["reference_id"].tolist() == ["b.jpg", "a.jpg"]
    assert len(npd.read_voc(tmp_path / "b.xml").items) == 1
    (tmp_path / "empty").mkdir()
    assert len(npd.read_voc(tmp_path / "empty").items) == 0


@pytest.mark.parametrize(
    "pairs",
    [
        "<attribute><name>k</name></attribute>",
        "<attribute><name>k</name><value>1</value></attribute>" * 2,
        "<colour>red</colour>",
        "red",
    ],
)
def test_attributes_in_another_form_come_back_too(pairs: str, tmp_path: Path) -> None:
    text = annotation(OBJECT.replace("</name>", f"</name><attributes>{pairs}</attributes>"))
    frames = read(tmp_path, text)
    npd.to_voc(*frames, tmp_path / "out")
    pd.testing.assert_frame_equal(npd.read_voc(tmp_path / "out").annotations, frames.annotations)


@pytest.mark.parametrize("name", ["", "<filename/>", "<filename> </filename>"])
def test_a_file_without_a_name_is_about_the_image_of_its_own_name(name: str, tmp_path: Path) -> None:
    assert read(tmp_path, annotation(name=name)).items["reference_id"].tolist() == ["a"]


@pytest.mark.parametrize("size", ["", "<size/>", "<size><width>0</width><height></height></size>"])
def test_sizes_may_be_missing(size: str, tmp_path: Path) -> None:
    items, _ = read(tmp_path, annotation(size))
    assert items[["image_width", "image_height"]].isna().all(axis=None)


def test_a_folder_of_images_gives_their_paths(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    items, _ = read(tmp_path, annotation(), images=tmp_path / "images")
    assert items["image_url"].tolist() == [str(tmp_path / "images" / "a.jpg")]
    for name in ("../a.xml", "/etc/passwd", "..\\a.xml"):
        with pytest.raises(npd.InvalidInputError, match="a.xml: filename is .*not below images="):
            read(tmp_path, annotation(name=f"<filename>{name}</filename>"), images=tmp_path / "images")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "cp1252"])
def test_files_may_be_in_any_encoding_that_they_declare(encoding: str, tmp_path: Path) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?>' + annotation(OBJECT.replace("car", "trück"))
    assert read(tmp_path, text.encode(encoding)).annotations["label"].tolist() == ["trück"]


LAUGHS = "".join(f'<!ENTITY l{at} "{f"&l{at - 1};" * 10}">' for at in range(1, 10))
ATTACKS = {
    "billion laughs": f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]>'
    + annotation(OBJECT.replace("car", "&l9;")),
    "a file": '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + annotation(OBJECT.replace("car", "&f;")),
    "the network": '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">' + annotation(OBJECT),
    "parameters": '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/">%p;]>' + annotation(OBJECT),
    "nothing": "<!DOCTYPE annotation>" + annotation(OBJECT),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-7", "utf-16-be", "utf-32"])
def test_documents_that_declare_anything_are_refused(attack: str, encoding: str, tmp_path: Path) -> None:
    text = ATTACKS[attack].removeprefix('<?xml version="1.0"?>')
    data = text.encode(encoding)
    if encoding == "utf-7":
        data = b"<?xml version='1.0' encoding='utf-7'?>" + text.replace("<!", "+ADwAIQ-").encode("ascii")
    if encoding == "utf-16-be":
        data = codecs.BOM_UTF16_BE + data
    with pytest.raises(npd.InvalidInputError, match="a.xml has a document type"):
        read(tmp_path, data)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a.xml is empty"),
        ("<annotation>", "a.xml is not valid XML: .*Is it complete"),
        (annotation(OBJECT)[:-5], "is not valid XML"),
        (annotation(OBJECT.replace("car", "&f;")), "is not valid XML: undefined entity"),
        ("{}", "is not valid XML"),
        (ATTACKS["a file"].encode("utf-16-be"), "a document type"),
        (ATTACKS["a file"].encode("utf-16-le"), "a document type"),
        (ATTACKS["a file"].encode("utf-32-le"), "is not valid XML: "),
        (b"<?xml version='1.0' encoding='utf-16-le'?>" + ATTACKS["a file"].encode("utf-16-le"), "is not valid XML"),
        (b"<annotation>\xff</annotation>", "is not text in utf-8"),
        (b"<?xml version='1.0' encoding='klingon'?><annotation/>", "is not text in klingon"),
        (b"<?xml version='1.0' encoding='zlib'?><annotation/>", "is not text in zlib"),
        ("<annotation>" + "<a>" * 50 + "</a>" * 50 + "</annotation>", "nested more than 30 levels"),
        ("<annotations/>", "a.xml is <annotations>.*CVAT's own format; export as 'Pascal VOC'"),
        ("<html/>", "a.xml is <html>, but VOC's files are <annotation>"),
    ],
)
def test_what_is_no_voc_is_refused_with_its_name(text: str | bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match=reason):
        read(tmp_path, text)


def test_deep_documents_do_not_end_the_process(tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError, match="nested more than 30 levels"):
        read(tmp_path, "<annotation>" + "<a>" * 200_000 + "</a>" * 200_000 + "</annotation>")


@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        ("<name>car</name>", "", "object[0]/name", "is missing; every object has one name"),
        ("car", " ", "object[0]/name", "is missing"),
        ("car", "<b/>", "object[0]/name", "every object has one name"),
        ("<name>", "<name>x</name><name>", "object[0]/name", "is ['x', 'car']; every object has one name"),
        (CORNERS, "", "object[0]/bndbox", "is missing, but every object needs a box"),
        (CORNERS, CORNERS * 2, "object[0]/bndbox", "is missing, but every object needs a box"),
        (CORNERS, "<robndbox/>", "object[0]/bndbox", "the box is rotated (robndbox)"),
        ("<xmax>40</xmax>", "", "object[0]/bndbox/xmax", "is missing; it must be a number"),
        ("40", "wide", "object[0]/bndbox/xmax", "is 'wide'"),
        ("40", "nan", "object[0]/bndbox/xmax", "is 'nan'"),
        ("40", "sNaN", "object[0]/bndbox/xmax", "is 'sNaN'"),
        ("40", "Infinity", "object[0]/bndbox/xmax", "is 'Infinity'"),
        ("40", "1e999999999", "object[0]/bndbox", "exceeds 1e+150 pixels"),
        ("40", "5", "object[0]/bndbox", "ends before it begins"),
        ("</name>", "</name><confidence>97</confidence>", "object[0]/confidence", "is '97'; it must be in [0, 1]"),
        ("</name>", "</name><confidence>high</confidence>", "object[0]/confidence", "is 'high'"),
        ("</name>", "</name><confidence/>", "object[0]/confidence", "is ''"),
        ("<object>", "<size><width>-3</width></size><object>", "size/width", "is '-3'; it must be a whole number"),
        ("<object>", "<size><height>x</height></size><object>", "size/height", "is 'x'"),
        ("<object>", "<size><height>1e10</height></size><object>", "size/height", "is '1e10'"),
    ],
)
def test_what_has_no_meaning_is_refused_with_its_place(
    old: str, new: str, place: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(npd.InvalidInputError) as caught:
        read(tmp_path, annotation(OBJECT.replace(old, new, 1)))
    assert reason in str(caught.value)
    assert [each.partition("a.xml: ")[2] for each in caught.value.problems["place"]] == [place]


def test_two_files_about_one_image_are_refused(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / f"{name}.xml").write_text(annotation())
    with pytest.raises(npd.InvalidInputError, match="2.xml is about 'a.jpg', and so is 1.xml"):
        npd.read_voc(tmp_path)


def test_a_file_that_is_missing_is_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        npd.read_voc(tmp_path / "none.xml")


ITEMS = pd.DataFrame({"reference_id": ["x/a.jpg", "b.png"], "width": [640, None], "height": [480, None]})
BOXES = pd.DataFrame({"reference_id": ["x/a.jpg"], "label": ["car"], "x": 10.5, "y": -0.0, "width": 30, "height": 0.1})


def test_files_are_written_in_the_form_of_voc(tmp_path: Path) -> None:
    items = ITEMS.assign(metadata=[{"folder": "x", "segmented": 0, "@verified": "yes", "size": {"depth": 3}}, None])
    metadata = {"pose": "Left & <right>", "difficult": 1, "attributes": {"the colour": "red"}, "occluded": ""}
    npd.to_voc(items, BOXES.assign(confidence=0.5, metadata=[metadata]), tmp_path / "new")
    assert (tmp_path / "new" / "x" / "a.xml").read_text() == (
        """<annotation verified="yes">
	<folder>x</folder>
	<filename>x/a.jpg</filename>
	<size>
		<width>640</width>
		<height>480</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>car</name>
		<pose>Left &amp; &lt;right&gt;</pose>
		<difficult>1</difficult>
		<occluded />
		<attributes>
			<attribute>
				<name>the colour</name>
				<value>red</value>
			</attribute>
		</attributes>
		<bndbox>
			<xmin>10.5</xmin>
			<ymin>0</ymin>
			<xmax>40.5</xmax>
			<ymax>0.1</ymax>
		</bndbox>
		<confidence>0.5</confidence>
	</object>
</annotation>
"""
    )
    assert (tmp_path / "new" / "b.xml").read_text() == "<annotation>\n\t<filename>b.png</filename>\n</annotation>\n"
    back = npd.read_voc(tmp_path / "new")
    assert back.items["metadata"].tolist() == [
        {},
        {"folder": "x", "segmented": 0, "@verified": "yes", "size": {"depth": 3}},
    ]
    assert back.annotations["metadata"].tolist() == [metadata]


def test_what_xml_has_no_form_for_is_left_out_with_a_warning(tmp_path: Path) -> None:
    items = ITEMS.assign(metadata=[{"filename": "z.jpg", "size": "big", "a b": 1}, {}])
    metadata = {"segmentation": [[1, 2]], "one": [1], "name": "x", "text": " x ", "attributes": {"\0": 1, "k": "v"}}
    boxes = BOXES.assign(metadata=[{**metadata, "none": None, "empty": [], "kept": [1, 2], "flag": True}])
    with pytest.warns(npd.NucleusWarning) as caught:
        npd.to_voc(items, boxes, tmp_path)
    assert str(caught[0].message) == (
        "The metadata 'a b', 'attributes.\\x00', 'filename', 'name', 'one', 'segmentation', 'size', 'text' is left "
        "out, because VOC's XML cannot represent it."
    )
    back = npd.read_voc(tmp_path)
    assert back.annotations["metadata"].tolist() == [{"kept": ["1", "2"], "flag": "1", "attributes": {"k": "v"}}]
    assert back.items["reference_id"].tolist() == ["b.png", "x/a.jpg"]


@pytest.mark.parametrize(
    ("items", "boxes", "reason"),
    [
        (ITEMS, BOXES.assign(label=" car"), "row 0: column 'label': has white space around it"),
        (ITEMS, BOXES.assign(label="c\0r"), "row 0: column 'label': holds the character '\\x00'"),
        (
            ITEMS.assign(reference_id=["x/a.jpg", "b\x01.jpg"]),
            BOXES,
            "row 1: column 'reference_id': holds the character",
        ),
        (ITEMS.assign(reference_id=["x/a.jpg", "../b.jpg"]), BOXES, "is '../b.jpg', which leaves the folder"),
        (ITEMS.assign(reference_id=["x/a.jpg", "x/a.png"]), BOXES, "has the same file, 'x/a.xml'"),
        (ITEMS, BOXES.assign(width=-1), "row 0: column 'width'"),
        (ITEMS, BOXES.assign(reference_id="c.jpg"), "row 0: column 'reference_id': is 'c.jpg'"),
    ],
)
def test_what_cannot_be_written_is_refused_by_row(items: Any, boxes: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(npd.InvalidInputError) as caught:
        npd.to_voc(items, boxes, tmp_path / "out")
    assert reason in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    assert npd.read_voc(tmp_path).items.empty
    (tmp_path / "a.jpg").write_bytes(b"an image")
    with pytest.raises(npd.InvalidInputError, match=r"contains no \.xml file, of which VOC has one per image"):
        npd.read_voc(tmp_path)
    (tmp_path / "A.XML").write_text("<annotation><filename>a.jpg</filename></annotation>")
    assert npd.read_voc(tmp_path).items["reference_id"].tolist() == ["a.jpg"]
