"""The corpus itself, and the door before all of it."""

from __future__ import annotations

import pytest

from antiphon.adapters.egress.door import HttpDoor
from antiphon.ports.door import DoorError, DoorLimits
from tests.egress.corpus import NAMES, PRIVATE, SPELLINGS
from tests.egress.net import net, trap, within

LIMITS = DoorLimits(size=1000, seconds=5.0, first=2.0)


def test_there_are_many_spellings_of_many_families() -> None:
    assert len({each.url for each in SPELLINGS}) == len(SPELLINGS) >= 200
    assert len({each.family for each in SPELLINGS}) >= 40


@within
async def test_no_spelling_passes_the_door() -> None:
    async with trap() as listener:
        door = HttpDoor()
        try:
            for each in SPELLINGS:
                url = each.url.replace("{port}", str(listener.port))
                with pytest.raises(DoorError) as raised:
                    await door.fetch(url, LIMITS)
                words = raised.value.message
                assert "canary" not in words, (url, words)
                assert str(listener.port) not in words, (url, words)
                assert PRIVATE not in words, (url, words)
                assert (listener.connections, net().tried) == (0, []), url
        finally:
            await door.close()
    assert set(net().asked) >= set(NAMES)
