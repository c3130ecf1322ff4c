r"""Secrets, found in text and hidden: by the name before them, by their shape, and by their value.

Names: `password=…`, `"api_key": "…"`, `--token …`, `Authorization: Bearer …`, `Cookie: …`, `scheme://user:…@host`.
Shapes: the tokens of well-known services, JSON web tokens, private keys in PEM. Values: what the environment holds
under such a name. A claim's fence is called a token and is none: it is left alone, and so are ids.

However the text is made, the time this takes grows with its length alone: what a pattern has eaten it does not give
back, or it is bounded. What is none of these a program can still say of its secrets; no filter can help that.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Final, Self

MASK: Final = "***"
VALUE_CHARACTERS: Final = 8
"""a shorter value of the environment is too likely to be a word that also means something else"""
_MARGIN_CHARACTERS: Final = 8_192
"""how much further than it is shown a text is looked through: what it is cut in might be a secret"""
_LINE_CHARACTERS: Final = 20
"""of a value of several lines, how long a line must be to be hidden by itself as well"""

_Span = tuple[int, int]

# What begins with a literal is skipped to quickly; hence what must not stand before it is looked at after it.
_NAME: Final = r"""
    (?: pass(?:wor[dt]|wd|phrase) | secret | credential | _(?:pass|pwd)(?![a-z])
      | (?:access|account|api|auth|deploy|encryption|license|master|private|service|signing|ssh|storage)[ _-]?key
      | token (?<!fencetoken) (?<!fence[ _-]token)
        (?! s | [ _-](?:advance|boundar|budget|count|endpoint|expir|kind|length|limit|per|rate|siz|type|ur[il]|us) )
    )
    (?: [_-][\w-]{0,32}+ | \d{1,3}+ )?+ s?+
"""
_NAME_HINTS: Final = ("pass", "token", "key", "secret", "pwd", "credential")
_QUOTE: Final = r"""\\{0,3}["']"""
_ASSIGNED: Final = rf"(?:{_QUOTE})?+ [ \t]{{0,8}}+ (?: => | := | [=:] ) [ \t]{{0,8}}+"
_QUOTED: Final = r"""
    \\{1,3}"[^"\\\n]*+ | \\{1,3}'[^'\\\n]*+ | "(?:[^"\\\n]|\\.)*+ | '(?:[^'\\\n]|\\.)*+
"""
"""a string, also one inside another, without its closing quote, which may be missing"""
_LISTED: Final = r"[\[{(][^\n]*+"


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.VERBOSE | re.ASCII | re.DOTALL)


# Looked for in lower case: a pattern that ignores case cannot skip. Each with words of which one must be there.
_BY_NAME: Final = (
    (_NAME_HINTS, _pattern(rf"""{_NAME} {_ASSIGNED} ( {_QUOTED} | {_LISTED} | [^\s"'&]++ )""")),
    (
        ("--",),
        _pattern(rf"""
            -- (?<![\w-]--) (?: [\w-]{{0,40}}?{_NAME} | [\w-]{{0,40}}?pass(?![a-z-]) )
            (?:{_QUOTE})?+ ,?+ [ \t]{{1,8}}+ (?!--) ( {_QUOTED} | [^\s"']++ )
        """),
    ),
    (
        ("authorization",),
        _pattern(rf"""authorization {_ASSIGNED} (?:{_QUOTE})?+ ( (?:[a-z]{{1,20}}+[ ]{{1,8}}+)?+ [^\s"']*+ )"""),
    ),
    (("cookie",), _pattern(rf"cookies?+ {_ASSIGNED} ( {_QUOTED} | [^\n]++ )")),
    (("bearer ", "basic "), _pattern(r"(?:bearer|basic) [ \t]{1,8}+ ([\w.~+/=-]{16,}+)")),
)
_USERINFO: Final = re.compile(r"""://[^\s/?#@:"']*+:([^\s/"']+)@""")
_SHAPES: Final = _pattern(r"""
    (?: sk-(?<![A-Za-z0-9]sk-)[\w-]{18,}+ | gh[opsru]_[A-Za-z0-9]{20,}+ | github_pat_\w{20,}+ | glpat-[\w-]{16,}+
      | xox[abeoprs]-[A-Za-z0-9-]{10,}+ | A[KS]IA[0-9A-Z]{16}(?![0-9A-Z]) | AIza[\w-]{30,}+ )
  | eyJ (?<![\w-]eyJ) [\w-]{5,}+ \. [\w-]{5,}+ (?:\.[\w-]*+)?+
  | -----BEGIN[ ][A-Z0-9 ]{0,40}PRIVATE[ ]KEY .*? (?: -----END[ ][A-Z0-9 ]{0,40}----- | \Z )
""")
_SHAPE_HINTS: Final = (
    *("sk-", "gho_", "ghp_", "ghr_", "ghs_", "ghu_", "_pat_", "glpat-", "xox", "akia", "asia", "aiza", "eyj"),
    "-----begin",
)

_SECRET_VARIABLE: Final = re.compile(rf"(?:{_NAME}|authorization|cookie|_key|^pass|bearer)\Z", re.VERBOSE | re.ASCII)
_HARMLESS_VARIABLE: Final = re.compile(r"_(?:file|path|dir|ur[il]|host|name|user|type)\Z")
_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class Redactor:
    """Hides secrets. `values` are hidden wherever they stand; for any thread."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        # The longest first: one may hold another.
        self._values = tuple(sorted({part for value in values for part in _parts(value)}, key=len, reverse=True))
        self._values_as_bytes = tuple(value.encode(errors="surrogateescape") for value in self._values)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """One that also knows what this environment holds under names of secrets."""
        return cls(value for name, value in environ.items() if _is_secret(name))

    def __call__(self, text: str) -> str:
        """The text with every secret that is recognised replaced by `***`; the same text, if there is none."""
        spans = list(self._spans(text))
        return _masked(text, spans) if spans else text

    def head(self, text: str, characters: int) -> str:
        """The text's beginning, without a secret in it, nor the first part of one that it was cut in."""
        return self(text[: characters + _MARGIN_CHARACTERS])[:characters]

    def without_values(self, text: bytes) -> bytes:
        """The text with the values alone replaced, which costs next to nothing: for what may come in floods."""
        for value in self._values_as_bytes:
            if value in text:
                text = text.replace(value, MASK.encode())
        return text

    def _spans(self, text: str) -> Iterator[_Span]:
        lowered = text.lower()
        if len(lowered) != len(text):
            lowered = text.translate(_LOWER)
        for hints, pattern in _BY_NAME:
            if _has_any(lowered, hints):
                yield from (_inside(text, match.span(1)) for match in pattern.finditer(lowered))
        if "://" in text and "@" in text:
            yield from (match.span(1) for match in _USERINFO.finditer(text))
        if _has_any(lowered, _SHAPE_HINTS):
            yield from (match.span() for match in _SHAPES.finditer(text))
        for value in self._values:
            start = text.find(value)
            while start >= 0:
                yield start, start + len(value)
                start = text.find(value, start + len(value))


@cache
def of_this_process() -> Redactor:
    """One that knows what this process's environment held under names of secrets when it was first asked for."""
    return Redactor.of(os.environ)


def _has_any(text: str, hints: tuple[str, ...]) -> bool:
    # A loop, not a generator: this is asked some ten times for every line that is logged.
    for hint in hints:  # noqa: SIM110 - as just said
        if hint in text:
            return True
    return False


def _inside(text: str, span: _Span) -> _Span:
    """The span without the quotes that open it."""
    start, end = span
    while start < end and text[start] in "\\\"'":
        start += 1
    return start, end


def _masked(text: str, spans: list[_Span]) -> str:
    parts, shown_to = [], 0
    for start, end in sorted(spans):
        if end > max(start, shown_to):
            if start >= shown_to:
                parts += [text[shown_to:start], MASK]
            shown_to = end
    return "".join([*parts, text[shown_to:]])


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return bool(_SECRET_VARIABLE.search(lowered)) and not _HARMLESS_VARIABLE.search(lowered)


def _parts(value: str) -> Iterator[str]:
    stripped = value.strip()
    if len(stripped) >= VALUE_CHARACTERS:
        yield stripped
    lines = stripped.splitlines()
    yield from (line for line in lines if len(lines) > 1 and len(line) >= _LINE_CHARACTERS)
