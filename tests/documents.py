"""Documents of every kind, made here: whole ones, and hostile ones."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

MARK = "The lantern of Eddystone burns at dusk."
"""A sentence that every document holds."""
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Target="word/document.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
)


def pdf(pages: Sequence[str], *, encrypted: bool = False, more: Sequence[bytes] = ()) -> bytes:
    """A PDF whose pages have these lines; `more` are further objects, which nothing refers to."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * place) for place in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for place, page in enumerate(pages):
        content = b"BT /F1 11 Tf 14 TL 50 780 Td %s ET" % b" ".join(_shown(line) for line in page.split("\n"))
        packed = zlib.compress(content)
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents %d 0 R/Resources<</Font<</F1 3 0 R>>>>>>"
            % (5 + 2 * place),
            b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(packed), packed),
        ]
    objects += more
    trailer = b"/Root 1 0 R/Size %d" % (len(objects) + 1)
    if encrypted:
        lock = b"<%s>" % (b"5a" * 32)
        trailer += b"/ID[<00><00>]/Encrypt<</Filter/Standard/V 1/R 2/P -4/O %s/U %s>>" % (lock, lock)
    return _laid(objects, trailer)


def _shown(line: str) -> bytes:
    words = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")
    return b"(%s) Tj T*" % words if line else b"T*"


def _laid(objects: Sequence[bytes], trailer: bytes) -> bytes:
    """Objects as a file with its table."""
    made = io.BytesIO()
    made.write(b"%PDF-1.4\n")
    places: list[int] = []
    for number, body in enumerate(objects, 1):
        places.append(made.tell())
        made.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = made.tell()
    made.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    made.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    made.write(b"trailer<<%s>>\nstartxref\n%d\n%%%%EOF\n" % (trailer, table))
    return made.getvalue()


def packed(files: Mapping[str, bytes | str], *, stored: bool = False) -> bytes:
    """A zip archive; with `stored`, its first file is not compressed."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, (name, content) in enumerate(files.items()):
            archive.writestr(name, content, zipfile.ZIP_STORED if stored and not place else None)
    return made.getvalue()


def zeros(name: str, megabytes: int) -> bytes:
    """A docx one of whose files unpacks to so many megabytes of zeros; made without holding them."""
    made = io.BytesIO(docx(MARK))
    block = b"\0" * (1 << 20)
    with (
        zipfile.ZipFile(made, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for _ in range(megabytes):
            file.write(block)
    return made.getvalue()


def docx(text: str, *, prologue: str = "") -> bytes:
    """A Word document: a heading, then a paragraph a line; `prologue` stands before the XML of the document."""
    style = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    lines = ["Lights", *text.split("\n")]
    body = "".join(
        f"<w:p>{'' if place else style}<w:r><w:t>{line}</w:t></w:r></w:p>" for place, line in enumerate(lines)
    )
    document = f'<?xml version="1.0"?>{prologue}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    styles = (
        f'<?xml version="1.0"?><w:styles xmlns:w="{_WORD}"><w:style w:type="paragraph" w:styleId="Heading1">'
        '<w:name w:val="heading 1"/></w:style></w:styles>'
    )
    relations = (
        '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Target="styles.xml" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles"/></Relationships>'
    )
    return packed(
        {
            "[Content_Types].xml": _TYPES,
            "_rels/.rels": _RELATIONS,
            "word/document.xml": document,
            "word/styles.xml": styles,
            "word/_rels/document.xml.rels": relations,
        }
    )


def pptx(slides: Sequence[tuple[str, str]]) -> bytes:
    """Slides with a title and a text."""
    from pptx import Presentation  # noqa: PLC0415  # heavy, and only some tests need it

    presentation = Presentation()
    for title, text in slides:
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        assert slide.shapes.title is not None
        slide.shapes.title.text = title
        slide.placeholders[1].text = text  # pyright: ignore[reportAttributeAccessIssue] - a placeholder has text
    made = io.BytesIO()
    presentation.save(made)
    return made.getvalue()


def xlsx(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """Sheets with rows."""
    from openpyxl import Workbook  # noqa: PLC0415  # as above

    book = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    made = io.BytesIO()
    book.save(made)
    return made.getvalue()


def epub(chapters: Sequence[str]) -> bytes:
    """A book whose chapters have these bodies; the archive holds them in the opposite order."""
    items = "".join(f'<item id="c{n}" href="c%20{n}.xhtml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    names = {
        f"OEBPS/c {n}.xhtml": '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title/></head>'
        f"<body>{chapters[n]}</body></html>"
        for n in reversed(range(len(chapters)))
    }
    return packed(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
            "OEBPS/book.opf": f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest>'
            f"<spine>{spine}</spine></package>",
            **names,
        },
        stored=True,
    )


def html(body: str) -> bytes:
    """A page."""
    return f"<!doctype html><html><head><title>A page</title></head><body>{body}</body></html>".encode()


BOMB = '<!DOCTYPE lolz [<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefghi", "bcdefghij", strict=True)
) + "]>"  # fmt: skip
"""Entities that expand to a gigabyte."""


def whole() -> dict[str, bytes]:
    """A good document for every suffix of the main kinds; each holds MARK."""
    lights = f"Lights\n{MARK}"
    return {
        "lights.txt": lights.encode(),
        "lights.md": f"# Lights\n\n{MARK}\n".encode(),
        "lights.html": html(f"<h1>Lights</h1><p>{MARK}</p>"),
        "lights.json": f'{{"lights": {{"text": "{MARK}"}}}}'.encode(),
        "lights.jsonl": f'{{"text": "{MARK}"}}\n{{"text": "two"}}\n'.encode(),
        "lights.csv": f"name,text\nEddystone,{MARK}\n".encode(),
        "lights.tsv": f"name\ttext\nEddystone\t{MARK}\n".encode(),
        "lights.py": f'def light():\n    """{MARK}"""\n'.encode(),
        "lights.pdf": pdf([lights, "The second page."]),
        "lights.docx": docx(MARK),
        "lights.pptx": pptx([("Lights", MARK), ("More", "The second slide.")]),
        "lights.xlsx": xlsx({"Lights": [("name", "text"), ("Eddystone", MARK)]}),
        "lights.epub": epub([f"<h1>Lights</h1><p>{MARK}</p>", "<p>The second chapter.</p>"]),
    }
