"""Secrets are hidden, what only looks a little like one is not, and no text takes long."""

import re
import string
import time
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kora.redact import MASK, Redactor

redacted = Redactor()

NAMES = (
    *("password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "api-key", "access_token", "db_pass"),
    *("client_secret", "private_key", "secret_key", "credential", "refresh-token", "PASSWORD", "Api_Key", "GH_TOKEN"),
    *("password_hash", "AWS_SECRET_ACCESS_KEY", "token2", "credentials", "x-api-key", "API_TOKEN_PROD", "dbPassword"),
)
FORMS = (
    *("{}={}", "{}: {}", "{} = {}", "{}:{}", '"{}": "{}"', "'{}': '{}'", '{}="{}"', "{}='{}'", "{} => {}", "{} := {}"),
    *("--{} {}", "--{}={}", "['--{}', '{}']", '["--{}", "{}"]', r"\"{}\": \"{}\"", "?x=1&{}={}&y=2", "{}=['{}', 'b']"),
    '{}:  "{}',
)
values = st.text(string.ascii_letters + string.digits + "!#$%*+-./;<>?@^_|~,", min_size=1, max_size=40).filter(
    lambda value: not value.startswith("--")
)
prose = st.text(st.sampled_from("abcdef .,()äß✓"), max_size=30)


@given(before=prose, name=st.sampled_from(NAMES), form=st.sampled_from(FORMS), value=values, after=prose)
def test_what_stands_after_a_secrets_name_is_hidden(before, name, form, value, after):
    value = f"q{value}Q"
    shown = redacted(f"{before} {form.format(name, value)} {after}")

    assert value not in shown
    assert MASK in shown
    assert shown.startswith(before)
    assert name in shown


@given(
    value=st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1),
    name=st.sampled_from(NAMES),
)
def test_a_value_in_quotes_is_hidden_to_its_end_and_no_further(value, name):
    assume("***" not in value and value.strip("\\\"'"))
    for quote in "\"'":
        spelled = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
        before, after = f"{{{quote}{name}{quote}: {quote}", f"{quote}, end"
        # What begins with an escaped quote is shown as if that opened the value.
        assert re.fullmatch(
            re.escape(before) + r"[\\\"']*" + re.escape(MASK + after), redacted(before + spelled + after)
        )


SHAPES = (
    *("sk-proj-abcdefghijklmnopqrstuvwx", "sk-ant-api03-AbCdEf_1234567890-xyz", "ghp_" + "a1" * 18, "gho_" + "B2" * 18),
    *("github_pat_" + "a_1" * 20, "glpat-abcdefghij1234567890", "xoxb-123456789012-abcdef", "xoxp-1-2-abcdefghijk"),
    *("AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "AIza" + "Sy" * 17 + "x"),
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1r\\n-----END OPENSSH PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADAN, and cut off",
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("around", ["{}", "it is {}", "({})", "x={}", '"{}"', "https://h/?k={}", "Hdr {}"])
def test_what_has_a_secrets_shape_is_hidden(shape, around):
    text = around.format(shape)

    assert redacted(text).startswith(around.format(MASK)[: around.index("{") + 3])
    assert not any(part in redacted(text) for part in re.findall(r"\w{8,}", shape) if "PRIVATE" not in part)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Bearer abc.def-1 next", "Authorization: *** next"),
        ('"authorization": "Basic dXNlcjpw", "a": 1', '"authorization": "***", "a": 1'),
        ("-H 'Authorization: token abc'", "-H 'Authorization: ***'"),
        ("sent Bearer abcdefghij0123456789", "sent Bearer ***"),
        ("Cookie: a=b; session=c\nnext", "Cookie: ***\nnext"),
        ("{'set-cookie': 'a=b; c', 'x': 1}", "{'set-cookie': '***', 'x': 1}"),
        ("postgres://kora:hunter2@db/kora", "postgres://kora:***@db/kora"),
        ("redis://:p@ss@h:1/0 and http://a:b@c", "redis://:***@h:1/0 and http://a:***@c"),
        ("run --token abc --password 'd e' x", "run --token *** --password '***' x"),
        ("--password --verbose", "--password --verbose"),
        ("İ password=hunter2", "İ password=***"),
    ],
)
def test_a_secret_is_cut_out_and_the_rest_is_left(text, shown):
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "claim_fence_token=7, claim_fence_token: 8, fence token: 9, claimFenceToken=1",
        '{"claim_fence_token": 7, "work_attempt_id": "0190a000-0000-7000-8000-000000000001"}',
        "attempt 0190a000-0000-7000-8000-000000000001 of ticket 0190a000-0000-7000-8000-000000000002: lost",
        "kora_operation_id=6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11 key=invoice-2026-03",
        "max_tokens=4096 tokens: 12 token_count=5 token_expiring: no streaming_token_advanced=1 token_type: x",
        "pass: 5, fail: 3; compass=north; the secretary: Bob; monkey=1; keys: 3; public_key=abc",
        "task-abcdefghijklmnopqrstuvwxyz risk-assessment-of-the-thing desk-lamp-with-a-long-name",
        "the bearer of bad news; basic facts; a cookie; no password given; a token was lost",
        "http://host:8080/path?mail=a@b and sqlite:////srv/kora.db and me@example.org",
        "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----",
        "password=\"\" and token=''",
        "eyJ.a.b and eyJhbGciOi alone",
    ],
)
def test_what_is_no_secret_is_left_alone(text):
    assert redacted(text) == text


@given(st.uuids(), st.integers(), st.sampled_from(["ticket_id", "work_attempt_id", "holder", "claim_fence_token"]))
def test_ids_and_fences_are_left_alone(identifier: uuid.UUID, fence, name):
    text = f"{identifier} {name}={identifier} '{name}': '{identifier}' {name}: {fence} {identifier.hex}"

    assert redacted(text) == text


@given(st.text(st.sampled_from("abc01 .,;:=_-/\"'\\{}[]\n✓"), max_size=200))
def test_without_a_word_or_shape_of_a_secret_nothing_changes(text):
    assert redacted(text) == text


fragments = st.one_of(
    st.sampled_from(
        [*NAMES, *SHAPES, "=", ": ", '"', "'", "\\", " --", "://", "@", "cookie", "authorization", "bearer "]
    ),
    st.text(max_size=5),
)


@given(st.lists(fragments, max_size=15).map("".join))
def test_parts_are_cut_out_and_nothing_else_is_changed(text):
    place = 0
    for part in redacted(text).split(MASK):
        place = text.find(part, place)
        assert place >= 0
        place += len(part)


def test_values_of_the_environment_are_hidden_wherever_they_stand():
    known = Redactor.of(
        {
            "SOME_API_KEY": "value-number-one",
            "OPENAI_KEY": "value-number-two",
            "DB_PASS": "short",
            "TLS_PRIVATE_KEY": "first line of the key\nsecond line of the key\nend",
            "PWD": "/srv/somewhere",
            "OLDPWD": "/srv/elsewhere",
            "SSH_AUTH_SOCK": "/run/ssh-agent.1",
            "PASSWORD_FILE": "/run/secrets/x",
            "KEYBOARD": "qwertyuiop",
            "HOME": "/home",
        }
    )

    assert known("a value-number-one-b value-number-two") == "a ***-b ***"
    assert known("first line of the key\nsecond line of the key\nend.") == "***."
    assert known("'second line of the key\\n'") == "'***\\n'"
    for text in ("short", "/srv/somewhere /srv/elsewhere", "/run/ssh-agent.1", "/run/secrets/x", "qwertyuiop", "end"):
        assert known(text) == text


@given(st.lists(st.text("ab", min_size=8, max_size=12), min_size=1, max_size=4), st.text("ab ", max_size=60))
def test_of_values_that_overlap_nothing_is_left(secrets, text):
    shown = Redactor(secrets)(text)

    assert not any(secret in shown for secret in secrets)


HOSTILE = (
    *("password", " token=", "--", "--a ", "password_", "eyJ", "eyJaaaaa.", "sk-", "://", "://a:", "://a:b@", "_pass"),
    *('password="', "password='\\", '\\"', "-----BEGIN PRIVATE KEY", "-----BEGIN ", "authorization: ", "cookie:", "a"),
    *(
        "authorization:a ",
        "bearer ",
        "bearer aaaaaaaaaaaaaaa ",
        'password=\\\\\\"',
        "-",
        " --a-a-a-a-a-a-a",
        "token: [",
    ),
    *("credential", "AKIA", "github_pat_", "api key", "token" + " " * 9, "password" + "\\" * 9, " --" + "a" * 45),
)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_megabyte_made_to_take_long_takes_as_long_as_its_length(hostile):
    def taken(size):
        text = (hostile * (size // len(hostile) + 1))[:size]
        begun = time.thread_time_ns()
        redacted(text)
        return time.thread_time_ns() - begun

    # Sixteen times the length, sixteen times the work; if it grew with the square, that would be 256 times.
    small = min(taken(65_536) for _ in range(5))
    assert min(taken(1_048_576) for _ in range(2)) < 80 * max(small, 200_000)


KNOWN = "Windlass4Gunwale8Taffrail2"


@given(st.text(alphabet="ab \n", max_size=60), st.text(alphabet="ab \n", max_size=60), st.integers(0, 100))
def test_a_text_that_is_cut_short_ends_in_no_part_of_a_secret(before, after, characters):
    shown = Redactor([KNOWN]).head(f"{before}{KNOWN}{after}", characters)

    assert len(shown) <= characters
    assert shown == f"{before}{MASK}{after}"[:characters]


@given(st.lists(st.sampled_from([b"x", b"\xff", b"\n", KNOWN.encode(), KNOWN[:9].encode()]), max_size=20))
def test_values_alone_are_hidden_in_bytes_that_are_no_text(parts):
    said = b"".join(parts)

    assert Redactor([KNOWN]).without_values(said) == said.replace(KNOWN.encode(), MASK.encode())


def test_a_value_within_another_does_not_give_that_away():
    redactor = Redactor(["Windlass4", "Windlass4Gunwale8"])

    assert redactor.without_values(b"Windlass4Gunwale8") == b"***"
    assert redactor("Windlass4Gunwale8") == "***"
