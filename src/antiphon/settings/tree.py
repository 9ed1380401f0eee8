"""The tree of settings: every key, its type, bounds, default and meaning. docs/settings.md is generated from it.

A section whose `kind` names an adapter takes the adapter's own keys too (law 11): they are checked against the
adapter's `config` type when the server is composed, so this file names no vendor's options.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from antiphon.settings.retrieval import (
    BlobsChoice,
    EmbedderChoice,
    Extraction,
    Filing,
    IndexChoice,
    Ingestion,
    RerankerChoice,
    Searches,
)
from antiphon.settings.tools import Egress, McpEntry, Pages, Sessions, Tooling, WebSearch
from antiphon.settings.values import Chosen, Folder, Names, Ports, Secrets, Section, Sites, data_home, document


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
    unknown_parameters: Literal["strict", "ignore"] = Field(
        default="strict", description="What happens to a parameter that is not known: refused with 400, or ignored."
    )
    cors_origins: Sites = Field(
        default=(), description="Sites whose pages may use the server from a browser; `*` is all of them."
    )
    trusted_hosts: Names = Field(
        default=(),
        description="Names that a server on loopback without `api_keys` answers to besides loopback's own; `*` is any.",
    )
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
    kind: str = Field(
        default="openai_chat",
        description="`openai_chat`, `openai_responses` (an endpoint that speaks Responses), `extractive`, `scripted`, "
        "`faulty` (both for tests), or a dotted module name.",
    )
    context_window: int | None = Field(
        default=None,
        ge=1000,
        description="Tokens that its models take. Longer inputs are refused before they are sent, or with "
        "`truncation: auto` cut; without it, that is done when the endpoint says that the input is too long.",
    )


class Sealing(Section):
    """The keys under which reasoning and summaries are encrypted that clients keep for the server."""

    keys: Secrets = Field(
        default=(),
        description="Secrets of at least 32 characters. The first one seals, all of them open. "
        "Default: the lines of `seal.keys` in the data folder, which is made at the first start.",
    )


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


class Bounds(Section):
    """Bounds on what one process takes on."""

    rounds: int = Field(default=64, ge=1, le=10_000, description="Generations in one response.")
    run_seconds: float = Field(default=3600, gt=0, description="Seconds that a foreground response may take.")
    background_runs: int = Field(
        default=32, ge=1, description="Background responses that this process runs at once; the rest wait."
    )
    background_runs_project: int = Field(
        default=8, ge=1, description="Background responses of one project that run at once, over all processes."
    )
    background_seconds: float = Field(
        default=24 * 3600, gt=0, description="Seconds that a background response may take."
    )
    recoveries: int = Field(
        default=5,
        ge=0,
        description="How often a background response is taken up again after its process died; then it fails.",
    )
    lease: float = Field(
        default=10,
        ge=0.5,
        le=3600,
        description="Seconds without a sign of life after which a background response passes to another process.",
    )
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


class WebSocket(Section):
    """`/v1/responses` as a WebSocket."""

    connections: int = Field(default=1000, ge=0, description="WebSockets that may be open at once; 0 serves none.")
    minutes: float = Field(default=60, gt=0, description="Minutes that a WebSocket stays open.")
    lanes: int = Field(
        default=8, ge=1, le=1000, description="Responses that one WebSocket makes at once, each in its `stream_id`."
    )
    waiting: int = Field(default=64, ge=1, description="Requests that may wait on one WebSocket.")
    memory_responses: int = Field(
        default=64, ge=1, description="Responses with `store: false` that a WebSocket can continue."
    )
    memory_mb: int = Field(default=32, ge=1, description="Memory for the items of these responses, MB.")
    ping_seconds: float = Field(default=30, gt=0, description="Seconds between two pings.")
    pong_seconds: float = Field(
        default=60, gt=0, description="Seconds to answer a ping in; a client that does not is disconnected."
    )
    compression: bool = Field(default=True, description="Offer permessage-deflate.")


class Retention(Section):
    """How long things are kept. Conversations and their items stay until they are deleted."""

    days: float = Field(
        default=30, ge=0, description="Days that stored responses and chat completions are kept; 0 is for ever."
    )
    idempotency_hours: float = Field(
        default=24, gt=0, description="Hours that the first answer to an `Idempotency-Key` is given again."
    )
    idempotency_kb: int = Field(
        default=1024,
        ge=1,
        description="The longest answer kept for an `Idempotency-Key`, KB; a key with a longer one answers 409.",
    )
    sweep_seconds: float = Field(default=300, gt=0, description="Seconds between two deletions of what has expired.")


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


class Tapes(Section):
    """Recording of what passes between the server and the outside, and answers from such recordings. One of the three
    folders."""

    record: Folder | None = Field(default=None, description="Ask the outside and keep every exchange in this folder.")
    replay: Folder | None = Field(
        default=None, description="Answer from this folder and never ask the outside; a folder of other recorders too."
    )
    replay_or_record: Folder | None = Field(
        default=None, description="Answer from this folder, and ask the outside for what it does not hold."
    )
    timing: float = Field(
        default=0, ge=0, le=100, description="How much of the recorded time between chunks passes: 0 none, 1 all."
    )
    report: Folder | None = Field(
        default=None,
        description="File for a report at the end, JSON: what was recorded, answered, missed and not used.",
    )
    root: Folder | None = Field(
        default=None,
        description="Folder whose folders requests may name in `X-Antiphon-Cassette`; without one they may not.",
    )
    seed: int | None = Field(
        default=None,
        description="Ids and times come out of this number instead of from the machine, so that the same requests in "
        "the same order make the same events. For an empty data folder: after a restart the ids begin again.",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Tapes:
        if sum(folder is not None for folder in (self.record, self.replay, self.replay_or_record)) > 1:
            raise ValueError("only one of `record`, `replay` and `replay_or_record` can be")
        return self


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
    models: Annotated[tuple[Endpoint, ...], BeforeValidator(document)] = Field(
        default=(), description="Endpoints that serve models."
    )
    mcp: Annotated[tuple[McpEntry, ...], BeforeValidator(document)] = Field(
        default=(), description="MCP servers that requests name by `connector_id`."
    )
    sessions: Sessions = Sessions()
    discovery: Discovery = Discovery()
    web_search: WebSearch = WebSearch()
    pages: Pages = Pages()
    tools: Tooling = Tooling()
    blobs: BlobsChoice = BlobsChoice()
    files: Filing = Filing()
    index: IndexChoice = IndexChoice()
    embedder: EmbedderChoice = EmbedderChoice()
    reranker: RerankerChoice = RerankerChoice()
    search: Searches = Searches()
    limits: Bounds = Bounds()
    extraction: Extraction = Extraction()
    ingestion: Ingestion = Ingestion()
    websocket: WebSocket = WebSocket()
    retention: Retention = Retention()
    seal: Sealing = Sealing()
    egress: Egress = Egress()
    log: Log = Log()
    recordings: Recordings = Recordings()
    cassette: Tapes = Tapes()

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
