"""A run from its start to its end, whatever happens on the way."""

from __future__ import annotations

import asyncio
import logging

from antiphon.core.effects import Broken, Entry
from antiphon.core.run import Run
from antiphon.engine.driver import Driver, Log
from antiphon.ports.clock import Clock
from antiphon.ports.runs import FenceError
from antiphon.ports.store import Finished
from antiphon.wire.errors import AntiphonError
from antiphon.wire.events import Event
from antiphon.wire.responses import ResponseError

LOGGER = logging.getLogger(__name__)


async def course(driver: Driver, run: Run, log: Log, seconds: float) -> list[Event]:
    """Drive the run to a terminal status; its last events, not appended yet.

    A run that takes longer than `seconds` or meets a fault of ours fails; one that is cancelled ends cancelled.
    FenceError goes through: such a run is no longer ours to end.
    """
    try:
        async with asyncio.timeout(seconds):
            return await driver.drive(run, log)
    except FenceError:
        raise
    except TimeoutError:
        words = f"The run took longer than {seconds:g} seconds."
        return run.receive([Broken(ResponseError(code="server_error", message=words))])
    except asyncio.CancelledError:
        return run.cancel()
    except Exception as error:
        LOGGER.exception("run %s broke", run.response.id)
        words = error.message if isinstance(error, AntiphonError) else "The server had an error."
        return run.receive([Broken(ResponseError(code="server_error", message=words))])


def finished(run: Run, given: tuple[Entry, ...], expires_at: float | None) -> Finished:
    """The end of the run as it is stored; `given` is the input of its turn. A turn that failed or was cancelled adds
    nothing to its conversation."""
    conversation = run.plan.request.conversation
    return Finished(
        run.response,
        given,
        run.output,
        None if conversation is None else conversation.id,
        append=run.response.status in {"completed", "incomplete"},
        expires_at=expires_at,
    )


def expiry(clock: Clock, retention: float | None) -> float | None:
    """When what is stored now expires (epoch seconds); `retention` is in seconds, None: never."""
    return None if retention is None else clock.now() + retention
