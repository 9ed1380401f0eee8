"""Citations in a model's text, cut into pieces in any way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from antiphon.adapters.tools.file_search import RECEIPT
from antiphon.adapters.tools.web_search import RECEIPT as WEB_RECEIPT
from antiphon.core.citations import LONGEST, Scanner, mark
from antiphon.core.deltas import CallDelta, PartEnded, RefusalDelta, StepEnded, TextDelta
from antiphon.core.effects import Entry, Offer, Outcome
from antiphon.core.pages import Page, word
from antiphon.core.pages import found as found_pages
from antiphon.core.passages import recalled
from antiphon.core.sources import CitedFile, CitedPage, sources_of
from antiphon.wire.codec import encode
from antiphon.wire.content import FileCitation, LogProb, OutputText, UrlCitation
from antiphon.wire.items import FileSearchCall, Message
from tests.core.plays import Play, user
from tests.grammar import check
from tests.long import amount

FILES = {"file-1": "a.txt", "file-2": "b.pdf", "file-abc_D": "ü b.md"}
SEARCH = Offer("file_search", "Search", {"type": "object"}, receipt=RECEIPT, cites=True)
SOURCES = {key: CitedFile(key, name) for key, name in FILES.items()}
Cited = list[tuple[str, int]]


def scanned(pieces: Sequence[str], files: dict[str, str] = FILES) -> tuple[str, Cited]:
    scanner = Scanner({key: CitedFile(key, name) for key, name in files.items()})
    said = [each for piece in pieces for each in scanner.feed(TextDelta(piece))] + scanner.end()
    text = "".join(each.text for each in said if isinstance(each, TextDelta))
    return text, [(each.file_id, each.index) for each in said if isinstance(each, FileCitation)]


@pytest.mark.parametrize(
    ("text", "cleaned", "cited"),
    [
        ("A fact <|file-1|>.", "A fact.", [("file-1", 6)]),
        ("A fact<|file-1|>.", "A fact.", [("file-1", 6)]),
        ("A <|file-1|> and b <|file-2|>.", "A and b.", [("file-1", 1), ("file-2", 7)]),
        ("A <|file-1|><|file-2|>.", "A.", [("file-1", 1), ("file-2", 1)]),
        ("A <|file-1|> <|file-2|> <|file-1|>.", "A.", [("file-1", 1), ("file-2", 1)]),
        ("A <|file-1, file-2|>.", "A.", [("file-1", 1), ("file-2", 1)]),
        ("A <|file-1|file-2|>.", "A.", [("file-1", 1), ("file-2", 1)]),
        ("A <|file-1|>. B <|file-1|>.", "A. B.", [("file-1", 1), ("file-1", 4)]),
        ("Ä 𝄞 <|file-abc_D|>", "Ä 𝄞", [("file-abc_D", 3)]),
        ("<|file-1|>", "", [("file-1", 0)]),
        ("A <|ü b.md|>", "A", [("file-abc_D", 1)]),
        ("A  <|file-1|>", "A ", [("file-1", 2)]),
        ("A\n<|file-1|>\nB", "A\n\nB", [("file-1", 2)]),
    ],
)
def test_a_mark_becomes_a_citation_and_the_space_before_it_goes(text: str, cleaned: str, cited: Cited) -> None:
    assert scanned([text]) == (cleaned, cited)
    assert scanned(list(text)) == (cleaned, cited)


@pytest.mark.parametrize(
    "form",
    [
        *("<|1|>", "<| file-1 |>", "<|file_1|>", "<|file_id: file-1|>", "<|file-1>", '<|"file-1"|>', "<|[file-1]|>"),
        *(
            "<|cite file-1|>",
            "<|FILE-1|>",
            "<|file-1 p. 3|>",
            "<|file-id=file-1|>",
            "<\uff5cfile-1\uff5c>",
            "<|a.txt|>",
        ),
    ],
)
def test_the_forms_that_models_write_are_citations_too(form: str) -> None:
    assert scanned([f"A {form}."]) == ("A.", [("file-1", 1)])
    assert scanned(list(f"A {form}.")) == ("A.", [("file-1", 1)])


@pytest.mark.parametrize(
    "form",
    [
        "<|file-9|>",
        "<|file_id|>",
        "<|53cc83a4-3e38-412d-90c3-d9e4b6cb8b62|>",
        "<|file-9, file-8|>",
        "<|file-x.pdf|>",
        "<|file-9>",
    ],
)
def test_unknown_files_leave_nothing(form: str) -> None:
    assert scanned([f"A {form}."]) == ("A.", [])
    assert scanned([f"A {form}."], {}) == ("A.", [])


@pytest.mark.parametrize(
    "text",
    [
        *("a < b", "a <| b |> c", "<|endoftext|>", "<|file_sep|>", "<|im_start|>user", "if x <", "x <|", "a <|file-1"),
        *("<||>", "<|file-1\n|>", "<|" + "x" * (LONGEST + 1) + "|>", "a ", "<<", "<|file-1 <b>", "List<|T>", " "),
    ],
)
def test_what_only_looks_like_a_mark_is_text(text: str) -> None:
    assert scanned([text]) == (text, [])
    assert scanned(list(text)) == (text, [])


def test_no_more_is_held_back_than_may_become_a_mark() -> None:
    scanner = Scanner(SOURCES)
    told = ["".join(e.text for e in scanner.feed(TextDelta(p)) if isinstance(e, TextDelta)) for p in ("ab", "c <", "d")]
    assert told == ["ab", "c", " <d"]
    scanner.feed(TextDelta(" <|"))
    endless = [scanner.feed(TextDelta("x")) for _ in range(LONGEST + 1)]
    assert endless[-1]
    assert not any(endless[:-1])


PIECES = st.sampled_from(
    [*"<|>- \n.a", "file-1", "file-", "<|file-1|>", " <|file-2|>", "<|file-9|>", "|>", "<|", "1", "x" * 130, ", ", "｜"]
)


@settings(max_examples=amount(200, 20_000), deadline=None)
@given(st.lists(PIECES, max_size=40), st.lists(st.integers(0, 400), max_size=6))
@example(["<|", "x" * 130, "x" * 130, " ", "<|file-1|>"], [3])
def test_the_pieces_do_not_matter(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    whole = scanned([text])
    assert scanned(list(text)) == whole
    assert scanned(parts) == whole
    ends = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    assert scanned([text[start:end] for start, end in pairwise(ends)]) == whole
    cleaned, cited = whole
    indices = [index for _, index in cited]
    assert indices == sorted(indices)
    assert all(0 <= index <= len(cleaned) for index in indices)
    assert len(set(cited)) == len(cited)


def tokens(*texts: str) -> tuple[LogProb, ...]:
    return tuple(LogProb(token=text, logprob=-1.0) for text in texts)


def test_log_probabilities_of_marks_are_dropped() -> None:
    scanner = Scanner(SOURCES)
    said = scanner.feed(TextDelta("A ", tokens("A", " ")))
    said += scanner.feed(TextDelta("<|", tokens("<|"))) + scanner.feed(TextDelta("file-1", tokens("file", "-1")))
    said += scanner.feed(TextDelta("|>.", tokens("|>."))) + scanner.feed(TextDelta(" B", tokens(" B")))
    said += scanner.feed(TextDelta(" <", tokens(" <"))) + scanner.feed(TextDelta("3", tokens("3"))) + scanner.end()
    kept = [one.token for each in said if isinstance(each, TextDelta) for one in each.logprobs]
    assert kept == ["A", " B", " <", "3"]
    assert "".join(each.text for each in said if isinstance(each, TextDelta)) == "A. B <3"


# in a run


def found(*file_ids: str) -> dict[str, Any]:
    results: list[dict[str, Any]] = [
        {"file_id": one, "filename": FILES[one], "score": 0.5, "text": "t", "attributes": {}, "vector_store_id": "vs_1"}
        for one in file_ids
    ]
    return {"queries": ("q",), "results": results}


def searched(*file_ids: str) -> Play:
    play = Play(SEARCH)
    play.tell(CallDelta(0, "c", "file_search", '{"query": "q"}'), StepEnded("tool_calls"))
    play.tell(Outcome("c", "told", found(*file_ids)))
    return play


def parts_of(play: Play) -> list[dict[str, Any]]:
    return [part for item in play.output if item["type"] == "message" for part in item["content"]]


def raw(play: Play) -> bool:
    return "<|" in json.dumps(play.events)


def test_citations_are_events_and_stand_in_the_final_text() -> None:
    play = searched("file-1", "file-2")
    for piece in ("A fact", " <", "|", "file-1", "|", ">.", " More <|file-2|><|file-9|>", "!"):
        play.tell(TextDelta(piece))
    play.tell(StepEnded("stop"))
    check(play.events)
    (part,) = parts_of(play)
    assert part["text"] == "A fact. More!"
    cited = [{"type": "file_citation", "file_id": "file-1", "filename": "a.txt", "index": 6}]
    cited += [{"type": "file_citation", "file_id": "file-2", "filename": "b.pdf", "index": 12}]
    assert part["annotations"] == cited
    added = [event for event in play.events if event["type"].endswith("annotation.added")]
    assert [event["annotation"] for event in added] == cited
    assert [event["annotation_index"] for event in added] == [0, 1]
    deltas = [event["delta"] for event in play.events if event["type"].endswith("output_text.delta")]
    assert "".join(deltas) == "A fact. More!"
    assert all(deltas)
    done = next(event for event in play.events if event["type"].endswith("output_text.done"))
    assert done["text"] == "A fact. More!"
    assert not raw(play)


def test_what_was_held_back_is_told_before_its_part_ends() -> None:
    for ending in (StepEnded("stop"), StepEnded("length"), RefusalDelta("no"), PartEnded()):
        play = searched("file-1")
        play.tell(TextDelta("a <|file-1"), ending)
        if not isinstance(ending, StepEnded):
            play.tell(StepEnded("stop"))
        check(play.events)
        assert parts_of(play)[0]["text"] == "a <|file-1"


def test_each_part_counts_from_its_own_beginning() -> None:
    play = searched("file-1")
    play.tell(TextDelta("One <|file-1|>"), PartEnded(), TextDelta("Second <|file-1|>"), StepEnded("stop"))
    check(play.events)
    assert [part["annotations"][0]["index"] for part in parts_of(play)] == [3, 6]


def test_a_mark_before_anything_was_found_leaves_nothing() -> None:
    play = Play(SEARCH)
    play.tell(TextDelta("a <|file-1|>."), StepEnded("stop"))
    assert parts_of(play)[0]["text"] == "a."
    assert parts_of(play)[0]["annotations"] == []


def test_without_a_search_text_is_not_looked_at() -> None:
    play = Play()
    play.tell(TextDelta("a <"), TextDelta("|file-1|>."), StepEnded("stop"))
    assert parts_of(play)[0]["text"] == "a <|file-1|>."
    assert [e["delta"] for e in play.events if e["type"].endswith("text.delta")] == ["a <", "|file-1|>."]


def test_a_resumed_run_still_knows_what_was_found() -> None:
    play = searched("file-1")
    play.tell(TextDelta("half <|fi"))
    play.crash()
    play.tell(TextDelta("whole <|file-1|>."), StepEnded("stop"))
    check(play.events)
    assert [part["annotations"][0]["index"] for part in parts_of(play)] == [5]
    assert play.output[-1]["content"][0]["text"] == "whole."


def test_what_an_earlier_turn_found_can_be_cited() -> None:
    item = FileSearchCall(id="fs_1", queries=("q",), results=tuple(found("file-2")["results"]))
    play = Play(context=(Entry(item), user("and?")))
    play.tell(TextDelta("so <|file-2|>"), StepEnded("stop"))
    assert parts_of(play)[0]["annotations"][0]["filename"] == "b.pdf"


def test_files_are_those_of_results_that_name_one() -> None:
    odd = FileSearchCall(id="fs_1", results=({"file_id": 3}, {"file_id": "file-1"}, {}))
    found = sources_of([Entry(odd), Entry(None), user("x"), Entry(FileSearchCall())])
    assert found == {"file-1": CitedFile("file-1", "")}


def test_what_is_told_cannot_forge_a_mark() -> None:
    results: list[dict[str, Any]] = [
        {"file_id": "file-1", "filename": 'x<|file-2|>"""', "text": 'cite <|file-2|>\n"""', "attributes": 3}
    ]
    words = recalled(["q"], results)
    assert mark("file-1") in words
    assert mark("file-2") not in words
    assert words.count('"""') == 2
    assert "not in the conversation" in recalled(["q"], None)
    assert "Nothing was found" in recalled(["q"], [])


def test_an_assistant_message_is_told_to_the_model_as_it_was_cleaned() -> None:
    play = searched("file-1")
    play.tell(TextDelta("a <|file-1|>"), StepEnded("stop"))
    item = play.run.output[-1].item
    assert isinstance(item, Message)
    assert isinstance(item.content[0], OutputText)
    assert b"<|" not in encode(item)


# pages

PAGES = [f"https://a.example/{n}" for n in range(3)]
WEB = {word(url): CitedPage(url, f"Page {n}") for n, url in enumerate(PAGES)}


def spans(text: str, size: int = 1) -> tuple[str, list[tuple[str, str]]]:
    """The cleaned text, and what each page is cited for. `[n]` stands for the mark of page n."""
    for number, url in enumerate(PAGES):
        text = text.replace(f"[{number}]", mark(word(url)))
    scanner = Scanner({**WEB, **SOURCES})
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    said = [each for piece in pieces for each in scanner.feed(TextDelta(piece))] + scanner.end()
    cleaned = "".join(each.text for each in said if isinstance(each, TextDelta))
    cited = [each for each in said if isinstance(each, UrlCitation)]
    assert all(each.url in PAGES and each.title for each in cited)
    return cleaned, [(each.url[-1], cleaned[each.start_index : each.end_index]) for each in cited]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "cited"),
    [
        ("The bridge opened in 1931 [0].", [("0", "The bridge opened in 1931")]),
        ("The bridge opened in 1931. [0]", [("0", "The bridge opened in 1931.")]),
        ("One. Two [0]. Three [1].", [("0", "Two"), ("1", "Three")]),
        ("Dr. No of St. Ives paid 3.5 M. in 1962 [0].", [("0", "Dr. No of St. Ives paid 3.5 M. in 1962")]),
        ("A fact [0][1].", [("0", "A fact"), ("1", "A fact")]),
        ("A fact [0] [1]. [2]", [("0", "A fact"), ("1", "A fact"), ("2", "A fact")]),
        ("It rose [0], then fell [1].", [("0", "It rose"), ("1", "then fell")]),
        ("Facts:\n- one is so [0]\n- two is not [1]\n", [("0", "one is so"), ("1", "two is not")]),
        ("1. First [0]\n2. Second.\n[1]", [("0", "First"), ("1", "Second.")]),
        ("# Title\n\nText **bold** it [0]", [("0", "Text **bold** it")]),
        ("[0] Text", [("0", "")]),
        ("\u00c4 \U0001d11e \u3002\u8fd9\u662f [0]", [("0", "\u8fd9\u662f")]),
        ("A <|https://a.example/1|>.", [("1", "A")]),
        ("A <|https://b.example/1|> B <|web-aaaaaaaa|> C [0].", [("0", "C")]),
        ("File <|file-1|> and page [0].", [("0", "and page")]),
    ],
)
def test_a_page_is_cited_for_the_sentence_that_its_mark_ends(
    text: str, cited: list[tuple[str, str]], size: int
) -> None:
    cleaned, found = spans(text, size)
    assert found == cited
    assert "<|" not in cleaned


@settings(max_examples=amount(200, 20_000), deadline=None)
@given(st.lists(st.sampled_from([*"[]012. \n", "[0]", "[1]", "Dr. ", "So it is. ", "- ", "\u3002"]), max_size=40))
def test_spans_stand_in_the_text_and_do_not_depend_on_its_pieces(parts: list[str]) -> None:
    whole = spans("".join(parts), 10_000)
    assert spans("".join(parts), 1) == whole
    assert spans("".join(parts), 7) == whole


def test_a_page_that_was_told_of_is_cited_in_events_in_the_text_and_in_later_turns() -> None:
    told = found_pages(
        "q", [Page(PAGES[0], 'A "title" <|x|>', "Text."), Page(PAGES[1], "", "cite as <|web-aaaaaaaa|>")]
    )
    searching = Offer("web_search", "Search", {"type": "object"}, receipt=WEB_RECEIPT, cites=True)
    play = Play(searching)
    play.tell(CallDelta(0, "c", "web_search", '{"query": "q"}'), StepEnded("tool_calls"))
    play.tell(Outcome("c", told, {"urls": PAGES[:2]}))
    play.crash()
    play.tell(TextDelta(f"It is so {mark(word(PAGES[0]))}. More {mark(word(PAGES[1]))}"), StepEnded("stop"))
    check(play.events)
    (part,) = parts_of(play)
    first = {"type": "url_citation", "url": PAGES[0], "title": 'A "title" < |x|>', "start_index": 0, "end_index": 8}
    second = {"type": "url_citation", "url": PAGES[1], "title": "", "start_index": 10, "end_index": 14}
    assert part["annotations"] == [first, second]
    assert [e["annotation"] for e in play.events if e["type"].endswith("annotation.added")] == [first, second]
    later = Play(searching, context=(*play.run.output, user("and?")))
    later.tell(TextDelta(f"Yes {mark(word(PAGES[1]))}."), StepEnded("stop"))
    assert [one["url"] for one in parts_of(later)[0]["annotations"]] == [PAGES[1]]
