"""Requests that look valid, made by hypothesis of the names there are, and the changes that they ask for."""

import http.client
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from tests.unit.kora.admin.wire import connected

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
# Mapped, so that it is one choice among others, and not as many as it has itself.
SOMETHING = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.just([[]]) | st.just({"x": {}})
).map(lambda value: value)
EMPTY = st.sampled_from([*[None] * 9, {}, {"x": 1}, []])
SEEN = st.sampled_from(
    [
        *("status", "tree", "stack", "claims", "tickets", "events", "log", "deadletters", "stats", "control", "cost"),
        *("ping", "version", "nix"),
    ]
)
TAKING_PARAMETERS = [["events"], ["tickets"], ["log"]]
PARAMETER = st.tuples(
    st.sampled_from(["limit", "status", "after", "ticket", "type"]) | TEXT,
    st.sampled_from(["0", "1", "1000", "1001", "-1", "assigned", "kora.boot.ready"]) | TEXT,
)
PARAMETERS = st.lists(PARAMETER, max_size=2)
HAS_PARAMETERS = st.sampled_from([True, *[False] * 9])
"""whether a path that takes none is given some"""


def body(required, **optional):
    """What is right, what is nearly so, and what is not."""
    right = st.fixed_dictionaries(required, optional=optional)
    every = required | optional
    nearly = st.fixed_dictionaries(
        {}, optional={name: value | SOMETHING for name, value in every.items()} | {"also": SOMETHING}
    )
    return right | right | right | right | nearly | SOMETHING


def _mostly(known):
    named = st.sampled_from(known)
    return named | named | named | TEXT


def routes(*, names, messages, numbers, tickets, changes=("pause", "resume", "reread", "update")):
    """A method, the parts of a path, and a body; of the actors, messages, dead letters and tickets that are given.

    `changes` are the paths without a body that are about the whole runtime.
    """
    name, number, ticket = map(_mostly, ([*names, *names, "nobody"], numbers, tickets))
    known = st.sampled_from(messages)
    kinds = sorted({message["kind"] for message in messages})
    message = (
        known
        | known
        | st.fixed_dictionaries({"kind": SOMETHING | st.sampled_from(kinds)}, optional={"depth": SOMETHING})
    )

    def seen(word, *more):
        return st.builds(lambda name, what: [word, name, *what], name, st.sampled_from([[], *more]))

    def of_actor(*verbs):
        return st.builds(lambda name, verb: ["actors", name, verb], name, st.sampled_from(verbs))

    get, post, delete = st.just("GET"), st.just("POST"), st.just("DELETE")
    return st.one_of(
        st.tuples(get, SEEN.map(lambda word: [word]), EMPTY),
        st.tuples(get, seen("actors", ["mailbox"], ["kinds"], ["stack"]), EMPTY),
        st.tuples(get, ticket.map(lambda each: ["tickets", each]), EMPTY),
        st.tuples(post, of_actor("tell"), body({"message": message})),
        st.tuples(post, of_actor("ask"), body({"message": message}, timeout_seconds=st.floats(0.1, 300))),
        st.tuples(post, of_actor("start", "stop", "restart"), EMPTY),
        st.tuples(post, st.sampled_from(changes).map(lambda word: [word]), EMPTY),
        st.tuples(post, st.just(["drain"]), body({}, seconds=st.floats(0, 100) | st.none())),
        st.tuples(post, number.map(lambda each: ["deadletters", each, "resend"]), EMPTY),
        st.tuples(post, ticket.map(lambda each: ["tickets", each, "release"]), EMPTY),
        st.tuples(delete, number.map(lambda each: ["deadletters", each]), EMPTY),
        st.tuples(delete, st.just(["deadletters"]), EMPTY),
        st.tuples(
            st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS"]),
            st.lists(TEXT, max_size=3),
            SOMETHING,
        ),
    )


ENDING = st.tuples(st.just("POST"), st.just(["shutdown"]), body({}, at_once=st.booleans()))


def target(parts, parameters):
    """What is asked for, spelt."""
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(parameters)}" if parameters else path


def meant(method, parts, body, who):
    """The change that this asks for."""
    said = body if isinstance(body, dict) else {}
    match method, parts:
        case "POST", ["actors", name, ("tell" | "ask") as verb]:
            change = (verb, name, said.get("message"))
        case "POST", ["actors", name, ("start" | "stop" | "restart") as verb]:
            change = (verb, name)
        case "POST", ["tickets", ticket, "release"]:
            change = ("release", ticket)
        case "POST", [("pause" | "resume" | "update") as verb]:
            change = (verb,)
        case "POST", ["drain"]:
            change = ("drain", said.get("seconds"))
        case "POST", ["shutdown"]:
            change = ("shutdown", said.get("at_once", False))
        case "POST", ["deadletters", number, "resend"]:
            change = ("resend", int(number))
        case "DELETE", ["deadletters", *number]:
            change = ("drop", int(number[0]) if number else None)
    return (*change, who)


class Requests:
    """One connection, kept as long as the server keeps it."""

    def __init__(self, path):
        self._path = path
        self._connection = None

    def ask(self, method, target, body):
        if self._connection is None or self._connection.sock is None:
            self.close()
            self._connection = http.client.HTTPConnection("kora")
            self._connection.sock = connected(self._path)
        self._connection.request(method, target, body)
        response = self._connection.getresponse()
        return response.status, response.read()

    def close(self):
        if self._connection is not None:
            self._connection.close()
