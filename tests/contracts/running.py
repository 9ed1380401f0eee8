"""Background runs for the tests of stores."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, structs

from antiphon.core.effects import Entry
from antiphon.ports.runs import Batch, Checkpoint, ClaimedRun, QueuedRun
from antiphon.ports.storage import Storage
from antiphon.ports.store import Finished
from antiphon.wire.responses import ConversationRef, Response
from tests.contracts.turns import DEFAULT, answered, said

NOW = 1_700_000_000.0
LATER = NOW + 30


def waiting(
    name: str, previous: str | None = None, *, conversation: str | None = None, streamed: bool = True
) -> QueuedRun:
    """The run of `resp_<name>`, with one message in."""
    response = Response(
        id=f"resp_{name}",
        created_at=int(NOW),
        status="queued",
        background=True,
        model="test/model",
        previous_response_id=None if previous is None else f"resp_{previous}",
        metadata={"name": name},
        conversation=UNSET if conversation is None else ConversationRef(id=conversation),
    )
    given = (said(f"{name}_in", f"Question {name}."),)
    return QueuedRun(response=response, input=given, request=f"request {name}".encode(), streamed=streamed)


async def queue(store: Storage, *names: str, project: str = DEFAULT) -> None:
    """Queue runs, one after the other."""
    for name in names:
        await store.queue_run(project, waiting(name))


async def claim(store: Storage, owner: str = "me", *, now: float = NOW, until: float = LATER) -> ClaimedRun:
    """Claim the one run that is free."""
    (claimed,) = await store.claim_runs(owner, now, until, 1, 100)
    return claimed


def batch(first: int, last: int, size: int = 40) -> Batch:
    """Events `first` to `last`, each of `size` bytes."""
    return Batch(first, last, b"".join(f"event {at}\n\n".encode().ljust(size, b".") for at in range(first, last + 1)))


def progress(
    run: ClaimedRun, events: Batch | None = None, *entries: tuple[int, Entry], until: float = LATER
) -> Checkpoint:
    """A checkpoint of the run with the state `state <last event>`."""
    return Checkpoint(
        response_id=run.response.id,
        fence=run.fence,
        batch=events,
        entries=entries,
        state=f"state {events.last if events else run.last}".encode(),
        until=until,
    )


def finished(
    run: ClaimedRun, *output: Entry, append: bool = True, conversation: str | None = None, expires: float | None = None
) -> Finished:
    """The end of the run with this output."""
    return Finished(
        response=structs.replace(
            run.response,
            status="completed" if append else "failed",
            completed_at=int(NOW) + 9,
            output=tuple(entry.item for entry in output if entry.item is not None),
        ),
        input=run.input,
        output=output,
        conversation_id=conversation,
        append=append,
        expires_at=expires,
    )


async def finish(store: Storage, run: ClaimedRun, *output: Entry, project: str = DEFAULT) -> Response:
    """End the run with this output and one last event; the response."""
    end = finished(run, *output)
    await store.finish_run(project, progress(run, batch(run.last + 1, run.last + 1)), end)
    return end.response


def answers(name: str, count: int) -> Sequence[Entry]:
    """As many answers, `msg_<name>_0` first."""
    return [answered(f"{name}_{at}", f"Answer {at} of {name}.") for at in range(count)]
