"""Questions made shorter for a search: what is said around a question is dropped, what is asked for stays.

Law: nothing is added, and nothing is lost but English phrases at the beginning and the marks at the end; a question
that would be empty stays as it is.
"""

from __future__ import annotations

import re
from typing import Final

_AROUND: Final = re.compile(
    r"""
    (?:hello|hi|hey|please|so|well|ok|okay|thanks|thank\ you)\b[\s,.!:-]*
    | (?:can|could|would|will)\s+you\s+(?:please\s+)?(?=(?:tell|give|show|explain|find|describe|look)\b)
    | (?:
        (?:(?:i'?d|i\s+would)\s+like|i\s+(?:want|need|am\s+trying|wish))
            \s+to\s+(?:know|find\s+out|learn|understand|see)\b(?:\s+(?:about|if|whether))?
        | i(?:\s+a|')m\s+(?:looking|searching)\s+for\b
        | (?:tell|show|give)\s+me\b(?:\s+(?:about|more|everything))*
        | (?:do\s+you\s+know|explain|describe|find(?:\s+out)?|look\s+up)\b(?:\s+(?:(?:to|for)\s+me|if|whether|about))*
        | (?:what|who|which|where|when|why|how)
            (?:'s|\s+(?:is|are|was|were|do|does|did|can|could|should|would|will))?\b
      )\s*(?:(?:the|an?)\s+)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MOST: Final = 16
"""Phrases that are dropped from one question."""
_END: Final = " \t\r\n?!.,;:"


def shortened(question: str) -> str:
    """What a question asks for: "height of the tower is" for "Can you tell me what the height of the tower is?"."""
    rest = question.strip()
    for _ in range(_MOST):
        found = _AROUND.match(rest)
        if found is None or not rest[found.end() :].strip(_END):
            break
        rest = rest[found.end() :].lstrip()
    return rest.rstrip(_END) or question.strip()
