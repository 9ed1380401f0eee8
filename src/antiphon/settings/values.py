"""What a setting may be: types that take the words of a variable or flag as well, and the tables that hold them."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr


def data_home() -> Path:
    """Where the platform keeps an application's data: `$XDG_DATA_HOME/antiphon`, by default below the home folder."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "antiphon"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "antiphon"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "antiphon"


def _words(value: object) -> object:
    """A variable or flag holds a list as words with commas between."""
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    """A variable holds a table as `name=value` with commas between; `none` is an empty one."""
    if not isinstance(value, str):
        return value
    if value.strip() == "none":
        return {}
    pairs = [word.partition("=") for word in cast("list[str]", _words(value))]
    return {name.strip(): number.strip() for name, _, number in pairs}


def document(value: object) -> object:
    """A variable holds a list of tables as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return cast("object", json.loads(value))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _home(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


def _site(value: str) -> str:
    """Origins are compared letter by letter, so one that no browser sends is a mistake."""
    if not _ORIGIN.fullmatch(value):
        raise ValueError(f"{value!r} is no site: write `https://name` or `http://name:port`, `null`, or `*` for all")
    return value


_ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://[^/\s]+/?", re.IGNORECASE)

Folder = Annotated[Path, BeforeValidator(_home)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_words)]
Names = Annotated[tuple[str, ...], BeforeValidator(_words)]
Sites = Annotated[tuple[Annotated[str, AfterValidator(_site)], ...], BeforeValidator(_words)]
Ports = Annotated[dict[str, Annotated[int, Field(ge=1, le=65535)]], BeforeValidator(_pairs)]


class Section(BaseModel):
    """A table of the file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Chosen(Section):
    """A section that names an adapter: `kind` is a file of the room or the dotted name of somebody else's module, and
    the keys that are not listed are that adapter's own."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, object]:
        """The adapter's own keys."""
        return dict(self.model_extra or {})
