"""The contract of the port `Extractor`, kept by every kind; and what each kind makes of its documents."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from antiphon.adapters.extracting.reading import made
from antiphon.adapters.registry import kinds
from antiphon.ports.extractor import Extracted, ExtractionError, Extractor
from tests import documents
from tests.documents import MARK
from tests.process import DEADLINE
from tests.shared import SHARED, needs_shared

KINDS = kinds("extractors")
WHOLE = documents.whole()


def extractor(kind: str) -> Extractor:
    return made(kind, {}, Path())


def read(content: bytes, filename: str) -> Extracted:
    """By whoever claims the name."""
    suffix = Path(filename).suffix
    kind = next(kind for kind in KINDS if suffix in extractor(kind).suffixes)
    return extractor(kind).extract(content, filename)


def refused(content: bytes, filename: str) -> ExtractionError:
    with pytest.raises(ExtractionError) as caught:
        read(content, filename)
    return caught.value


def at(extracted: Extracted, place: int) -> str:
    """The line that begins at a place."""
    return extracted.text[place:].split("\n", 1)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_extractor_says_what_it_reads(kind: str) -> None:
    made_of = extractor(kind)
    assert made_of.suffixes
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in made_of.suffixes)
    assert all("/" in media and media == media.lower() for media in made_of.media)


def test_no_two_extractors_claim_the_same() -> None:
    suffixes = [suffix for kind in KINDS for suffix in extractor(kind).suffixes]
    media = [media for kind in KINDS for media in extractor(kind).media]
    assert len(suffixes) == len(set(suffixes))
    assert len(media) == len(set(media))


def test_every_suffix_of_openai_is_claimed() -> None:
    """Its table of file search, but for the binary format of Word before 2007."""
    named = ".c .cpp .cs .css .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh .tex .ts .txt".split()
    assert set(named) <= {suffix for kind in KINDS for suffix in extractor(kind).suffixes}


@pytest.mark.parametrize("filename", WHOLE)
def test_a_document_gives_its_text(filename: str) -> None:
    extracted = read(WHOLE[filename], filename)
    assert MARK in extracted.text
    assert extracted.text == extracted.text.strip("\0")
    assert extracted.text.encode()


@pytest.mark.parametrize("filename", WHOLE)
def test_places_lie_in_the_text_and_ascend(filename: str) -> None:
    extracted = read(WHOLE[filename], filename)
    for places in (extracted.pages, extracted.headings):
        assert list(places) == sorted(set(places))
        assert all(0 <= place < len(extracted.text) for place in places)
    assert extracted.pages[:1] in ((), (0,))


@pytest.mark.parametrize("filename", WHOLE)
def test_reading_is_pure(filename: str) -> None:
    assert read(WHOLE[filename], filename) == read(WHOLE[filename], filename)


@pytest.mark.parametrize("filename", WHOLE)
@pytest.mark.parametrize("content", [b"", b" \n\t\r\n"])
def test_an_empty_document_is_refused(filename: str, content: bytes) -> None:
    assert refused(content, filename).code == "invalid_file"


@pytest.mark.parametrize("filename", WHOLE)
def test_binary_content_is_refused(filename: str) -> None:
    error = refused(b"\x00\x01\x02\xfe\xff\x00\x80\x81" * 500, filename)
    assert error.code in {"invalid_file", "unsupported_file"}
    assert error.message.endswith(".")


@pytest.mark.parametrize("filename", ["lights.pdf", "lights.docx", "lights.pptx", "lights.xlsx", "lights.epub"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_document_cut_short_is_refused_or_read_in_part(filename: str, share: float) -> None:
    content = WHOLE[filename]
    try:
        assert read(content[: int(len(content) * share)], filename).text
    except ExtractionError as error:
        assert error.code == "invalid_file"


@pytest.mark.parametrize("filename", ["lights.docx", "lights.pptx", "lights.xlsx", "lights.epub"])
def test_an_archive_with_spoilt_bytes_is_refused(filename: str) -> None:
    content = bytearray(WHOLE[filename])
    for place in range(60, len(content) - 400, 97):
        content[place] ^= 0x55
    assert refused(bytes(content), filename).code in {"invalid_file", "unsupported_file"}


TEXT = "Café – naïve “quotes” cost 5 €.\nSecond line, which is longer than the first one."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("kind", ["text", "markdown", "code"])
def test_an_encoding_is_recognised(kind: str, encoding: str) -> None:
    assert extractor(kind).extract(TEXT.encode(encoding), "x").text == TEXT


def test_marks_of_utf_16_count_in_any_language() -> None:
    text = "灯台守は日没に灯をともす。\n二行目。"
    assert read(text.encode("utf-16"), "x.txt").text == text


def test_line_ends_become_one() -> None:
    assert read(b"a\r\nb\rc\n", "x.txt").text == "a\nb\nc\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Привет, мир: это не латиница", "cp1251"),
        ("灯台守は日没に灯をともす", "shift_jis"),
        ("灯塔在黄昏点亮", "gb18030"),
    ],
)
def test_an_encoding_that_is_not_certain_is_refused(text: str, encoding: str) -> None:
    error = refused(text.encode(encoding), "x.txt")
    assert error.code == "invalid_file"
    assert "UTF-8" in error.message


def test_a_few_broken_bytes_in_utf_8_are_shown_as_such() -> None:
    content = ("é" * 100).encode() + b"\xff" + ("ü" * 100).encode()
    assert read(content, "x.txt").text == "é" * 100 + "\ufffd" + "ü" * 100


def test_one_broken_byte_in_a_long_text_is_shown_as_such() -> None:
    content = b"a line of a log\n" * 500 + b"\x81" + b"another line\n" * 500
    assert read(content, "x.log").text.count("\ufffd") == 1


def test_headings_of_markdown_are_found_outside_of_code() -> None:
    text = (
        "---\ntitle: x\n---\n# One\ntext\n```\n# no\n```\n\nUnder\n=====\n"
        "~~~~\n~~~\n# no\n~~~~\n## Two ##\npara\ngraph\n---\n"
    )
    extracted = read(text.encode(), "x.md")
    assert extracted.text == text
    assert [at(extracted, place) for place in extracted.headings] == ["# One", "Under", "## Two ##"]


@pytest.mark.parametrize(
    ("filename", "text", "expected"),
    [
        ("x.py", "import a\n\n@wrap\ndef f(x):\n    return 1\n\nclass A:\n    async def g(self): ...\n", 3),
        ("x.ts", "export const a = 1\nexport default class A {\n}\nexport async function f() {\n}\n", 2),
        ("x.go", "package a\nfunc (s *S) F() {\n}\ntype S struct {\n}\n", 3),
        ("x.rs", "pub fn a() {}\nimpl A for B {\n    pub(crate) fn c() {}\n}\n", 3),
        ("x.c", "#include <a.h>\nint main(int n, char **v) {\n  f(n);\n}\nstatic int x;\nf();\n", 1),
        ("x.sql", "create table a (b int);\n-- no\nSELECT 1;\n", 1),
        ("x.tex", "\\section{One}\ntext\n\\subsection*{Two}\n", 2),
        ("x.toml", "a = 1\n[b]\nc = 2\n[[d]]\n", 2),
        ("x.sh", "set -e\nf() {\n}\nfunction g {\n}\n", 2),
    ],
)
def test_definitions_are_the_headings_of_code(filename: str, text: str, expected: int) -> None:
    extracted = read(text.encode(), filename)
    assert extracted.text == text
    assert len(extracted.headings) == expected


def test_a_page_is_read_as_it_is_seen() -> None:
    page = documents.html(
        "<script>no()</script><style>no</style><h1>One <b>t</b>wo</h1><p>a &amp;\n b<br>c</p><!-- no -->"
        "<ul><li>x<li>y<ol><li>z</ol></ul><template>no</template><h2></h2>"
        "<table><tr><th>k</th><th>v</th></tr><tr><td>a<p>b</p></td><td>1</td></tr></table>"
        "<pre>\n  keep\n   this</pre><p>an <img alt='image' src='http://no.invalid/'> end</p>"
    )
    extracted = read(page, "x.html")
    assert extracted.text == (
        "A page\n\nOne two\n\na & b\nc\n\n- x\n- y\n- z\n\nk | v\na b | 1\n\n  keep\n   this\n\nan [image] end"
    )
    assert [at(extracted, place) for place in extracted.headings] == ["One two"]


def test_the_encoding_that_a_page_declares_counts() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body>Привет</body></html>'.encode("cp1251")
    assert read(page, "x.html").text == "Привет"


@pytest.mark.parametrize("opening", ["<div>", "<b>", "<p><i><b>", "<table><tr><td>", "<svg><g>"])
def test_a_page_nested_without_end_is_refused_at_once(opening: str) -> None:
    assert refused(documents.html(opening * 100_000 + "x"), "x.html").code == "invalid_file"


def test_json_is_lines_with_their_paths() -> None:
    content = b'{"a": {"b": 1.50}, "tags": ["x", 2, null], "list": [{"n": "one"}, {"n": "two", "m": {}}], "t": true}'
    extracted = read(content, "x.json")
    assert (
        extracted.text == "a.b: 1.5\ntags: x, 2, null\n\nlist[0].n: one\n\nlist[1].n: two\nlist[1].m: (empty)\nt: true"
    )
    assert [at(extracted, place) for place in extracted.headings] == ["list[0].n: one", "list[1].n: two"]


def test_what_only_looks_like_json_is_read_as_text() -> None:
    text = '{\n  // a comment\n  "a": 1,\n}\n'
    assert read(text.encode(), "tsconfig.json").text == text


@pytest.mark.parametrize("depth", [300, 5_000, 1_000_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_json_nested_without_end_is_refused(depth: int, opening: str, closing: str) -> None:
    error = refused((opening * depth + "1" + closing * depth).encode(), "x.json")
    assert error.code == "invalid_file"
    assert "nested" in error.message


def test_a_path_without_end_is_shown_by_its_end() -> None:
    extracted = read(('{"' + "k" * 10_000 + '": {"last": 1}}').encode(), "x.json")
    assert len(extracted.text) < 300
    assert extracted.text.endswith("k.last: 1")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_rows_carry_their_headers(delimiter: str) -> None:
    rows = ["name,price,note", "lamp,5,", '"oil\nlamp",7,"say ""x"""']
    extracted = read("\n".join(rows).replace(",", delimiter).encode(), "x.csv")
    assert extracted.text == 'name: lamp\nprice: 5\n\nname: oil lamp\nprice: 7\nnote: say "x"'


def test_columns_without_names_are_numbered() -> None:
    assert read(b"1,2\n3,4\n", "x.csv").text == "column 1: 1\ncolumn 2: 2\n\ncolumn 1: 3\ncolumn 2: 4"


@needs_shared
def test_the_recorded_pdf_is_readable() -> None:
    extracted = read((SHARED / "data" / "models.pdf").read_bytes(), "models.pdf")
    assert (
        "Llama 4 Maverick is a Mixture-of-Experts (MoE) model with 17 billion active parameters and 128 experts."
        in extracted.text
    )
    assert "It codifies best practices across" in extracted.text
    assert extracted.pages == (0,)


def test_pages_of_a_pdf_are_kept() -> None:
    extracted = read(documents.pdf(["First page.", "", "Third page."]), "x.pdf")
    assert [at(extracted, place) for place in extracted.pages] == ["First page.", "", "Third page."]


def test_words_and_paragraphs_of_a_pdf_are_mended() -> None:
    page = (
        "The keeper climbs the tower at dusk and trims the lamp with great care and pati-\n"
        "ence, as the rules of the service have asked of keepers for a hundred years and\n"
        "more. A well-\n"
        "Known state-of-the-\n"
        "art light needs no name.\n"
        "1. Wind the clock that turns the lens, and note the time that you did it in the log.\n"
        "2. Trim the wick."
    )
    assert read(documents.pdf([page]), "x.pdf").text == (
        "The keeper climbs the tower at dusk and trims the lamp with great care and patience, as the rules of the "
        "service have asked of keepers for a hundred years and more. A well-Known "
        "state-of-the-art light needs no name.\n"
        "1. Wind the clock that turns the lens, and note the time that you did it in the log.\n"
        "2. Trim the wick."
    )


def test_a_scan_says_that_it_has_no_text() -> None:
    error = refused(documents.pdf(["", ""]), "x.pdf")
    assert error.code == "invalid_file"
    assert "no text" in error.message


def test_an_encrypted_pdf_says_so() -> None:
    error = refused(documents.pdf([MARK], encrypted=True), "x.pdf")
    assert error.code == "invalid_file"
    assert "encrypted" in error.message


def test_a_pdf_has_at_most_so_many_pages() -> None:
    with pytest.raises(ExtractionError, match="3 pages; at most 2"):
        made("pdf", {"pages": 2}, Path()).extract(documents.pdf(["a", "b", "c"]), "x.pdf")


def test_a_word_document_has_headings_and_plain_words() -> None:
    extracted = read(documents.docx("snake_case * and [brackets]"), "x.docx")
    assert extracted.text == "# Lights\n\nsnake_case * and [brackets]"
    assert extracted.headings == (0,)


def test_slides_are_pages() -> None:
    extracted = read(documents.pptx([("One", "a\nb"), ("Two", "<!-- Slide number: 9 -->\nc")]), "x.pptx")
    assert [at(extracted, place) for place in extracted.pages] == ["# One", "# Two"]
    assert "a\nb" in extracted.text
    assert extracted.text.endswith("<!-- Slide number: 9 -->\nc")


def test_sheets_are_rows_with_headers() -> None:
    sheets = {"Stock": [("item", "price"), ("lamp", 5), ("oil", 2.5)], "Empty": [], "More": [("a",), ("x",), ("y",)]}
    extracted = read(documents.xlsx(sheets), "x.xlsx")
    assert extracted.text == "Stock\n\nitem: lamp\nprice: 5\n\nitem: oil\nprice: 2.5\n\nMore\n\na: x\na: y"
    assert [at(extracted, place) for place in extracted.headings] == ["Stock", "More"]


def test_chapters_are_in_reading_order() -> None:
    extracted = read(documents.epub(["<h1>A</h1><p>one</p>", "<img src='x'/>", "<h2>B</h2>two"]), "x.epub")
    assert extracted.text == "A\n\none\n\nB\n\ntwo"
    assert [at(extracted, place) for place in extracted.headings] == ["A", "B"]


@pytest.mark.parametrize("filename", ["x.docx", "x.xlsx", "x.epub"])
def test_an_archive_of_anything_else_is_no_document(filename: str) -> None:
    assert refused(documents.packed({"a.txt": "hello"}), filename).code in {"unsupported_file", "invalid_file"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_never_expanded(encoding: str) -> None:
    bomb = documents.docx("&j;", prologue=documents.BOMB)
    assert refused(bomb, "x.docx").code == "invalid_file"
    container = f"{documents.BOMB}<a>&j;</a>".encode(encoding)
    book = documents.packed({"mimetype": "application/epub+zip", "META-INF/container.xml": container})
    assert "entities" in refused(book, "x.epub").message


def test_a_document_may_unpack_to_so_much() -> None:
    error = refused(documents.zeros("word/media/image1.png", 300), "x.docx")
    assert error.code == "invalid_file"
    assert "256 MB" in error.message


_WITHOUT = """
import sys
import subprocess
import sys
from pathlib import Path
sys.modules.update(markitdown=None, openpyxl=None)
from antiphon.adapters.extracting.reading import made
from antiphon.ports.extractor import ExtractionError
try:
    made("office", {}, Path()).extract(sys.stdin.buffer.read(), "x")
except ExtractionError as error:
    print(error.code, error.message)
"""


@pytest.mark.parametrize("filename", ["lights.docx", "lights.pptx", "lights.xlsx"])
def test_without_the_extra_it_is_said_which_one_is_missing(filename: str) -> None:
    command = [sys.executable, "-c", _WITHOUT]
    ended = subprocess.run(command, input=WHOLE[filename], capture_output=True, timeout=DEADLINE, check=True)
    said = ended.stdout.decode()
    assert said.startswith("unsupported_file ")
    assert "antiphon[documents]" in said
