"""The built-in model: what it says, what it calls, and that it makes nothing up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import pytest
from jsonschema import validate
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from antiphon.adapters.clock import SeededClock
from antiphon.adapters.models.extractive import BATCH, MODEL, Extractive
from antiphon.adapters.tools.web_search import DESCRIPTION, PARAMETERS, RECEIPT
from antiphon.core.answers import ABLE, PART, SELF, UNFIT
from antiphon.core.assembler import Assembler
from antiphon.core.deltas import CallDelta, Delta, StepEnded, TextDelta
from antiphon.core.effects import Entry, Exchange, Generate, Offer
from antiphon.wire.chat import ChatRequest
from antiphon.wire.content import InputFile, InputImage, InputText, OutputText
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Message
from antiphon.wire.responses import CreateResponse, JsonObjectFormat, JsonSchemaFormat, TextConfig
from antiphon.wire.tools import AllowedTools, NamedChoice

DEADLINE = 10.0
Json = dict[str, Any]

SHIP = """# The Aurora

The Aurora is a research ship. It was built in Bergen in 1987. She carries 42 sailors and 12 scientists.

## Engines

Two diesel engines drive the ship at up to 14 knots. They burn 9 tonnes of fuel a day.

## Crew

- Captain Ingrid Solheim has commanded the ship since 2019.
- The cook is Tom Hale.
"""
STRING: Json = {"type": "string"}


def schema(*required: str, **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


WEATHER = Offer("get_weather", "Get current temperature for a given location.", schema(location=STRING))
CLOCK = Offer("get_time", "Get current time for a specified location", schema(location=STRING))
SEARCH = Offer("web_search", DESCRIPTION, PARAMETERS, receipt=RECEIPT)
CLIENT_SEARCH = Offer("knowledge_search", "Search for information in a database.", PARAMETERS)


def user(*texts: str) -> Entry:
    return Entry(Message(role="user", content=tuple(InputText(text=text) for text in texts)))


def assistant(text: str) -> Entry:
    return Entry(Message(role="assistant", content=(OutputText(text=text),)))


def called(name: str, arguments: Json, output: str) -> tuple[Entry, Entry]:
    call = FunctionCall(call_id="c", name=name, arguments=json.dumps(arguments))
    return Entry(call), Entry(FunctionCallOutput(call_id="c", output=output))


def searched(query: str, *pages: tuple[str, str, str]) -> Entry:
    found = [{"url": url, "title": title, "content": content, "score": 0.5} for url, title, content in pages]
    output = json.dumps({"query": query, "top_k": found})
    return Entry(None, Exchange("c", "web_search", json.dumps({"query": query}), output))


async def heard(*context: Entry | str, text: TextConfig | None = None, **fields: Any) -> list[list[Delta]]:
    request = CreateResponse(model=MODEL, instructions=fields.pop("instructions", None), text=text or TextConfig())
    entries = tuple(user(one) if isinstance(one, str) else one for one in context)
    model = Extractive(SeededClock())
    async with asyncio.timeout(DEADLINE), aclosing(model.stream(Generate(MODEL, request, entries, **fields))) as stream:
        return [list(batch) async for batch in stream]


def text_of(batches: Sequence[Sequence[Delta]]) -> str:
    return "".join(delta.text for batch in batches for delta in batch if isinstance(delta, TextDelta))


async def says(*context: Entry | str, **fields: Any) -> str:
    batches = await heard(*context, **fields)
    assert not any(isinstance(delta, CallDelta) for batch in batches for delta in batch)
    return text_of(batches)


async def calls(*context: Entry | str, **fields: Any) -> tuple[str, Any]:
    """The name and the arguments of the call."""
    batches = await heard(*context, **fields)
    assert text_of(batches) == ""
    deltas = [delta for batch in batches for delta in batch if isinstance(delta, CallDelta)]
    ended = batches[-1][-1]
    assert isinstance(ended, StepEnded)
    assert ended.finish == "tool_calls"
    return deltas[0].name or "", json.loads("".join(delta.arguments or "" for delta in deltas))


# what it is


@pytest.mark.parametrize(
    "question", ["Who are you?", "What are you?", "which model is this?", "Are you an AI?", "What can you do?"]
)
async def test_it_says_what_it_is(question: str) -> None:
    assert await says(question) == ABLE
    assert SELF in ABLE


@pytest.mark.parametrize(
    "question", ["What is the capital of France?", "Write me a poem about rain", "Who won the world cup?"]
)
async def test_it_says_so_when_nothing_fits(question: str) -> None:
    assert await says(question) == UNFIT
    assert await says(user(SHIP, question)) == UNFIT


@pytest.mark.parametrize(
    ("greeting", "answer"),
    [
        ("Hi", "Hello!"),
        ("hello there!", "Hello!"),
        ("Say hello", "Hello!"),
        ("Say goodbye", "Goodbye!"),
        ("Thanks a lot", "You"),
    ],
)
async def test_small_talk_is_answered_without_tools(greeting: str, answer: str) -> None:
    assert (await says(greeting, offers=(SEARCH, WEATHER))).startswith(answer)


async def test_it_repeats_what_it_is_told_to_say() -> None:
    assert await says('Say "One two three"') == "One two three"
    assert await says("Repeat: a b c") == "a b c"


async def test_it_cannot_see_images_and_says_so() -> None:
    image = Entry(Message(role="user", content=(InputText(text="What is this?"), InputImage(image_url="data:x"))))
    assert (await says(image)).startswith("I cannot see images.")


async def test_an_empty_conversation_is_answered() -> None:
    assert await says()
    assert await says("")
    assert await says(" \n ")


async def test_one_model_is_listed() -> None:
    (card,) = await Extractive(SeededClock()).models()
    assert (card.id, card.owned_by) == ("antiphon-extractive", "antiphon")


# answering from the conversation


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Where was the Aurora built?", "It was built in Bergen in 1987."),
        ("How many sailors does she carry?", "She carries 42 sailors and 12 scientists."),
        ("Who is the captain?", "- Captain Ingrid Solheim has commanded the ship since 2019."),
        ("How fast do the engines drive the ship?", "Two diesel engines drive the ship at up to 14 knots."),
    ],
)
async def test_it_answers_with_sentences_of_the_text_word_for_word(question: str, answer: str) -> None:
    for context in (
        [user(SHIP, question)],
        [user(question, SHIP)],
        [f"{SHIP}\n\n{question}"],
        [f"{question}\n\n{SHIP}"],
    ):
        said = await says(*context)
        assert answer in said
        assert all(sentence.strip() in " ".join(SHIP.split()) for sentence in said.split("\n"))
    assert answer in await says(SHIP, assistant("I have read it."), question)


async def test_a_question_and_facts_may_stand_in_one_paragraph() -> None:
    assert await says("My name is Bob and I live in Oslo. What is my name?") == "My name is Bob and I live in Oslo."
    assert "blue" in await says("My favourite colour is blue.", assistant("Noted."), "What is my favourite colour?")


async def test_a_follow_up_finds_its_subject_in_the_question_before() -> None:
    first = user(SHIP, "How many scientists are on the Aurora?")
    assert "1987" in await says(first, assistant("12"), "And when was it built?")
    assert "Bergen" in await says(first, assistant("12"), "Where was it built?")


async def test_a_summary_is_the_beginning() -> None:
    for question in ("Summarise this text.", "What is this text about?", "Give me a summary"):
        assert (await says(user(SHIP, question))).startswith("The Aurora is a research ship.")
    assert (await says(SHIP * 3)).startswith("The Aurora is a research ship.")


async def test_a_file_given_inline_is_read() -> None:
    data = "data:text/plain;base64,VGhlIGtleSBpcyB1bmRlciB0aGUgbWF0Lg=="
    file = InputFile(file_data=data, filename="notes.txt")
    context = Entry(Message(role="user", content=(file, InputText(text="Where is the key?"))))
    assert await says(context) == "The key is under the mat."


async def test_instructions_are_the_last_text_to_be_searched() -> None:
    fact = "The office opens at nine."
    assert await says("When does the office open?", instructions=fact) == fact
    system = Entry(Message(role="system", content=(InputText(text=fact),)))
    assert await says(system, "When does the office open?") == fact
    assert "ten" in await says(user("Our office opens at ten.", "When does the office open?"), instructions=fact)


async def test_the_same_conversation_gets_the_same_answer() -> None:
    context = user(SHIP, "How many sailors does she carry?")
    assert await heard(context) == await heard(context)
    assert await heard("Weather in Rome?", offers=(WEATHER,)) == await heard("Weather in Rome?", offers=(WEATHER,))


@pytest.mark.parametrize(
    "filler", [SHIP.replace("\n\n", "\n\nAgain: "), "word " * 50, "a.\n", "x", "- x\n", "e.g. ", "\n \t"]
)
async def test_a_megabyte_is_answered_within_a_second_and_what_was_left_out_is_said(filler: str) -> None:
    text = (filler * (1_000_000 // len(filler)))[:1_000_000]
    started = time.process_time()
    said = await says(user(text, "The lighthouse keeper is Ada.", "Who is the lighthouse keeper?"))
    assert time.process_time() - started < 1.0
    assert "Ada" in said
    if text.strip():
        thrice = await says(user(text, text, text, "The lighthouse keeper is Ada.", "Who is the lighthouse keeper?"))
        assert thrice.endswith(PART)


# searching


@pytest.mark.parametrize("offer", [SEARCH, CLIENT_SEARCH])
async def test_an_offered_search_is_asked_the_question(offer: Offer) -> None:
    question = "How many experts does the Llama 4 Maverick model have?"
    assert await calls(question, offers=(WEATHER, offer)) == (offer.name, {"query": question})
    assert await calls(SHIP, assistant("x"), question, offers=(offer,)) == (offer.name, {"query": question})


async def test_a_search_for_a_follow_up_has_the_question_before_in_it() -> None:
    context = ("Who wrote Moby Dick?", assistant("Melville"), "When was it written?")
    _, arguments = await calls(*context, offers=(SEARCH,))
    assert arguments == {"query": "Who wrote Moby Dick? When was it written?"}


async def test_found_pages_are_quoted_and_named() -> None:
    question = "How many experts does the Maverick model have?"
    found = searched(
        question,
        ("https://a.example", "Weather [today]", "It rains. It will rain tomorrow."),
        ("https://b.example", "Maverick", "Maverick is a model. It has 128 experts. Try it now."),
    )
    said = await says(question, found, offers=(SEARCH,))
    assert "128 experts" in said
    assert said.endswith("Sources: [Maverick](https://b.example)")


async def test_an_empty_or_failed_search_is_told() -> None:
    assert await says("Who?", searched("Who?"), offers=(SEARCH,)) == "web_search found nothing for this."
    failed = Entry(
        None, Exchange("c", "web_search", '{"query": "x"}', "The search failed: a.example cannot be reached.")
    )
    assert "a.example cannot be reached." in await says("What is x?", failed, offers=(SEARCH,))


async def test_a_new_question_is_searched_again() -> None:
    context = ("Who is A?", searched("Who is A?", ("https://a.example", "A", "A is a man.")), assistant("A is a man."))
    assert (await calls(*context, "Who painted Guernica?", offers=(SEARCH,)))[1] == {"query": "Who painted Guernica?"}


FILES = """file_search tool found 2 chunks:
BEGIN of file_search tool results.

[1] document_id: file-1, score: 0.9, attributes: {'filename': 'us.txt'} cite as <|file-1|>
Revenue grew by 15% in the US region.

[2] document_id: file-2, score: 0.5, attributes: {'filename': 'eu.txt'} cite as <|file-2|>
Strong growth in EU markets.

END of file_search tool results.

The above results were retrieved to help answer the user's query: "x". Cite like 'a fact <|file-Cn3|>.'.
"""


async def test_a_citation_stands_beside_its_sentence() -> None:
    found = Entry(None, Exchange("c", "file_search", '{"query": "x"}', FILES))
    assert await says("How did revenue grow in the US?", found) == "Revenue grew by 15% in the US region <|file-1|>."
    assert "<|file-2|>." in await says("What about EU markets?", found)
    empty = "file_search tool found 0 chunks:\nBEGIN of file_search tool results.\n"
    nothing = Entry(None, Exchange("c", "file_search", '{"query": "x"}', empty))
    assert await says("How did revenue grow?", nothing) == "file_search found nothing for this."


# functions


@pytest.mark.parametrize(
    ("question", "name", "arguments"),
    [
        ("What's the weather like in San Francisco?", "get_weather", {"location": "San Francisco"}),
        ("what is the weather in paris", "get_weather", {"location": "paris"}),
        ("What time is it in Tokyo?", "get_time", {"location": "Tokyo"}),
    ],
)
async def test_a_function_that_fits_is_called(question: str, name: str, arguments: Json) -> None:
    for offers in ((WEATHER, CLOCK), (CLOCK, WEATHER), (SEARCH, WEATHER, CLOCK)):
        assert await calls(question, offers=offers) == (name, arguments)


async def test_a_function_that_does_not_fit_is_not_called() -> None:
    assert await says("What is the capital of France?", offers=(WEATHER, CLOCK)) == UNFIT
    assert "Bergen" in await says(user(SHIP, "Where was the Aurora built?"), offers=(WEATHER, CLOCK))


async def test_missing_arguments_are_asked_for() -> None:
    assert (
        await says("weather please", offers=(WEATHER,)) == "To call get_weather I need location. Please give me that."
    )


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("sunny, 21 degrees", "get_weather (location: Rome) returned sunny, 21 degrees."),
        ('{"temperature": 21, "unit": "C"}', "get_weather (location: Rome) returned temperature 21, unit C."),
        ("", "get_weather (location: Rome) returned nothing."),
    ],
)
async def test_a_result_is_told_in_a_sentence(output: str, expected: str) -> None:
    context = (user("Weather in Rome?"), *called("get_weather", {"location": "Rome"}, output))
    for choice in ("auto", "required", NamedChoice(type="function", name="get_weather")):
        assert await says(*context, offers=(WEATHER,), tool_choice=choice) == expected


async def test_a_result_can_be_the_argument_of_the_next_call() -> None:
    lookup = Offer("get_user_id", "Get the user ID for a given username.", schema(username=STRING))
    rights = Offer("get_user_permissions", "Get the permissions for a user ID.", schema(user_id=STRING))
    question = "Get the user ID for charlie, then the user permissions."
    assert await calls(question, offers=(lookup, rights)) == ("get_user_id", {"username": "charlie"})
    after = called("get_user_id", {"username": "charlie"}, "user_3")
    assert await calls(user(question), *after, offers=(lookup, rights)) == (
        "get_user_permissions",
        {"user_id": "user_3"},
    )


async def test_the_choice_of_tools_is_kept() -> None:
    question = "What's the weather in Rome?"
    both = (WEATHER, CLOCK)
    assert await says(question, offers=both, tool_choice="none") == UNFIT
    assert (await calls("Tell me a joke", offers=both, tool_choice="required"))[0] in {"get_weather", "get_time"}
    named = NamedChoice(type="function", name="get_time")
    assert await calls(question, offers=both, tool_choice=named) == ("get_time", {"location": "Rome"})
    assert (await calls("Hi", offers=(WEATHER,), tool_choice="required"))[0] == "get_weather"
    allowed = AllowedTools(mode="auto", tools=({"type": "function", "name": "get_time"},))
    assert await says(question, offers=both, tool_choice=allowed) == UNFIT
    assert (await calls("Hi", offers=(SEARCH,), tool_choice="required"))[1] == {"query": "Hi"}


async def test_calls_of_one_conversation_have_different_ids() -> None:
    first = (await heard("Weather in Rome?", offers=(WEATHER,)))[0][0]
    context = (user("Weather in Rome?"), *called("get_weather", {"location": "Rome"}, "sun"), user("Weather in Rome?"))
    second = (await heard(*context, offers=(WEATHER,)))[0][0]
    assert isinstance(first, CallDelta)
    assert isinstance(second, CallDelta)
    assert first.id != second.id
    assert (first.id or "").startswith("call_")


# forms and limits


async def test_an_answer_in_a_schema_fits_it() -> None:
    wanted = schema(answer=STRING, population={"type": ["number", "null"]}, sources={"type": "array", "items": STRING})
    form = TextConfig(format=JsonSchemaFormat(name="a", schema=wanted, strict=True))
    facts = user("The capital of Norway is Oslo.", "What is the capital of Norway?")
    found = json.loads(await says(facts, text=form))
    validate(found, wanted)
    assert found["answer"] == "The capital of Norway is Oslo."
    record = schema(
        employee=schema(name=STRING, employee_id={"type": "integer"}), department=schema(name=STRING, manager=STRING)
    )
    form = TextConfig(format=JsonSchemaFormat(name="e", schema=record, strict=True))
    request = "Generate an employee record for Susan (ID 1001) in Engineering department managed by Frank"
    assert json.loads(await says(request, text=form)) == {
        "employee": {"name": "Susan", "employee_id": 1001},
        "department": {"name": "Engineering", "manager": "Frank"},
    }


async def test_an_answer_as_an_object_is_one() -> None:
    form = TextConfig(format=JsonObjectFormat())
    assert json.loads(await says(user(SHIP, "Who is the cook?"), text=form)) == {"answer": "- The cook is Tom Hale."}


async def test_the_token_limit_ends_the_text() -> None:
    whole = await says(user(SHIP, "Where was the Aurora built?"))
    cut = await heard(user(SHIP, "Where was the Aurora built?"), max_output_tokens=4)
    ended = cut[-1][-1]
    assert isinstance(ended, StepEnded)
    assert ended.usage is not None
    assert ended.finish == "length"
    assert ended.usage.output_tokens <= 4
    assert whole.startswith(text_of(cut))
    assert 0 < len(text_of(cut)) < len(whole)
    call = await heard("Weather in Rome?", offers=(WEATHER,), max_output_tokens=1)
    assert isinstance(call[-1][-1], StepEnded)
    assert call[-1][-1].finish == "length"


async def test_words_come_in_small_batches_and_are_counted() -> None:
    batches = await heard(user(SHIP, "Summarise this."))
    assert all(1 <= len(batch) <= BATCH for batch in batches)
    assert len(batches) > 2
    ended = batches[-1][-1]
    assert isinstance(ended, StepEnded)
    assert ended.usage is not None
    assert ended.usage.output_tokens == (len(text_of(batches)) + 3) // 4
    assert ended.usage.input_tokens >= len(SHIP) // 4


async def test_its_deltas_assemble_into_items() -> None:
    ids = iter(range(1000))
    for offers in ((), (WEATHER,), (SEARCH,)):
        assembler = Assembler(offers, lambda prefix: f"{prefix}{next(ids)}", first=0)
        for batch in await heard("What's the weather in Rome?", offers=offers):
            assembler.feed(batch)
        step = assembler.end([])
        assert len(step.entries) + len(step.calls) == 1


async def test_it_answers_chat_completions() -> None:
    model = Extractive(SeededClock())
    tools = [
        {
            "type": "function",
            "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER.parameters},
        }
    ]
    asked: Json = {"model": MODEL, "messages": [{"role": "user", "content": "Weather in Rome?"}], "tools": tools}
    async with aclosing(model.relay(ChatRequest(model=MODEL, stream=False, body=asked))) as stream:
        (document,) = [one async for batch in stream for one in batch]
    completion = ChatCompletion.model_validate_json(document)
    assert completion.choices[0].finish_reason == "tool_calls"
    body = {**asked, "stream": True}
    async with aclosing(model.relay(ChatRequest(model=MODEL, stream=True, body=body))) as stream:
        chunks = [ChatCompletionChunk.model_validate_json(one) async for batch in stream for one in batch]
    calls_ = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert calls_[0].id
    arguments = "".join(call.function.arguments or "" for call in calls_ if call.function)
    assert json.loads(arguments) == {"location": "Rome"}
