"""A store's URL: what may stand in it, and how it is shown. Nothing here opens anything.

A URL of PostgreSQL is libpq's own: `postgresql://[user[:password]@][host[:port]]/database[?parameter=value&…]`, with
`%40` for an @ and so on. What is wrong with one is said without a word of it: any part may be a secret out of place.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

SQLITE: Final = "sqlite:///"
POSTGRES: Final = ("postgresql://", "postgres://")
HIDDEN: Final = "***"
_KINDS: Final = f"{SQLITE}FILE or {POSTGRES[0]}HOST/DATABASE"

PARAMETERS: Final = frozenset(
    (
        *("application_name", "channel_binding", "connect_timeout", "fallback_application_name", "gssdelegation"),
        *("gssencmode", "gsslib", "host", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle"),
        *("keepalives_interval", "krbsrvname", "load_balance_hosts", "max_protocol_version", "min_protocol_version"),
        *("oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope", "passfile", "password", "port"),
        *("require_auth", "requirepeer", "scram_client_key", "scram_server_key", "service", "ssl_max_protocol_version"),
        *("ssl_min_protocol_version", "sslcert", "sslcertmode", "sslcompression", "sslcrl", "sslcrldir", "sslkey"),
        *("sslkeylogfile", "sslmode", "sslnegotiation", "sslpassword", "sslrootcert", "sslsni"),
        *("target_session_attrs", "tcp_user_timeout", "user"),
    )
)
"""libpq's, without those of `REFUSED`"""
REFUSED: Final = {
    "options": "is refused, for pooling proxies refuse it; set it for the role: ALTER ROLE … SET …",
    "dbname": "is refused: name the database behind the host, as in HOST/DATABASE",
    "replication": "is refused: a store needs an ordinary connection",
    "client_encoding": "is refused: a store speaks UTF-8",
}
_SECRET: Final = frozenset(
    ("oauth_client_secret", "password", "scram_client_key", "scram_server_key", "sslpassword"),
)
_POSTGRES: Final = re.compile(
    r"(?P<scheme>postgres(?:ql)?://)(?:(?P<user>[^:@/?#\s]*)(?P<password>:[^@/?#\s]*)?@)?"
    r"(?P<hosts>[^@/?#\s]*)(?:/(?P<database>[^@/?#\s]*))?(?:\?(?P<query>[^@#\s]*))?"
)
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]]*)(?::(?P<port>.*))?")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")
_PORT_MAX: Final = 65_535


def is_postgres(url: str) -> bool:
    """Whether the URL is one of PostgreSQL, sound or not."""
    return url.startswith(POSTGRES)


def checked_url(url: str) -> str:
    """The URL, if it names a store that there can be. Raises `ValueError` that says what is wrong, without a secret."""
    if "\0" in url:
        raise ValueError("must not contain a NUL character")
    if is_postgres(url):
        _checked_postgres(url)
    elif url.startswith(SQLITE):
        if url == SQLITE:
            raise ValueError(f"must be {SQLITE}FILE: no file is named")
        if url == f"{SQLITE}:memory:":
            raise ValueError(f"must be {SQLITE}FILE: a database in memory cannot be shared")
    else:
        scheme = re.match(r"[a-z][a-z0-9+.-]{0,30}(?=:)", url, re.IGNORECASE)
        of_kind = f"; there is no store of the kind {scheme[0]}" if scheme and scheme[0] != "sqlite" else ""
        raise ValueError(f"must be {_KINDS}{of_kind}")
    return url


def shown_url(url: str) -> str:
    """The URL as it may be shown to anybody: `***` stands for its password, and for whatever else is secret.

    Of one of PostgreSQL that is not sound nothing is shown but its kind.
    """
    if not is_postgres(url):
        return url
    try:
        found = _checked_postgres(url)
    except ValueError:
        return f"{POSTGRES[0]}{HIDDEN}"
    at = "" if found["user"] is None else f"{found['user']}{f':{HIDDEN}' if found['password'] else ''}@"
    database = "" if found["database"] is None else f"/{found['database']}"
    query = "" if found["query"] is None else "?" + "&".join(map(_shown_parameter, found["query"].split("&")))
    return f"{found['scheme']}{at}{found['hosts']}{database}{query}"


def _shown_parameter(parameter: str) -> str:
    name, equals, _ = parameter.partition("=")
    return f"{name}={HIDDEN}" if equals and unquote(name) in _SECRET else parameter


def _checked_postgres(url: str) -> re.Match[str]:
    found = _POSTGRES.fullmatch(url)
    if found is None:
        raise ValueError(
            f"must be {POSTGRES[0]}[USER[:PASSWORD]@]HOST[:PORT]/DATABASE; within a part write %40 for @,"
            " %2F for /, %3A for :, %3F for ?, %23 for #, %20 for a blank"
        )
    if _BAD_ESCAPE.search(url):
        raise ValueError("has a % that two digits must follow, as in %40 for @; write %25 for % itself")
    for host in found["hosts"].split(","):
        _check_host(host)
    names = _checked_parameters(found["query"] or "")
    if not found["database"] and "service" not in names:
        raise ValueError(f"names no database; write {POSTGRES[0]}HOST/DATABASE")
    return found


def _check_host(host: str) -> None:
    found = _HOST.fullmatch(host)
    if found is None:
        raise ValueError("has a host that is none; write a name, or an address, one of IPv6 as in [::1]")
    port = found["port"]
    # Not shown: where the @ is missing, a password stands here.
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= _PORT_MAX):
        raise ValueError(f"has a port that is no number from 1 to {_PORT_MAX} (is the @HOST there?)")


def _checked_parameters(query: str) -> set[str]:
    names = set()
    for parameter in query.split("&") if query else ():
        escaped, equals, value = parameter.partition("=")
        name = unquote(escaped)
        if name in REFUSED:
            raise ValueError(f"the parameter {name} {REFUSED[name]}")
        if name not in PARAMETERS:
            raise ValueError(f"has a parameter that libpq does not know; it knows {', '.join(sorted(PARAMETERS))}")
        if not equals or "=" in value:
            raise ValueError(f"the parameter {name} must be written {name}=VALUE, with %3D for a further =")
        names.add(name)
    return names
