"""The kinds of values that a key may have, and the checks that go with them."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

YEAR_SECONDS: Final = 31_536_000
_PORT_MOST: Final = 65_535
_PORT_DIGITS: Final = 5


def no_nul(text: str) -> str:
    """The text, if a C program can take it. Raises `ValueError`."""
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def printable(text: str) -> str:
    """The text, if it can be shown as it is. Raises `ValueError`."""
    if not text.isprintable():
        raise ValueError("must consist of printable characters")
    return text


def variable(name: str) -> str:
    """The name, if an environment variable can have it. Raises `ValueError`."""
    if not name or "=" in name:
        raise ValueError("must be the name of an environment variable")
    return no_nul(name)


def names_a_program(command: tuple[str, ...]) -> tuple[str, ...]:
    """The argument list, if it is empty or begins with a program. Raises `ValueError`."""
    if command and not command[0]:
        raise ValueError("must name a program first")
    return command


def loopback_address(text: str) -> tuple[str, int]:
    """The host, as an address of this machine's loopback, and the port. Raises `ValueError`."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS and int(port) <= _PORT_MOST):
        raise ValueError(f'"{text}" ends with no port; write HOST:PORT, such as 127.0.0.1:9464')
    name = "127.0.0.1" if host.lower() == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        raise ValueError(f'"{host}" is no address; write one of this machine\'s loopback, such as 127.0.0.1') from None
    if not address.is_loopback:
        raise ValueError(
            f'"{host}" is not of this machine\'s loopback: whoever reaches it could read what is served there; '
            "write 127.0.0.1 or [::1], and put a proxy before it where others are to see it"
        )
    return str(address), int(port)


def loopback(text: str) -> str:
    """The text, if it is empty or an address of the loopback with a port. Raises `ValueError`."""
    if text:
        loopback_address(text)
    return text


PositiveSeconds = Annotated[float, Field(gt=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=YEAR_SECONDS, allow_inf_nan=False)]
Argument = Annotated[str, AfterValidator(no_nul)]
Arguments = Annotated[tuple[Argument, ...], Field(strict=False), AfterValidator(names_a_program)]
Days = Annotated[float, Field(gt=0, le=36_500, allow_inf_nan=False)]
Place = Annotated[Path, Field(strict=False), AfterValidator(lambda path: Path(no_nul(str(path))))]


class Section(BaseModel):
    """A table of the file: unknown keys are faults, and nothing is converted from one type to another."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
