"""The text of an SFZ instrument: headers and opcodes, with includes, definitions and comments.

The format is that of https://sfzformat.com with the rules by which sfizz reads it, since sfizz
plays it: paths of includes are relative to the folder of the .sfz file, wherever they stand; a
definition is one word; the shortest known name after a ``$`` counts; a line that makes no sense is
left out. A file that is missing or includes itself is left out by sfizz, too, and an error here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from stemsmith.manifests.errors import UsageError

__all__ = ["LEVELS_UP", "Opcode", "Section", "SfzText", "beside", "read_text"]

# The largest of the real instruments that were tried has 2 MB of text, with 200 includes.
_MAX_BYTES: Final = 32 << 20  # of all files, each as often as it is included
_MAX_INCLUDES: Final = 20_000
_MAX_DEPTH: Final = 32  # of includes, as in sfizz
_MAX_OPCODES: Final = 1_000_000
_MAX_VALUE: Final = 1 << 16  # characters of a value with its definitions put in
_MAX_DEFINITION: Final = 1 << 10  # characters
_MAX_ROUNDS: Final = 32  # of putting in definitions that contain definitions
LEVELS_UP: Final = 2  # folders above that of the instrument in which its files may lie

_BLANK: Final = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?(?:\*/|\Z))*", re.DOTALL)
_DEFINE: Final = re.compile(r"#define[ \t]*\$(\w+)[ \t]*((?:(?!//|/\*)[^ \t\r\n])*)", re.ASCII)
_INCLUDE: Final = re.compile(r'#include[ \t]*"([^"\r\n]*)"')
_HEADER: Final = re.compile(r"<(\w+)>", re.ASCII)
_NAME: Final = re.compile(r"([\w$]+)=", re.ASCII)
_VALUE: Final = re.compile(r"(?:(?!//|/\*)[^\r\n])*")
# What ends a value in its line: a header, or blanks before one, a directive or the next opcode.
_END: Final = re.compile(
    r"<|(?<![ \t])[ \t]++(?:\Z|(?=<|#(?:define|include)(?!\w)|\w[\w$]*=))", re.ASCII
)
_ENCODED: Final = re.compile(r"[^<#]*")
_LINE: Final = re.compile(r"[^\n]*")
_IDENTIFIER: Final = re.compile(r"\w+", re.ASCII)
_WINDOWS_ROOT: Final = re.compile(r"[A-Za-z]:")


class Opcode(NamedTuple):
    """One setting, such as ``key=60``, with all definitions put in.

    Attributes
    ----------
    name, value : str
        The two sides of the sign of equality, without blanks around them.
    where : str
        File and line that it stands in, for errors.
    """

    name: str
    value: str
    where: str


class Section(NamedTuple):
    """A header, such as ``region``, and the opcodes up to the next one.

    Attributes
    ----------
    header : str
        The word between the angle brackets.
    where : str
        File and line that it stands in, for errors.
    opcodes : list of Opcode
        In the order of the text, which counts.
    """

    header: str
    where: str
    opcodes: list[Opcode]


class SfzText(NamedTuple):
    """What an instrument says.

    Attributes
    ----------
    sections : list of Section
        In the order of the text, those of includes where they are included.
    files : dict of str to Path
        The .sfz file by its name and the includes by their paths as they are written; each once.
    """

    sections: list[Section]
    files: dict[str, Path]


def beside(path: Path, name: str, where: str) -> Path:
    """Return the place of a file that an instrument names.

    Parameters
    ----------
    path : Path
        The .sfz file, as an absolute path.
    name : str
        Path of the other one as it is written, with slashes: relative to the folder of `path`.
    where : str
        What names it, for the error.

    Raises
    ------
    UsageError
        For an absolute path, or one that lies more than two folders above the instrument's.
    """
    if name.startswith("/") or _WINDOWS_ROOT.match(name):
        raise UsageError(f"{where}: {name}: give a path relative to the instrument's folder")
    place = Path(os.path.normpath(path.parent / name))
    top = path.parents[min(LEVELS_UP, len(path.parents) - 1)]
    if not place.is_relative_to(top):
        raise UsageError(f"{where}: {name}: lies outside of {top}, the place of the instrument")
    return place


def read_text(path: Path) -> SfzText:
    """Read an SFZ file and what it includes.

    Parameters
    ----------
    path : Path
        The .sfz file, as an absolute path.

    Raises
    ------
    UsageError
        If a file cannot be read, lies elsewhere or includes itself, or there is more text than any
        instrument has; naming the file and the line.
    """
    return _Parser(path).parse()


@dataclass(slots=True)
class _Reader:
    """A file that is being read, and how far that is."""

    path: Path
    text: str
    at: int = 0
    line: int = 1
    counted: int = field(default=0, repr=False)  # up to here lines are counted

    def where(self) -> str:
        """Return file and line of what is read now."""
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return f"{self.path}: line {self.line}"


class _Parser:
    """Reads one instrument."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, Path] = {}
        self._open: list[_Reader] = []
        self._defined: dict[str, str] = {}
        self._sections: list[Section] = []
        self._n_bytes = self._n_includes = self._n_opcodes = 0

    def parse(self) -> SfzText:
        """Read it all."""
        self._include(self._path.name, str(self._path))
        while self._open:
            reader = self._open[-1]
            blank = _BLANK.match(reader.text, reader.at)
            reader.at = blank.end() if blank else reader.at
            if reader.at >= len(reader.text):
                self._open.pop()
            elif not self._read_one(reader):
                rest = _LINE.match(reader.text, reader.at)
                reader.at = rest.end() if rest else len(reader.text)
        return SfzText(self._sections, self._files)

    def _read_one(self, reader: _Reader) -> bool:
        """Read a directive, a header or an opcode; return whether it is one."""
        sign = reader.text[reader.at]
        if sign == "#":
            return self._read_directive(reader)
        if sign == "<":
            if header := _HEADER.match(reader.text, reader.at):
                self._sections.append(Section(header[1], reader.where(), []))
                reader.at = header.end()
            return header is not None
        return self._read_opcode(reader)

    def _read_directive(self, reader: _Reader) -> bool:
        if define := _DEFINE.match(reader.text, reader.at):
            if len(define[2]) > _MAX_DEFINITION:
                raise UsageError(f"{reader.where()}: a definition of {len(define[2])} characters")
            self._defined[define[1]] = define[2]
            reader.at = define.end()
            return True
        if include := _INCLUDE.match(reader.text, reader.at):
            where = reader.where()
            reader.at = include.end()
            self._include(self._expanded(include[1], where).replace("\\", "/"), where)
            return True
        if reader.text.startswith("#include", reader.at):
            raise UsageError(f"{reader.where()}: #include needs the name of a file in quotes")
        return False

    def _include(self, name: str, where: str) -> None:
        path = beside(self._path, name, where)
        if any(reader.path == path for reader in self._open):
            raise UsageError(f"{where}: includes {name}, which includes it")
        if len(self._open) == _MAX_DEPTH:
            raise UsageError(f"{where}: more than {_MAX_DEPTH} files include each other")
        try:
            if not path.is_file():  # reading from a pipe may never end
                raise FileNotFoundError
            self._n_bytes += path.stat().st_size
            self._n_includes += 1
            if self._n_bytes > _MAX_BYTES or self._n_includes > _MAX_INCLUDES:
                raise UsageError(f"{self._path}: more text than any instrument has")
            # Names of files are bytes, and these give them back as they are.
            text = path.read_bytes().removeprefix(b"\xef\xbb\xbf").decode(errors="surrogateescape")
        except FileNotFoundError:
            raise UsageError(f"{where}: there is no file {path}") from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
        self._files[name] = path
        self._open.append(_Reader(path, text))

    def _read_opcode(self, reader: _Reader) -> bool:
        found = _NAME.match(reader.text, reader.at)
        if found is None:
            return False
        where = reader.where()
        name = self._expanded(found[1], where)
        if not _IDENTIFIER.fullmatch(name):
            return False
        if name == "base64data":
            value, reader.at = "", _end(_ENCODED, reader.text, found.end())
        else:
            line = reader.text[found.end() : _end(_VALUE, reader.text, found.end())]
            ending = _END.search(line)
            value = line if ending is None else line[: ending.start()]
            reader.at = found.end() + len(value)
        self._n_opcodes += 1
        if self._n_opcodes > _MAX_OPCODES:
            raise UsageError(f"{self._path}: more opcodes than any instrument has")
        if self._sections:  # sfizz has no use for those before the first header
            opcode = Opcode(name, self._expanded(value, where).strip(), where)
            self._sections[-1].opcodes.append(opcode)
        return True

    def _expanded(self, text: str, where: str) -> str:
        """Put in what is defined, again where that contains definitions."""
        for _ in range(_MAX_ROUNDS):
            if "$" not in text:
                return text
            if len(text) > _MAX_VALUE:
                break
            text = "".join(self._pieces(text))
        raise UsageError(f"{where}: definitions that contain each other, or too much text")

    def _pieces(self, text: str) -> Iterator[str]:
        first, *others = text.split("$")
        yield first
        for other in others:
            word = _IDENTIFIER.match(other)
            ends = range(1, (word.end() if word else 0) + 1)
            end = next((end for end in ends if other[:end] in self._defined), None)
            if end is not None:
                yield self._defined[other[:end]] + other[end:]
            else:  # an unknown name is left out as a whole
                yield other[word.end() if word else 0 :]


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
