"""What a store's URL may be, and that a password in it is shown nowhere."""

import re

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo, pq

from kora.store.url import PARAMETERS, REFUSED, checked_url, shown_url

SECRET = "hunter2"  # noqa: S105 - of nobody


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///kora.db",
        "sqlite:////srv/kora.db",
        "postgresql://host/kora",
        "postgres://host/kora",
        "postgresql:///kora",
        "postgresql:///kora?host=/var/run/postgresql",
        "postgresql://ada:p%40ss%2Fword%3A@host:5432/kora",
        "postgresql://ada@host/kora",
        "postgresql://[::1]:5432/kora",
        "postgresql://one:5432,two:5433/kora?target_session_attrs=read-write",
        "postgresql://host/kora?sslmode=verify-full&connect_timeout=5&sslrootcert=/etc/ca.pem",
        "postgresql:///?service=kora",
        "postgresql://host/the%20board",
    ],
)
def test_a_url_that_names_a_store_is_taken_as_it_is(url):
    assert checked_url(url) == url


@pytest.mark.parametrize(
    "url", ["postgresql://ada:pw@host:5432/kora?sslmode=disable", "postgres://[::1]:5433/kora?connect_timeout=3"]
)
def test_what_is_taken_libpq_takes(url):
    assert conninfo.conninfo_to_dict(url)["dbname"] == "kora"


KINDS = "must be sqlite:///FILE or postgresql://HOST/DATABASE"


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("", KINDS),
        ("kora.db", KINDS),
        ("sqlite://kora.db", KINDS),
        ("mysql://host/kora", f"{KINDS}; there is no store of the kind mysql"),
        ("postgresql:host", f"{KINDS}; there is no store of the kind postgresql"),
        ("sqlite:///", "must be sqlite:///FILE: no file is named"),
        ("sqlite:///:memory:", "must be sqlite:///FILE: a database in memory cannot be shared"),
        ("sqlite:///a\0b", "must not contain a NUL character"),
        ("postgresql://", "names no database; write postgresql://HOST/DATABASE"),
        ("postgresql://host", "names no database; write postgresql://HOST/DATABASE"),
        ("postgresql://host/", "names no database; write postgresql://HOST/DATABASE"),
        ("postgresql://host/kora/more", "must be postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE; within a"),
        ("postgresql://ada:hun/ter2@host/kora", "must be postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE; within"),
        ("postgresql://ada:hunter2@x@host/kora", "must be postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE; within"),
        ("postgresql://host/kora#x", "must be postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE; within a"),
        ("postgresql://host:54x2/kora", "has a port that is no number from 1 to 65535 (is the @HOST there?)"),
        ("postgresql://host:0/kora", "has a port that is no number from 1 to 65535 (is the @HOST there?)"),
        ("postgresql://ada:hunter2/kora", "has a port that is no number from 1 to 65535 (is the @HOST there?)"),
        ("postgresql://one,two:65536/kora", "has a port that is no number from 1 to 65535 (is the @HOST there?)"),
        ("postgresql://::1/kora", "has a port that is no number from 1 to 65535 (is the @HOST there?)"),
        ("postgresql://[::1/kora", "has a host that is none; write a name, or an address, one of IPv6 as in [::1]"),
        ("postgresql://ada:100%@host/kora", "has a % that two digits must follow, as in %40 for @; write %25 for % "),
        ("postgresql://host/ko%00ra", "has a % that two digits must follow, as in %40 for @; write %25 for % "),
        ("postgresql://host/kora?sslmod=require", "has a parameter that libpq does not know; it knows application_"),
        ("postgresql://host/kora?sslmode", "the parameter sslmode must be written sslmode=VALUE, with %3D for a "),
        ("postgresql://host/kora?host=a=b", "the parameter host must be written host=VALUE, with %3D for a further ="),
        ("postgresql://host/kora?options=-c%20x", "the parameter options is refused, for pooling proxies refuse it"),
        ("postgresql://host/kora?%6Fptions=x", "the parameter options is refused, for pooling proxies refuse it"),
        ("postgresql://host/?dbname=kora", "the parameter dbname is refused: name the database behind the host"),
    ],
)
def test_any_other_is_refused_with_what_is_wrong(url, wrong):
    with pytest.raises(ValueError, match=f"^{re.escape(wrong)}") as raised:
        checked_url(url)

    assert "hunter2" not in str(raised.value)
    assert "ter2" not in shown_url(url)


def test_the_parameters_are_libpqs():
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}

    assert set(REFUSED) <= known
    assert known - set(REFUSED) == PARAMETERS


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////srv/kora.db", "sqlite:////srv/kora.db"),
        ("postgresql://host/kora", "postgresql://host/kora"),
        (f"postgresql://ada:{SECRET}@host:5432/kora", "postgresql://ada:***@host:5432/kora"),
        (f"postgres://:{SECRET}@host/kora", "postgres://:***@host/kora"),
        (f"postgresql://host/kora?user=ada&password={SECRET}", "postgresql://host/kora?user=ada&password=***"),
        (f"postgresql://host/kora?%70assword={SECRET}", "postgresql://host/kora?%70assword=***"),
        (f"postgresql://h/k?sslpassword={SECRET}&sslmode=require", "postgresql://h/k?sslpassword=***&sslmode=require"),
        (f"postgresql://h/k?oauth_client_secret={SECRET}", "postgresql://h/k?oauth_client_secret=***"),
        (f"postgresql://ada:{SECRET}/@host/kora", "postgresql://***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url, shown):
    assert shown_url(url) == shown


escaped = st.text(st.sampled_from("abXY09.-_~!$&'()*+,;=:@/?#[]% "), max_size=12)


@given(before=escaped, after=escaped, query=escaped)
def test_no_password_is_told_however_the_url_is_written(before, after, query):
    url = f"postgresql://ada:{before}{SECRET}{after}@host/kora{query}"

    fault = ""
    try:
        checked_url(url)
    except ValueError as error:
        fault = str(error)

    assert SECRET not in shown_url(url) + fault
    assert fault or SECRET in conninfo.conninfo_to_dict(url)["password"]


def test_the_driver_would_tell_the_password_in_one_that_is_refused():
    """Why Kora looks at the URL itself before the driver does."""
    with pytest.raises(psycopg.ProgrammingError, match=SECRET):
        conninfo.conninfo_to_dict(f"postgresql://ada:%{SECRET}@host/kora")
