"""Schemathesis on our own OpenAPI document: every operation of it, with what fits its schemas and what does not.

No operation is left out. Of the checks of schemathesis those run that judge an answer by the document (CHECKED), and
the verdict of all fuzzing here. Those do not that judge whether it should have been accepted: the server knows more
than a schema can say (which models and ids there are, what excludes what) and takes more than it says (nulls,
numbers as strings in queries, unknown tools). Nor those about keys, since it runs as it does by default, without; nor
those about sequences of requests.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any, Final, cast

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from antiphon.http.app import OPERATIONS
from antiphon.http.openapi import document
from antiphon.wire.codec import encode
from tests.fuzz.house import fuzzed
from tests.fuzz.verdict import judged
from tests.long import amount
from tests.whole.house import Json

SEED: Final = 20_261_121
EXAMPLES: Final = amount(8, 100)
"""For each operation: this many that fit and as many that do not."""
DEADLINE: Final = 20.0
LIBRARY: Final[Any] = schemathesis
"""Its types are partly unknown."""
HEALTH: Final = cast("list[HealthCheck]", list(HealthCheck))
MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
CHECKED: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)


def checks() -> list[Any]:
    return [LIBRARY.checks.CHECKS.get_one(name) for name in CHECKED]


def operations() -> list[Any]:
    described = LIBRARY.openapi.from_dict(json.loads(encode(document(OPERATIONS))))
    return [found.ok() for found in described.get_all_operations()]


def explore(operation: Any, mode: GenerationMode, url: str, statuses: Counter[int]) -> None:
    """Send what the strategy makes; the first answer that will not do is shown with how to send it again."""

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=HEALTH,
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        body = cast("Json", case.body) if isinstance(case.body, dict) else {}
        if "model" in body and statuses.total() % 2:
            body["model"] = "m"  # no schema knows the name of a model that is served
        response = case.call(base_url=f"{url}/v1", timeout=DEADLINE)
        statuses[response.status_code] += 1
        kind = response.headers.get("content-type", [""])[0]
        judged(response.status_code, kind, response.content)
        case.validate_response(response, checks=checks())

    one()


async def test_every_operation_of_the_document(tmp_path: Path) -> None:
    statuses: Counter[int] = Counter()
    faults: list[str] = []

    def explored(url: str) -> None:
        for operation in operations():
            for mode in MODES if operation.body or operation.query else MODES[:1]:  # else nothing can be unfit
                try:
                    explore(operation, mode, url, statuses)
                except Exception as error:  # noqa: BLE001 - what schemathesis finds comes in groups of its own types
                    notes = "\n".join(getattr(error, "__notes__", ()))
                    faults.append(f"{operation.label} {mode.value}: {error!r:.1500}\n{error!s:.3000}\n{notes:.1500}")

    async with fuzzed(tmp_path) as server:
        await asyncio.to_thread(explored, server.url)
        assert not faults, f"{len(faults)}, seed {SEED}:\n" + "\n\n".join(faults[:20])
    print(f"{statuses.total()} requests, statuses {dict(sorted(statuses.items()))}")  # noqa: T201
