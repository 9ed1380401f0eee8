"""What is measured, by the names that the report and the peers' files use.

Fields are None where a step was not run. CPU is that of the server's process tree, user and system.
"""

from __future__ import annotations

import msgspec


class Streams(msgspec.Struct, kw_only=True):
    """Streams of one load: `cpu_us_per_token` counts only tokens of streams that came whole."""

    streams_ok: int = 0
    faults: int = 0
    fault_sample: list[object] = []
    wall_s: float | None = None
    cpu_s: float | None = None
    cpu_us_per_token: float | None = None
    tok_per_s: float | None = None
    stream_p50_s: float | None = None
    stream_p95_s: float | None = None


class Clients(msgspec.Struct, kw_only=True):
    """One load at 1, 16 and 64 clients."""

    c1: Streams | None = None
    c16: Streams | None = None
    c64: Streams | None = None


class Short(msgspec.Struct, kw_only=True):
    """Stored non-streaming requests of five tokens."""

    ok: int = 0
    faults: int = 0
    fault_sample: list[object] = []
    req_per_s: float | None = None
    cpu_ms_per_req: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None


class Shorts(msgspec.Struct, kw_only=True):
    """Short requests at 1 and 16 clients."""

    c1: Short | None = None
    c16: Short | None = None


class Spread(msgspec.Struct, kw_only=True):
    """A latency, ms."""

    p50: float
    p95: float
    min: float | None = None


class First(msgspec.Struct, kw_only=True):
    """When a stream begins: its first event, and its first text (the upstream's 2 ms beat is in it)."""

    first_event_ms: Spread | None = None
    first_delta_ms: Spread | None = None
    bad: int = 0


class Chain(msgspec.Struct, kw_only=True):
    """A chain of turns, about 1,000 characters in and 200 out each. `rows`: turn, wall ms, CPU ms, bytes of the
    upstream request, bytes on disk. `at_rest_bytes` is the data folder after the server has stopped."""

    turns_done: int = 0
    error: str | None = None
    total_cpu_s: float | None = None
    disk_bytes: int | None = None
    at_rest_bytes: int | None = None
    text_bytes: int | None = None
    rows: list[tuple[int, float, float, int | None, int | None]] = []


class Chains(msgspec.Struct, kw_only=True):
    """Chains by `previous_response_id` and in a conversation."""

    prev: Chain | None = None
    conv: Chain | None = None


class Memory(msgspec.Struct, kw_only=True):
    """200 streams open at once."""

    idle_rss_mb: float | None = None
    peak_rss_mb: float | None = None
    after_rss_mb: float | None = None
    open_streams_max: int = 0
    ok: int = 0
    bad: int = 0
    bad_sample: list[object] = []
    cpu_us_per_token: float | None = None


class Sockets(msgspec.Struct, kw_only=True):
    """1,000 WebSockets: memory before, when all are open, and when each has had a response; CPU on one of them."""

    idle_rss_mb: float | None = None
    silent_rss_mb: float | None = None
    open_rss_mb: float | None = None
    cpu_us_per_token: float | None = None
    bad: int = 0


class Start(msgspec.Struct, kw_only=True):
    """From the start of the process to its first answer, and megabytes that the base dependencies take installed."""

    first_response_s: float | None = None
    installed_mb: float | None = None


class Tools(msgspec.Struct, kw_only=True):
    """Tools that the server runs. `pair_ms`, `many_ms`: a response with one round of two and of sixteen calls that take
    200 ms each. `round_cpu_ms`: CPU of the ten rounds up to this one, each. `call_*`: what an MCP call adds to a round,
    on a session that is open; the wall time has the MCP server's own work in it. `sdk_mb`: the first use of MCP.
    `sessions_begun`, `lists_asked`: while all that was measured on an open session, so none."""

    pair_ms: Spread | None = None
    many_ms: Spread | None = None
    call_cpu_ms: float | None = None
    call_ms: float | None = None
    round_cpu_ms: dict[int, float] = {}
    sdk_mb: float | None = None
    session_kb: float | None = None
    sessions_begun: int | None = None
    lists_asked: int | None = None
    bad: int = 0
    bad_sample: list[str] = []

    def faults(self) -> list[str]:
        """What did not come as it should, in words."""
        found = [f"tools: {self.bad} faults, such as {self.bad_sample}"] if self.bad else []
        if self.sessions_begun or self.lists_asked:
            found.append(f"tools: {self.sessions_begun} sessions begun and {self.lists_asked} lists asked for again")
        return found


class Figures(msgspec.Struct, kw_only=True):
    """One server's figures."""

    stream: Clients | None = None
    burst: Clients | None = None
    ttfe: First | None = None
    nonstream: Shorts | None = None
    chain: Chains | None = None
    mem: Memory | None = None
    sockets: Sockets | None = None
    start: Start | None = None
    tools: Tools | None = None

    def faults(self) -> list[str]:
        """Everything that did not come as it should, in words."""
        found: list[str] = []
        for name, load in (("paced", self.stream), ("burst", self.burst), ("short", self.nonstream)):
            for clients in ("c1", "c16", "c64"):
                part: Streams | Short | None = getattr(load, clients, None)
                if part and part.faults:
                    found.append(f"{name} {clients}: {part.faults} faults, such as {part.fault_sample}")
        if self.ttfe and self.ttfe.bad:
            found.append(f"first event: {self.ttfe.bad} streams were not whole")
        if self.mem and self.mem.bad:
            found.append(f"open streams: {self.mem.bad} faults, such as {self.mem.bad_sample}")
        if self.sockets and self.sockets.bad:
            found.append(f"WebSockets: {self.sockets.bad} responses were not whole")
        if self.tools:
            found += self.tools.faults()
        for name, chain in (("prev", self.chain and self.chain.prev), ("conv", self.chain and self.chain.conv)):
            if chain and chain.error:
                found.append(f"chain {name}: {chain.error}")
        return found
