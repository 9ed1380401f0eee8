"""A terminal's screen with its scrollback, for what a program writes to it: enough of the sequences that rich uses."""

from __future__ import annotations

import re

PIECE = re.compile(r"\x1b\[(?P<args>[?\d;]*)(?P<code>[A-Za-z])|\x1b[=>]|(?P<text>[^\x1b])", re.DOTALL)


class Screen:
    """`lines` holds everything that was ever on it, scrolled out or not; the cursor cannot leave the last `height`."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.rows: list[list[str]] = [[]]
        self.row = self.column = 0
        self.hidden = False

    def feed(self, written: str) -> None:
        for piece in PIECE.finditer(written):
            if piece["code"]:
                self._obey(piece["code"], piece["args"])
            elif piece["text"]:
                self._put(piece["text"])

    @property
    def lines(self) -> list[str]:
        lines = ["".join(row).rstrip() for row in self.rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def _put(self, character: str) -> None:
        if character == "\r":
            self.column = 0
        elif character == "\b":
            self.column = max(0, self.column - 1)
        elif character == "\n":
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.rows):
                self.rows.append([])
        elif character >= " ":
            if self.column == self.width:
                self._put("\n")
            row = self.rows[self.row]
            row.extend(" " * (self.column + 1 - len(row)))
            row[self.column] = character
            self.column += 1

    def _obey(self, code: str, args: str) -> None:
        number = int(args) if args.isdigit() else 1
        if code == "A":
            self.row = max(self.row - number, len(self.rows) - self.height, 0)
        elif code == "G":
            self.column = number - 1
        elif code == "K":
            self.rows[self.row] = self.rows[self.row][: self.column] if args in {"", "0"} else []
        elif code == "J":
            del self.rows[self.row + 1 :]
            self.rows[self.row] = self.rows[self.row][: self.column]
        elif args == "?25":
            self.hidden = code == "l"
