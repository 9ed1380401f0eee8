"""The model that the cassettes here were recorded from: a script in OpenAI's place, so that this example needs no key.

python -m pytest --antiphon-record=all -o antiphon_config=stand_in.toml
"""

from __future__ import annotations

import re
from typing import Any

models = ["gpt-5-mini"]
MONTHS = {"May": "05"}


def script(asked: Any) -> Any:
    """What a model would do: look up, then speak."""
    if asked.outputs:
        _, output = asked.outputs[-1]
        rooms = re.findall(r'"(\d+)"', output)
        return f"Rooms {' and '.join(rooms)} are free." if rooms else "Everything is taken on that day."
    date = re.search(r"(\d+) (\w+) (\d{4})", asked.text)
    if date is None:
        return ["Welcome to the ", "Lamplight."]
    day = f"{date[3]}-{MONTHS[date[2]]}-{int(date[1]):02}"
    return {"calls": {"name": "free_rooms", "arguments": {"date": day}}}
