"""Source code, configuration and markup, as they are. Definitions at the beginning of a line are the headings."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

from antiphon.adapters.extracting.encoding import decode
from antiphon.adapters.parts import Parts, Plain
from antiphon.ports.extractor import Extracted, Extractor

_WORDS: Final = (
    r"(?:(?:export|default|public|private|protected|internal|static|abstract|final|sealed|async|pub|unsafe|const|virtual"
    r"|inline|partial|data|open|declare|extern|override|suspend|pub\([a-z:]{1,20}\))[ \t]+){0,4}"
    r"(?:def|class|function|func|fn|interface|struct|enum|trait|impl|module|namespace|type|object|record|protocol"
    r"|extension|union|macro_rules!|sub|package)\b"
)
_FUNCTION: Final = r"[A-Za-z_](?=[^;\n]{0,300}$)[^(=\n]*\("
"""How a function of C, Java or C# begins: at the margin, with a parenthesis and no semicolon."""
_CODE: Final = (
    rf"^(?:[ \t]{{0,4}}(?:@\w[^\n]{{0,200}}\n[ \t]{{0,4}})?{_WORDS}"
    r"|(?:const|let|var)[ \t]+\w+[ \t]*=[ \t]*(?:async[ \t]*)?\()"
)
_PATTERNS: Final = {
    "": re.compile(_CODE, re.MULTILINE),
    "c": re.compile(rf"{_CODE}|^{_FUNCTION}", re.MULTILINE),
    "sh": re.compile(r"^(?:function[ \t]+[\w:.-]+|[\w:.-]+[ \t]*\(\))", re.MULTILINE),
    "sql": re.compile(r"^(?:create|alter|insert|with)[ \t]+\w", re.MULTILINE | re.IGNORECASE),
    "tex": re.compile(r"^[ \t]*\\(?:part|chapter|(?:sub){0,2}section|paragraph)\*?[\[{]", re.MULTILINE),
    "toml": re.compile(r"^\[", re.MULTILINE),
    "yaml": re.compile(r"^[\w\"'][^\n#:]{0,100}:(?=[ \t\n])", re.MULTILINE),
    "css": re.compile(r"^[^\s@{}/][^{}\n]{0,200}\{|^@\w", re.MULTILINE),
    "xml": re.compile(r"(?!)"),
}
_FAMILY: Final = {
    **dict.fromkeys(".c .h .cc .cpp .cxx .hh .hpp .cs .java .m .mm .ino .glsl .cu".split(), "c"),
    **dict.fromkeys(".sh .bash .zsh .fish .bat .cmd .ps1 .mk".split(), "sh"),
    **dict.fromkeys(".sql".split(), "sql"),
    **dict.fromkeys(".tex .bib .sty .cls .ltx".split(), "tex"),
    **dict.fromkeys(".toml .ini .cfg .conf .properties .env .tf .hcl".split(), "toml"),
    **dict.fromkeys(".yaml .yml".split(), "yaml"),
    **dict.fromkeys(".css .scss .sass .less".split(), "css"),
    **dict.fromkeys(".xml .xsd .xsl .xslt .svg .rss .atom .plist .kml .gpx .dtd".split(), "xml"),
}
_OTHERS: Final = tuple(
    ".py .pyi .pyx .js .jsx .mjs .cjs .ts .tsx .mts .cts .vue .svelte .go .rs .rb .php .pl .pm .lua .swift .kt"
    " .kts .scala .groovy .gradle .dart .r .jl .hs .ml .mli .ex .exs .erl .hrl .clj .cljs .lisp .el .scm .f90 .f"
    " .pas .vb .fs .fsx .nim .zig .v .sv .vhd .asm .s .proto .graphql .gql .thrift .cmake .nix .dockerfile .sol"
    " .awk .tcl".split()
)


class Code:
    """Reads whatever programs are written in."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Every suffix of code that OpenAI's file search takes, and the usual others."""
        return (*_FAMILY, *_OTHERS)

    @property
    def media(self) -> tuple[str, ...]:
        """Types that OpenAI's file search takes, and those of configuration."""
        return tuple(
            "application/javascript application/typescript application/x-typescript application/xml application/yaml"
            " application/x-yaml application/toml application/sql application/x-sh application/x-python-code"
            " application/x-tex application/csh application/x-latex application/x-php application/graphql text/xml"
            " text/css text/javascript text/x-c text/x-c++ text/x-csharp text/x-golang text/x-java text/x-php"
            " text/x-python text/x-script.python text/x-ruby text/x-rust text/x-sh text/x-tex text/yaml".split()
        )

    def extract(self, content: bytes, filename: str, /) -> Extracted:
        """The text; raises ExtractionError."""
        text = decode(content)
        pattern = _PATTERNS[_FAMILY.get(PurePath(filename.lower()).suffix, "")]
        return Extracted(text, headings=tuple(found.start() for found in pattern.finditer(text)))


def make(config: Plain, parts: Parts) -> Extractor:  # noqa: ARG001 - the registry's convention
    """Needs nothing."""
    return Code()
