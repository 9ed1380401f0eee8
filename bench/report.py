"""The figures as a Markdown table: what was measured, what was wanted, and what others of this kind use."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bench.figures import Chain, Figures
from bench.load import at


class Row(NamedTuple):
    """A line of the table: how to read it from figures, and the most it may be."""

    name: str
    value: Callable[[Figures], float | None]
    most: float | None = None


def pick(*path: str) -> Callable[[Figures], float | None]:
    """A reader of one figure; None where a step was not run."""

    def read(figures: Figures) -> float | None:
        value: Any = figures
        for name in path:
            value = getattr(value, name, None)
        return value

    return read


def _growth(figures: Figures) -> float | None:
    memory = figures.mem
    if memory is None or memory.peak_rss_mb is None or memory.idle_rss_mb is None:
        return None
    return round(memory.peak_rss_mb - memory.idle_rss_mb, 1)


def _sockets(figures: Figures) -> float | None:
    found = figures.sockets
    if found is None or found.open_rss_mb is None or found.idle_rss_mb is None:
        return None
    return round(found.open_rss_mb - found.idle_rss_mb, 1)


def _turn(kind: str, turn: int) -> Callable[[Figures], float | None]:
    def read(figures: Figures) -> float | None:
        chain: Chain | None = getattr(figures.chain, kind, None)
        return at(chain.rows, turn, 2) if chain else None

    return read


def _round(last: int) -> Callable[[Figures], float | None]:
    def read(figures: Figures) -> float | None:
        return figures.tools.round_cpu_ms.get(last) if figures.tools else None

    return read


def _disk(kind: str, bytes_of: Callable[[Chain], int | None]) -> Callable[[Figures], float | None]:
    """Disk as a multiple of the text; peers' files do not say the text, which is the same by the load's definition."""

    def read(figures: Figures) -> float | None:
        chain: Chain | None = getattr(figures.chain, kind, None)
        size = bytes_of(chain) if chain else None
        if chain is None or size is None:
            return None
        return round(size / (chain.text_bytes or chain.turns_done * 1195), 1) if chain.turns_done else None

    return read


ROWS = (
    Row("paced, 1 client: CPU µs/token", pick("stream", "c1", "cpu_us_per_token")),
    Row("paced, 16 clients: CPU µs/token", pick("stream", "c16", "cpu_us_per_token"), 40),
    Row("paced, 64 clients: CPU µs/token", pick("stream", "c64", "cpu_us_per_token")),
    Row("burst, 1 client: CPU µs/token", pick("burst", "c1", "cpu_us_per_token")),
    Row("burst, 16 clients: CPU µs/token", pick("burst", "c16", "cpu_us_per_token"), 14),
    Row("burst, 64 clients: CPU µs/token", pick("burst", "c64", "cpu_us_per_token")),
    Row("burst, 64 clients: tokens/s", pick("burst", "c64", "tok_per_s")),
    Row("short request, 1 client: CPU ms", pick("nonstream", "c1", "cpu_ms_per_req"), 0.6),
    Row("short request, 16 clients: CPU ms", pick("nonstream", "c16", "cpu_ms_per_req"), 0.6),
    Row("short request, 1 client: p50 ms", pick("nonstream", "c1", "p50_ms")),
    Row("first event: p50 ms", pick("ttfe", "first_event_ms", "p50"), 1.5),
    Row("first event: p95 ms", pick("ttfe", "first_event_ms", "p95")),
    *(
        Row(f"chain by {name}, turn {turn}: CPU ms", _turn(kind, turn), 4 if turn == 300 else None)
        for kind, name in (("prev", "response"), ("conv", "conversation"))
        for turn in (1, 10, 50, 100, 200, 300)
    ),
    Row("chain by response: disk / text, running", _disk("prev", lambda chain: chain.disk_bytes)),
    Row("chain by response: disk / text, stopped", _disk("prev", lambda chain: chain.at_rest_bytes), 3),
    Row("chain by conversation: disk / text, running", _disk("conv", lambda chain: chain.disk_bytes)),
    Row("chain by conversation: disk / text, stopped", _disk("conv", lambda chain: chain.at_rest_bytes), 3),
    Row("200 open streams: MB above idle", _growth, 30),
    Row("200 open streams: MB at idle", pick("mem", "idle_rss_mb")),
    Row("200 open streams: CPU µs/token", pick("mem", "cpu_us_per_token")),
    Row("1,000 idle WebSockets: MB above idle", _sockets, 60),
    Row("WebSocket burst: CPU µs/token", pick("sockets", "cpu_us_per_token")),
    Row("two tools of 200 ms in a round: p50 ms", pick("tools", "pair_ms", "p50"), 260),
    Row("two tools of 200 ms in a round: least ms", pick("tools", "pair_ms", "min"), 260),
    Row("16 tools of 200 ms in a round: p50 ms", pick("tools", "many_ms", "p50")),
    Row("16 tools of 200 ms in a round: least ms", pick("tools", "many_ms", "min")),
    *(Row(f"round {last} of a tool that does nothing: CPU ms", _round(last), 1) for last in (10, 50, 200)),
    Row("MCP call on an open session: CPU ms", pick("tools", "call_cpu_ms"), 3),
    Row("MCP call on an open session: ms, the MCP server's work in it", pick("tools", "call_ms")),
    Row("first use of MCP: MB", pick("tools", "sdk_mb")),
    Row("further MCP session: KB", pick("tools", "session_kb")),
    Row("start to first answer: s", pick("start", "first_response_s"), 1),
    Row("base installation: MB", pick("start", "installed_mb"), 220),
)


def peers(folder: Path) -> dict[str, Figures]:
    """Figures of other servers that speak Responses, by name, where that folder is at hand."""
    found: dict[str, Figures] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            figures = msgspec.json.decode(path.read_bytes(), type=Figures)
        except msgspec.ValidationError as error:
            print(f"{path.name} is left out: {error}")
            continue
        if figures.stream and not path.stem.endswith("_chat"):
            found[path.stem] = figures
    return found


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if value < 1000 else f"{value:,.0f}"


def verdict(row: Row, value: float | None) -> str:
    """Whether a figure is within what was wanted."""
    if row.most is None or value is None:
        return ""
    return "ok" if value <= row.most else f"**over** ({value / row.most:.2f} x)"


def table(ours: Figures, others: Mapping[str, Figures]) -> str:
    """The table; lines that nothing was measured for are left out."""
    lines = ["| measure | this run | wanted | |" + "".join(f" {name} |" for name in others)]
    lines.append("|---|--:|--:|---|" + "--:|" * len(others))
    for row in ROWS:
        value = row.value(ours)
        if value is not None:
            wanted = "" if row.most is None else f"≤ {row.most:g}"
            cells = [
                row.name,
                _cell(value),
                wanted,
                verdict(row, value),
                *(_cell(row.value(it)) for it in others.values()),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def machine(core: int | None) -> str:
    """What it ran on, in a line."""
    processors = os.cpu_count() or 1
    model = next(
        (line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    pinned = "not pinned" if core is None else f"server, upstream and client pinned to core {core}"
    system = f"CPython {platform.python_version()}, {platform.system()} {platform.machine()}"
    return f"{system}, {processors} x {model}; {pinned}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
