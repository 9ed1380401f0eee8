"""A stored response as a cassette, and such a cassette run again.

Law: what is exported was run: the server makes the response once more out of what the store says that its model and
its tools answered, and a tape records that. So a replay asks exactly what was recorded.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from antiphon.adapters.clock import StillClock, SystemClock
from antiphon.adapters.parts import Parts
from antiphon.adapters.seal import FILE as SEAL
from antiphon.adapters.seal import secrets_in
from antiphon.compose import Composition, choose, compose
from antiphon.core.effects import Entry
from antiphon.core.includes import shown_response
from antiphon.ports.storage import Storage
from antiphon.replay.cassette import RULES, Cassette
from antiphon.replay.exchange import Answer, Exchange, RecordingError
from antiphon.replay.runs import script as files
from antiphon.replay.runs.clock import RetoldClock
from antiphon.replay.runs.retelling import Retelling
from antiphon.replay.runs.sameness import unlike, unlike_responses
from antiphon.replay.runs.script import Line, Script, Turn
from antiphon.replay.runs.steps import UntoldError, events_in
from antiphon.replay.runs.story import Past, Story, forgotten, id_of, request_of, story
from antiphon.replay.secrets import Secrets
from antiphon.replay.tape import Deck
from antiphon.replay.taped.model import LIST
from antiphon.settings import Settings
from antiphon.taping import maker
from antiphon.wire.codec import builtins, decode, encode
from antiphon.wire.conversations import Conversation
from antiphon.wire.errors import AntiphonError
from antiphon.wire.items import Item
from antiphon.wire.models import Model as ModelCard
from antiphon.wire.responses import CreateResponse

PROJECT: Final = "default"
ENDPOINT: Final = "exported"
"""The endpoint that serves the models of an exported run."""
Json = dict[str, Any]


class Told(Struct, frozen=True):
    """How one turn went when it was run again. `differences`: in words, none: it went as before."""

    response_id: str
    status: str
    items: int
    events: int
    differences: tuple[str, ...] = ()


async def export(settings: Settings, environ: Mapping[str, str], response_id: str, folder: Path) -> list[Told]:
    """Make a cassette of a stored response with its chain, or with what was in its conversation before it. Raises
    UntoldError, RecordingError, SettingsError, StoreError."""
    _fresh(folder)
    async with stored(settings, environ) as store:
        found = await story(store, PROJECT, response_id)
    _ruled(folder, forgotten(found.pasts))
    cassette = maker(settings)(folder)
    tape = Retelling(cassette)
    _serve(cassette, found)
    clock = RetoldClock(StillClock())
    turns = [_turn(past) for past in found.pasts]
    script = Script(files.VERSION, tuple(turns), tuple(_line(entry) for entry in found.before))
    told: list[Told] = []
    traces: list[Sequence[Json]] = []
    async with _composed(settings, environ, folder, clock, Deck(tape)) as composition:
        await _prepared(composition, script)
        for past, turn in zip(found.pasts, turns, strict=True):
            tape.begin(past.told)
            events = await _run(composition, clock, turn)
            traces.append(events)
            told.append(_compared(turn, past.events or None, events))
    files.write(folder, script, traces, cassette.canon.redact)
    return told


async def rerun(settings: Settings, environ: Mapping[str, str], folder: Path) -> list[Told]:
    """Run an exported run again, out of its cassette alone. Raises RecordingError, SettingsError."""
    script = files.read(folder)
    secrets = maker(settings)(folder).canon.redact
    clock = RetoldClock(StillClock())
    told: list[Told] = []
    async with _composed(settings, environ, folder, clock, None) as composition:
        await _prepared(composition, script)
        for number, turn in enumerate(script.turns, 1):
            try:
                events = await _run(composition, clock, turn)
            except UntoldError as error:
                told.append(Told(str(turn.response["id"]), "failed", 0, 0, (str(error),)))
                break
            told.append(_compared(turn, files.events(folder, number), events, secrets))
    return told


def _fresh(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise RecordingError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    if used:
        raise RecordingError(f"The folder {folder} is not empty.")


@asynccontextmanager
async def stored(settings: Settings, environ: Mapping[str, str]) -> AsyncGenerator[Storage]:
    """The store of the settings. Raises StoreError, SettingsError."""
    store = _store(settings, environ)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def _store(settings: Settings, environ: Mapping[str, str]) -> Storage:
    if not settings.data.dir.is_dir():
        raise UntoldError(f"there is no data folder {settings.data.dir}")
    parts = Parts(name="", clock=SystemClock(), folder=settings.data.dir)
    return cast("Storage", choose(settings, environ).store.make(parts))


# running


@asynccontextmanager
async def _composed(
    settings: Settings, environ: Mapping[str, str], folder: Path, clock: RetoldClock, deck: Deck | None
) -> AsyncGenerator[Composition]:
    """A server that keeps everything in memory and asks nobody, with the tools of the settings."""
    keys = _keys(settings)
    with TemporaryDirectory(prefix="antiphon-") as data:
        plain = Settings.model_validate(
            {
                "data": {"dir": data},
                "store": {"kind": "memory"},
                "discovery": {"enabled": False, "builtin": False},
                "cassette": {"replay": folder},
                "retention": {"days": 0},
                "seal": {"keys": keys},
            }
        )
        kept = {name: getattr(settings, name) for name in ("mcp", "web_search", "pages", "tools", "limits", "egress")}
        chosen = plain.model_copy(update=kept)
        async with compose(chosen, choose(chosen, environ), clock=clock, deck=deck) as composition:
            yield composition


def _keys(settings: Settings) -> Sequence[str]:
    """What opens the sealed items of the run, where it was made with these settings."""
    given = [key.get_secret_value() for key in settings.seal.keys]
    return given if given or not (settings.data.dir / SEAL).is_file() else secrets_in(settings.data.dir)


async def _prepared(composition: Composition, script: Script) -> None:
    """Put what was in the conversation before into it."""
    request = _request(script.turns[-1])
    if request.conversation is None:
        return
    entries = [Entry(decode(encode(line.item), Item), line.exchange) for line in script.before]
    began = script.turns[-1].began
    conversation = Conversation(id=request.conversation.id, created_at=began)
    await composition.store.create_conversation(PROJECT, conversation, entries)


async def _run(composition: Composition, clock: RetoldClock, turn: Turn) -> list[Json]:
    """The events of a turn. Raises UntoldError."""
    clock.moment = turn.began
    clock.expect(turn.ids)
    try:
        journal = await composition.runner.start(PROJECT, _request(turn))
        clock.moment = turn.ended  # its start is told already
        frames = [batch async for batch in journal.follow()]
    except AntiphonError as error:
        raise UntoldError(f"{turn.response['id']}: {error.message}") from error
    return events_in(b"".join(frames))


def _request(turn: Turn) -> CreateResponse:
    try:
        return decode(encode(turn.request), CreateResponse)
    except msgspec.DecodeError as error:
        raise RecordingError(f"The file {files.SCRIPT} holds what is no request: {error}.") from error


def _compared(turn: Turn, then: Sequence[Json] | None, now: Sequence[Json], secrets: Secrets | None = None) -> Told:
    ends = [event["response"] for event in now if "response" in event]
    response: Json = ends[-1] if ends else Json()
    if secrets is not None:
        now, response = secrets.value(list(now)), secrets.value(response)
    found = [] if then is None else unlike(then, now)
    found += unlike_responses(turn.response, response)
    output = response.get("output") or ()
    return Told(str(turn.response["id"]), str(response.get("status")), len(output), len(now), tuple(found))


# what is written


def _ruled(folder: Path, ignored: Sequence[str]) -> None:
    """Write the rules: what the store does not know makes no difference."""
    try:
        (folder / RULES).write_bytes(b"ignore = " + msgspec.json.encode(ignored) + b"\n")
    except OSError as error:
        raise RecordingError(f"The rules {RULES} cannot be written: {error.strerror}.") from error


def _serve(cassette: Cassette, found: Story) -> None:
    """List the models."""
    names = dict.fromkeys(past.response.model for past in found.pasts)
    began = found.pasts[0].response.created_at
    cards = tuple(ModelCard(id=name, created=began, owned_by=ENDPOINT) for name in names)
    made = cassette.asking(LIST, {"endpoint": ENDPOINT}, ENDPOINT)
    cassette.keep(Exchange(LIST, made.form, Answer(value=Raw(encode(cards))), ENDPOINT))


def _turn(past: Past) -> Turn:
    response = past.response
    ids = [response.id, *(found for entry in past.output if (found := id_of(entry)) is not None)]
    return Turn(
        request=cast("Json", builtins(request_of(past))),
        ids=tuple(ids),
        began=response.created_at,
        ended=response.completed_at or response.created_at,
        response=_shown(past),
    )


def _shown(past: Past) -> Json:
    """The response as its request is shown it."""
    from_events = next((event["response"] for event in reversed(past.events) if "response" in event), None)
    return from_events or cast("Json", builtins(shown_response(past.response, request_of(past).include)))


def _line(entry: Entry) -> Line:
    return Line(cast("Json", builtins(entry.item)), entry.exchange)
