"""What a coding agent is asked: a template, filled in for one attempt. Pure, and light: a configuration checks it, too.

`{name}` stands for what `PLACEHOLDERS` says of the name, and `{{name}}` for the text `{name}`; any other brace is
itself, so that JSON and code need no care. What is filled in is never looked through for placeholders. A line that
holds only a placeholder with nothing to say is left out, and the blank lines after it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kora.domain.claim import Claim, EarlierAttempt

PROMPT_BYTES: Final = 4 * 1_024 * 1_024
"""no template is taken whose prompt could be longer"""
ATTEMPTS_SHOWN: Final = 10
"""of earlier attempts, the newest"""
SUMMARY_CHARACTERS: Final = 2_000
"""of each one's summary, the first"""
OUTPUT_CHARACTERS: Final = 8_000
"""of what the check printed, the last"""

PLACEHOLDERS: Final = {
    "ticket_id": "the ticket's id",
    "ticket_title": "its title, on one line",
    "ticket_objective": "its objective, as it was given",
    "sea_priority": "its priority",
    "sea_idea_kind": "its kind",
    "attempt": "which try at the ticket this is; the first is 1",
    "earlier_attempts": f"how the last {ATTEMPTS_SHOWN} attempts at it ended, with a heading; nothing at the first",
    "verify_output": "the last of what `verify` printed when it failed, with a heading; nothing if it did not",
}
DEFAULT: Final = """\
You work on one ticket of a task board, unattended: nobody can answer a question meanwhile. Where something is unclear,
choose the likeliest meaning, and say at the end what you assumed.

# {ticket_title}

{ticket_objective}

{earlier_attempts}

{verify_output}

Work in the current directory, and make sure that what you did works. Close with a short summary of what you did and of
what is left to do: it is kept with the ticket, and whoever tries again reads it.
"""

_EARLIER: Final = "Earlier attempts did not finish this ticket; the newest is the last here:"
_CHECKED: Final = "The check of an earlier attempt's work failed. The last of what it printed:"

_BYTES: Final = {
    "ticket_title": 4_000,
    "ticket_objective": 1_048_576,
    "earlier_attempts": 4 * ATTEMPTS_SHOWN * (SUMMARY_CHARACTERS + 200),
    "verify_output": 4 * (2 * OUTPUT_CHARACTERS + 200),
}
"""what each may come to at most; the others are short"""
_SHORT_BYTES: Final = 400
_NAME: Final = r"[A-Za-z_][\w.-]*"
_PLACEHOLDER: Final = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})\}}", re.ASCII)
_LINE_OF_ITS_OWN: Final = re.compile(
    rf"^[ \t]*+\{{({_NAME})\}}[ \t]*+(?:\n(?:[ \t]*+\n)*+|\Z)", re.ASCII | re.MULTILINE
)


def check(template: str) -> str:
    """The template, if it can be filled in for every ticket.

    Raises:
        ValueError: it is blank, names what there is not, or its prompt could be too long; the message says where.
    """
    if not template.strip():
        raise ValueError("must not be empty")
    size = len(template.encode())
    for found in _PLACEHOLDER.finditer(template):
        name = found[2]
        if name is None:
            continue
        if name not in PLACEHOLDERS:
            line = template.count("\n", 0, found.start()) + 1
            known = ", ".join(f"{{{each}}}" for each in PLACEHOLDERS)
            raise ValueError(
                f"there is no placeholder {{{name}}} (line {line}); there are: {known}. "
                f"The text itself is written {{{{{name}}}}}"
            )
        size += _BYTES.get(name, _SHORT_BYTES)
    if size > PROMPT_BYTES:
        raise ValueError(
            f"could come to {size:,} bytes for a long ticket; at most {PROMPT_BYTES:,} are allowed: "
            "is a placeholder repeated?"
        )
    return template


def render(template: str, claim: Claim, verify_output: str = "") -> str:
    """The prompt of this attempt: at most `PROMPT_BYTES`, and never empty: it is the title, where nothing else is said.

    `verify_output` is what the check printed when it last failed. The prompt may begin with whatever a ticket's title
    begins with, a dash or a slash included, if the template does: it must not be put where a program looks for options.

    Raises:
        ValueError: the template is none that `check` lets pass.
    """
    ticket = claim.ticket
    title = " ".join(ticket.ticket_title.split())
    values = {
        "ticket_id": ticket.ticket_id,
        "ticket_title": title,
        "ticket_objective": ticket.ticket_objective.strip("\n"),
        "sea_priority": ticket.sea_priority.value,
        "sea_idea_kind": " ".join(ticket.sea_idea_kind.split()),
        "attempt": str(claim.attempt),
        "earlier_attempts": _section(_EARLIER, _ends(claim)),
        "verify_output": _section(_CHECKED, _fenced(verify_output)),
    }

    def unless_empty(found: re.Match[str]) -> str:
        return found[0] if values[found[1]].strip() else ""

    def value(found: re.Match[str]) -> str:
        return f"{{{found[1]}}}" if found[2] is None else values[found[2]]

    prompt = _PLACEHOLDER.sub(value, _LINE_OF_ITS_OWN.sub(unless_empty, check(template)))
    return prompt if prompt.strip() else title


def _section(heading: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"{heading}\n\n{text}" if text else ""


def _ends(claim: Claim) -> Iterator[str]:
    """How earlier attempts ended; of a store that tells no more than the ticket does, the last one."""
    ticket = claim.ticket
    earlier = claim.earlier_attempts[-ATTEMPTS_SHOWN:]
    if earlier:
        yield from map(_end, earlier)
    elif ticket.last_resolution is not None:
        yield _item(f"The last attempt ended {ticket.last_resolution}", ticket.last_summary or "")


def _end(attempt: EarlierAttempt) -> str:
    how = attempt.resolution or "without a word of its agent"
    return _item(f"Attempt {attempt.attempt} ended {how}", attempt.summary)


def _item(what: str, summary: str) -> str:
    said = summary.strip()
    if len(said) > SUMMARY_CHARACTERS:
        said = f"{said[:SUMMARY_CHARACTERS]} […]"
    # Set in, so that no line of it can pass for another attempt or a heading.
    first, *others = said.splitlines() or [""]
    return "\n".join([f"- {what}: {first}" if first else f"- {what}", *(f"  {line}" for line in others)])


def _fenced(text: str) -> Iterator[str]:
    text = text.strip("\n")
    if not text.strip():
        return
    if len(text) > OUTPUT_CHARACTERS:
        text = f"[…]{text[-OUTPUT_CHARACTERS:]}"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield from (fence, text, fence)
