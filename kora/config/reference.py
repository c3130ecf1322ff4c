"""The page about the configuration file, made from the models: `python -m kora.config.reference` prints it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kora.config.agent import NEEDED, Agent, ModelPrice
from kora.config.faults import table_of
from kora.config.sections import Child, Document
from kora.config.values import YEAR_SECONDS

_HEAD: Final = """\
# The configuration file

<!-- Made by `python -m kora.config.reference` from the models in kora/config; a test holds it to them. -->

Kora reads one TOML file: the one that `--config FILE` names, else the one that `KORA_CONFIG` names, else
`supervisor.toml` in the working directory, else the one that ships. `KORA_STORE` overrides `runtime.store`.
`kora-actors init` writes a small file to begin with; the [`supervisor.toml`](../supervisor.toml) that ships shows
every key.

- Every key has a default, but what the agent is: `agent.command`, or `agent.callable`.
- The unit of a duration stands at the end of its name; seconds may be fractional.
- A relative path is relative to the file (in `KORA_STORE`: to the working directory). So is a program that is named
  with a slash; one without is searched in `PATH`.
- A key that is not known, or a value of the wrong type, is a fault. All faults are listed at once, each with its
  key, and nothing is started.

```toml
[agent]
command = ["python3", "agent.py"]
```

is a whole configuration.
"""

_ABOUT: Final = {
    "runtime": """\
`store` is a file, `sqlite:///FILE`, made and migrated on first use; or a database on a server that runtimes on many
machines share, `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?PARAMETER=VALUE&…]` (or `postgres://`), made and
migrated by `kora-actors migrate` alone. The parameters are libpq's, such as `sslmode=verify-full`, `sslrootcert`,
`connect_timeout` or `service`, but for `options`, which pooling proxies refuse, `dbname`, `replication` and
`client_encoding`. A socket's folder is a parameter, too: `postgresql:///kora?host=/var/run/postgresql`. In a name or
password write `%40` for `@`, `%2F` for `/` and so on. The password need not stand there: libpq finds it in
`PGPASSWORD`, in `~/.pgpass` (or the file that `PGPASSFILE` names), or in a service file; one that does is shown
nowhere, `***` stands for it.

The log goes to stderr. With `log_format = "json"` each line is one object, which always has the keys `time` (RFC 3339,
UTC), `level`, `actor`, `runtime`, `ticket`, `attempt`, `message` and `exception`; what is not known is null. In both
formats `***` stands for what is recognised as a secret: by the name before it (`password=`, `"api_key":`, `--token`,
`Authorization:`), by its shape (the tokens of well-known services, private keys), or because an environment variable
of such a name holds it. When the log is not read, or cannot be written, nobody waits for it: lines are left out, and
how many is said as soon as it can be.
""",
    "agent": """\
Each ticket is done by an attempt of the agent. A `command` is started for each attempt and reads its ticket as one
JSON object from stdin. A `callable` is called in the runtime's own process, as `run(ticket, work)`:

```toml
[agent]
kind = "callable"
callable = "agent:run"          # the function run of agent.py beside this file
verify = ["make", "test"]       # what it says is done counts only when this exits with 0
timeout_seconds = 3600
```

A command can be killed, and is, with all that it has started; a callable cannot. One that goes on after its lease
was lost changes nothing on the board any more, but may overlap the attempt that follows.

The kinds `claude`, `codex` and `gemini` are coding agents' own programs, started for each attempt and read from their
streams; [agents.md](agents.md) has a chapter for each.

```toml
[agent]
kind = "claude"
permission_mode = "acceptEdits"
allowed_tools = ["Bash(make test)"]
max_budget_usd = 2.5
```

`command`, `interactive` and `progress` go only with a command, `callable` only with a callable. `executable`,
`arguments`, `prompt`, `prompt_file`, `model`, `permission_mode` and `resume` go only with coding agents;
`allowed_tools`, `max_turns` and `max_budget_usd` only with claude, and `prices` only with codex and gemini.

A program sees of the runtime's environment what `env_allow` names, and nothing else. What it says of a secret there,
such as `ANTHROPIC_API_KEY`, is replaced by `***` in the log, in events, in the ticket's summary and in what the admin
commands show (as [`[runtime]`](#runtime) tells); in the record of what the attempt printed, only the values of such
variables are, of 8 characters or more. What it records of an operation (key, result, error) is its own data, which
later attempts get as it was given: it stays in the store as it is, and no command shows it. A secret that is spelt
otherwise (in pieces, in another encoding) is recognised by nobody.

With `workdir = "fresh"` or `"worktree"` each attempt of a program has a place of its own: see
[Where an attempt runs](workspaces.md). A folder of that name is written `"./fresh"`. `repository` goes only with
`"worktree"`.
""",
    "agent.prices": """\
What codex and gemini spend is not in their streams: it is worked out from the tokens that they tell, where the model
has a price here. For codex that is the model of `model`; without one nothing is known of it.

```toml
[agent]
kind = "codex"
model = "gpt-5"

[agent.prices."gpt-5"]
input_usd_per_million = 1.25
cached_input_usd_per_million = 0.125
output_usd_per_million = 10
```
""",
    "agents": """\
Further agents, each in a table with a name of its own: at most 64 of a-z, 0-9, `_` and `-`, a letter or digit
first. They do the tickets that name them (`ticket add --agent review …`). The keys are those of `[agent]`, with the
same defaults: nothing is inherited from `[agent]`.

```toml
[agents.review]
command = ["bin/review", "{ticket_title}"]
stall_seconds = 300

[agents.count]
kind = "callable"
callable = "agents.counting:run"
```
""",
    "cost": """\
What attempts cost is what their agents tell: see [What an attempt costs](agents.md#what-an-attempt-costs). All runtimes
of a workspace spend from one pool, which is counted by month (UTC) in the store. From 75 % of it on there is the reason
`cost` in the operational state, and `warn_75` may hand tickets to other agents; from 90 % on `downshift_90` may. A
ticket that names an agent is done by that one. When the pool is used up, what runs is released as
`deferred_cost_limit`, and then the runtime pauses until the credit is refreshed: by `cost refresh`, or by a new month.

An attempt that costs more than `attempt_usd` is ended as soon as its agent has told of it, and has failed (by
`over_limits`: three such failures, and the ticket is given up); one that has completed its ticket keeps its success. A
ticket whose attempts have cost `ticket_usd` altogether, and that would be tried again, waits for an operator, whose
`unblock` grants it as much again. Claude is also told what it may spend, as `max_budget_usd` would.

```toml
[cost]
pool_usd = 500
attempt_usd = 5
ticket_usd = 20
warn_75 = { low = "small" }
downshift_90 = { low = "small", medium = "small", high = "small" }

[agents.small]
kind = "claude"
model = "haiku"
```
""",
    "supervisor.children": """\
One table for each child that is to be treated otherwise: `admin`, `clock`, `state_holder`, `ledger`, `worker` (all
Workers), `heartbeat`, `control`, `poller`. They share these keys. The `state_holder`, which only mirrors, and `admin`,
which only serves the admin API, may also be "temporary": never restarted. An actor that hangs cannot be ended, since a
thread cannot: its name goes to a successor, what it still does counts for nothing, and its thread is left behind. What
is slow about an agent is no hang.

The Workers stand under a supervisor of their own (`workers`), and so do the `state_holder` (`mirror`) and `admin`
(`faces`); all keep to the same limits. When the Workers' gives up, that is one restart for the one above it; when the
mirror's or the faces' does, it is left out and the work goes on.

```toml
[supervisor.children.worker]
shutdown_seconds = 30
```
""",
    "boot": """\
Before a runtime claims anything its boot gates have to pass, in this order: `configuration`, `store`, `schema`,
`actor`, `agents`, `credentials`, `clock`, `epoch`, `chains`, `control_log`, `cost`, `claim_smoke`. `kora-actors run
--check-only` tries each once and shows what it found; see [the command line](cli.md#run---check-only). `store`,
`credentials`, `clock`, `control_log` and `cost` are tried again as the first three keys say, and so is any gate while
the store is only busy; a server out of reach is waited for until it is back, or the runtime is told to end. What is
changed here is heeded with the next start.

```toml
[boot]
credentials = ["env:ANTHROPIC_API_KEY", "secrets/deploy_key"]
```
""",
    "admin": """\
The API is HTTP and JSON on the unix socket `admin.sock` in `runtime.state_dir`, for this user alone; see
`kora-actors repl`. What is changed here is heeded with the next start.
""",
    "notify": """\
The command is run once for each notice of this runtime's own, one at a time, in the folder of the configuration
file, with the runtime's environment and with `KORA_NOTICE` set to the notice's name. Its stdin is the event, as
`events --json` shows it. It can do no harm: when it fails, hangs or is not there, that is one warning in the log,
and the work goes on. When notices come faster than it tells them, the oldest of more than 100 are left out.

```toml
[notify]
command = ["sh", "-c", "mail -s \\"kora: $KORA_NOTICE\\" ops@example.org"]
on = ["blocked", "gave_up"]
```

| notice | what happened |
|---|---|
| `blocked` | a ticket waits for an operator: attempted too often, or a ticket that it waits for has failed |
| `paused` | the runtime claims nothing more until somebody, or a date, ends that |
| `gave_up` | the supervisor restarted a part too often; the runtime ends if it was the one at the top (`kora`) |
| `poisoned` | a ticket is `failed_terminal`: it failed three times, or its agent said so |
""",
}


_UNITS: Final = ("seconds", "days")
_PLAIN: Final = {
    "string": "text",
    "path": "path",
    "boolean": "`true` or `false`",
    "array": "list of text",
    "object": "an agent's name each for `critical`, `high`, `medium`, `low`",
}


def page() -> str:
    """The whole page, as Markdown."""
    return _HEAD + "".join(_chapter(name, field) for name, field in Document.model_fields.items())


def _chapter(name: str, field: FieldInfo) -> str:
    table, is_named = table_of(field)
    if table is None:
        raise TypeError(f"{name} is no table")
    if is_named:
        return f"\n## `[{name}.NAME]`\n\n{_ABOUT[name]}"
    chapter = _section(f"## `[{name}]`", table, _ABOUT.get(name))
    if name == "supervisor":
        chapter += _section("### `[supervisor.children.NAME]`", Child, _ABOUT["supervisor.children"])
    if name == "agent":
        chapter += _section("### `[agent.prices.MODEL]`", ModelPrice, _ABOUT["agent.prices"])
    return chapter


def _section(title: str, model: type[BaseModel], about: str | None) -> str:
    parts = ["", title, "", model.__doc__ or "", ""]
    parts += [about] if about else []
    parts += ["| key | value | default | meaning |", "|---|---|---|---|", *_rows(model)]
    return "\n".join([*parts, ""])


def _rows(model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()["properties"]
    for name, field in model.model_fields.items():
        if table_of(field)[0] is None:
            unit = name.rpartition("_")[2]
            default = "-" if (model is Agent and name in NEEDED.values()) or field.is_required() else _default(field)
            cells = (f"`{name}`", _allowed(schema[name], unit), default, field.description or "")
            yield f"| {' | '.join(cells)} |"


def _allowed(schema: dict[str, Any], unit: str) -> str:
    """What the key may be, in words."""
    match schema:
        case {"anyOf": kinds}:
            return " or ".join(_allowed(each, unit) for each in kinds)
        case {"enum": choices} | {"items": {"enum": choices}}:
            known = ", ".join(map(_spelled, choices))
            return known if "enum" in schema else f"list of {known}"
        case {"type": "integer" | "number" as kind}:
            what = "whole number" if kind == "integer" else "number"
            return (unit if unit in _UNITS else what) + _bounds(schema)
        case {"const": choice}:
            return _spelled(choice)
        case {"maxLength": longest}:
            return f"text of at most {longest} characters"
    return _PLAIN[schema.get("format", schema["type"])]


def _bounds(schema: dict[str, Any]) -> str:
    least, above, most = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if least is not None and most != YEAR_SECONDS:
        return f", {least:,} to {most:,}"
    # The longest time that is taken is a year, which nobody needs to be told.
    lower = f", more than {above:,}" if above is not None else f", {least:,} or more"
    return lower if most == YEAR_SECONDS else f"{lower}, at most {most:,}"


def _default(field: FieldInfo) -> str:
    if field.default_factory is dict:
        return "`{}`"
    if field.default_factory is not None:
        return "derived"
    if isinstance(field.default, float):
        return f"`{field.default:g}`"
    return _spelled(field.default)


def _spelled(value: object) -> str:
    return f"`{json.dumps(value, default=str)}`"


if __name__ == "__main__":
    sys.stdout.write(page())
