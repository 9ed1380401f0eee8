"""The tree of settings: every key, its type, bounds, default and meaning. docs/settings.md is generated from it.

A section whose `kind` names an adapter takes the adapter's own keys too (law 11): they are checked against the
adapter's `config` type when the server is composed, so this file names no vendor's options.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict


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


def _document(value: object) -> object:
    """A variable holds a list of tables as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return cast("object", json.loads(value))
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _home(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


Folder = Annotated[Path, BeforeValidator(_home)]
Secrets = Annotated[tuple[SecretStr, ...], BeforeValidator(_words)]
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


class Server(Section):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8321, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    open: bool = Field(
        default=False, description="Allow an address that other machines can reach although no `api_keys` are set."
    )
    api_keys: Secrets = Field(default=(), description="Keys that clients may use; with none, every client is let in.")
    keepalive: float = Field(
        default=15, ge=1, le=600, description="Seconds of silence before a stream sends a comment."
    )
    max_body_mb: int = Field(default=64, ge=1, le=2048, description="Largest request body, MB.")
    drain_seconds: float = Field(
        default=20, ge=0, le=3600, description="Seconds that running responses get to finish after SIGTERM."
    )


class Place(Section):
    """Where the server keeps its files."""

    dir: Folder = Field(
        default_factory=data_home,
        description="Folder for everything that is kept; made when missing.",
        json_schema_extra={"shown": "`$XDG_DATA_HOME/antiphon`, else `~/.local/share/antiphon`"},
    )


class StoreChoice(Chosen):
    """What keeps responses and conversations."""

    kind: str = Field(default="sqlite", description="`sqlite`, `memory`, or a dotted module name.")


class Endpoint(Chosen):
    """An endpoint that serves models. Its models are called `name/model`, and `model` where no other has the name."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="The endpoint's name, as in `name/model`.")
    kind: str = Field(default="openai_chat", description="`openai_chat`, `extractive`, or a dotted module name.")


class Discovery(Section):
    """Endpoints that need no settings."""

    enabled: bool = Field(
        default=True,
        description="Use `OPENAI_API_KEY` and `OPENAI_BASE_URL` (endpoint `openai`) and local servers that answer.",
    )
    builtin: bool = Field(default=True, description="Serve the built-in extractive model (endpoint `builtin`).")
    ports: Ports = Field(
        default={"ollama": 11434, "vllm": 8000, "lmstudio": 1234, "llamacpp": 8080},
        description="Endpoint name and loopback port of each local server to look for; an empty table looks for none.",
    )


class WebSearch(Chosen):
    """The backend of the `web_search` tool; the tool is served when any of these keys is set."""

    kind: str = Field(default="tavily", description="`tavily`, or a dotted module name.")
    url: str | None = Field(default=None, description="URL of the backend; default: the kind's own.")
    key: SecretStr | None = Field(default=None, description="Key for the backend.")


class Bounds(Section):
    """Bounds on what one process takes on."""

    rounds: int = Field(default=64, ge=1, le=10_000, description="Generations in one response.")
    run_seconds: float = Field(default=3600, gt=0, description="Seconds that a foreground response may take.")
    live_runs: int = Field(default=2000, ge=1, description="Responses that may run at once.")
    live_runs_project: int = Field(default=500, ge=1, description="Responses of one project that may run at once.")
    items: int = Field(default=10_000, ge=1, description="Output items of one response.")
    events: int = Field(default=1_000_000, ge=1, description="Events of one response.")
    tool_output_kb: int = Field(
        default=256, ge=1, le=51_200, description="How much of a tool's output the model gets, KB."
    )
    parallel_tools: int = Field(
        default=16, ge=1, le=1000, description="Server-side tool calls of one round run at once."
    )
    journal_kb: int = Field(
        default=1024,
        ge=64,
        description="Encoded events kept for a reader that lags, KB; then the response waits for it.",
    )


class Log(Section):
    """Messages on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is written."
    )


class Recordings(Section):
    """Answers from recorded exchanges instead of a model, for tests and demonstrations."""

    dir: Folder | None = Field(
        default=None, description="Folder of recordings; the endpoint that replays them is `recorded`."
    )
    case: str | None = Field(default=None, description="Use only recordings whose test id contains this text.")


class Settings(BaseSettings):
    """Everything that an operator can choose."""

    model_config = SettingsConfigDict(
        env_prefix="ANTIPHON_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        env_ignore_empty=True,
        enable_decoding=False,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    server: Server = Server()
    data: Place = Field(default_factory=Place)
    store: StoreChoice = StoreChoice()
    models: Annotated[tuple[Endpoint, ...], BeforeValidator(_document)] = Field(
        default=(), description="Endpoints that serve models."
    )
    discovery: Discovery = Discovery()
    web_search: WebSearch = WebSearch()
    limits: Bounds = Bounds()
    log: Log = Log()
    recordings: Recordings = Recordings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `load` lays the sources over each other itself, to know where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
