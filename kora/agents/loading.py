"""Finding the function that a configuration names as 'module:function'."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kora.errors import AgentError
from kora.work import Ticket, Work
from kora.work.values import described

Function = Callable[[Ticket, Work], Any]

_ARGUMENTS: Final = 2


def load(name: str, folder: Path) -> Function:
    """The function; its module is looked for in `folder` first, then where Python looks.

    The folder stays on Python's path, so that what the function imports while it runs is found there as well.

    Raises:
        AgentError: there is none, or it cannot be called as `run(ticket, work)`; the message says where, why, and what
            to do.
    """
    module_name, colon, path = name.partition(":")
    words = [*module_name.split("."), *path.split(".")]
    if not colon or not all(word.isidentifier() for word in words):
        raise AgentError(f"'{name}' is not MODULE:FUNCTION, as in 'jobs.night:run'")
    found: Any = _imported(module_name, folder)
    where = f"module '{module_name}' ({getattr(found, '__file__', None) or 'built into Python'})"
    for word in path.split("."):
        found = _attribute(found, word, where)
        where = f"'{word}' of {where}"
    _check(found, where)
    function: Function = found
    return function


def _imported(name: str, folder: Path) -> object:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            raise AgentError(
                f"there is no module '{missing}' in '{folder}', nor where Python looks:"
                f" write {missing.replace('.', '/')}.py there, or correct the name"
            ) from None
        raise _broken(name, folder, error) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a user's module may raise anything, SystemExit as well
        raise _broken(name, folder, error) from None


def _broken(name: str, folder: Path, error: BaseException) -> AgentError:
    return AgentError(f"module '{name}' cannot be imported: {_place_of(error, folder)}{described(error)}")


def _place_of(error: BaseException, folder: Path) -> str:
    """The line at fault: the last one of a module in the folder, or of any module."""
    if type(error) is SyntaxError:
        # Its message names the line already.
        return f"{error.filename}: "
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    others = [frame for frame in frames if frame.filename not in (__file__, importlib.__file__)]
    places = [frame for frame in others if Path(frame.filename).is_relative_to(folder)] or others
    return f"{places[-1].filename}, line {places[-1].lineno}: " if places else ""


def _attribute(found: object, word: str, where: str) -> object:
    try:
        return getattr(found, word)
    except AttributeError:
        near = difflib.get_close_matches(word, [name for name in dir(found) if not name.startswith("_")])
        hint = f"; did you mean {' or '.join(repr(name) for name in near)}?" if near else ""
        raise AgentError(f"there is no '{word}' in {where}{hint}") from None


def _check(found: Callable[..., Any] | object, where: str) -> None:
    """Raises `AgentError` for what cannot be called as `run(ticket, work)`, or would not do its work when it is."""
    if inspect.isclass(found):
        raise AgentError(f"{where} is a class: name a function, or an object's method")
    if not callable(found):
        raise AgentError(f"{where} is a {type(found).__name__}, not a function")
    for asked in (found, type(found).__call__):
        if inspect.iscoroutinefunction(asked) or inspect.isasyncgenfunction(asked):
            raise AgentError(f"{where} is async: make it a plain function, which may call asyncio.run itself")
        if inspect.isgeneratorfunction(asked):
            raise AgentError(f"{where} is a generator (it has a yield): make it a plain function")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        # Written in C, it does not say what it takes.
        return
    try:
        signature.bind(*range(_ARGUMENTS))
    except TypeError as error:
        raise AgentError(
            f"{where} takes {signature}, and is called with two arguments, (ticket, work): {error}"
        ) from None
