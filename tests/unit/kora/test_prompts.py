"""Where the prompt of a coding agent is written: in the configuration, or in a file beside it."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from kora.agents.prompt import DEFAULT, PLACEHOLDERS
from kora.config.prompts import FILE_BYTES, Prompt, chosen, faults

PROMPT = TypeAdapter(Prompt)


def faults_of(table, folder):
    return list(faults({"agent": table}, folder))


def test_an_agent_that_says_nothing_has_the_default_prompt(tmp_path):
    assert chosen("", Path(), tmp_path) == DEFAULT


def test_a_prompt_stands_in_the_configuration_or_in_a_file_relative_to_it(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "review.md").write_bytes(b"\xef\xbb\xbfReview:\r\n{ticket_title}\r\n")

    assert chosen("Do {ticket_title}", Path(), tmp_path) == "Do {ticket_title}"
    assert chosen("", Path("prompts/review.md"), tmp_path) == "Review:\n{ticket_title}\n"
    assert faults_of({"prompt_file": "prompts/review.md"}, tmp_path) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"Do {ticket_titel}", "there is no placeholder {ticket_titel} (line 1); there are: {ticket_id}, "),
        (b"", "must not be empty"),
        (b"a\nb\xff", "is not UTF-8: line 2, byte 4"),
        (b"a\0b", "must not contain a NUL character"),
        (b"x" * (FILE_BYTES + 1), "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_prompt_is_a_fault_of_the_agents_key_that_names_the_file(tmp_path, content, fault):
    (tmp_path / "p.md").write_bytes(content)
    document = {"agent": {"prompt_file": "p.md"}, "agents": {"review": {"prompt_file": "p.md"}}}

    (first, wrong), (second, as_wrong) = faults(document, tmp_path)

    assert (first, second) == ("agent.prompt_file", "agents.review.prompt_file")
    assert wrong == as_wrong
    assert wrong.startswith(f"'{tmp_path}/p.md'")
    assert fault in wrong


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path):
    assert faults_of({"prompt_file": "gone.md"}, tmp_path) == [
        ("agent.prompt_file", f"'{tmp_path}/gone.md' cannot be read: No such file or directory")
    ]
    assert faults_of({"prompt_file": "."}, tmp_path) == [
        ("agent.prompt_file", f"'{tmp_path}' cannot be read: Is a directory")
    ]
    assert faults_of({"prompt_file": "a\0b"}, tmp_path) == [("agent.prompt_file", "must not contain a NUL character")]


def test_a_prompt_is_given_once(tmp_path):
    ((key, wrong),) = faults_of({"prompt": "Do {ticket_title}", "prompt_file": "p.md"}, tmp_path)

    assert (key, wrong) == ("agent.prompt_file", "goes not with prompt: give one of both")


@pytest.mark.parametrize(
    "document", [{}, {"agent": 7, "agents": 7}, {"agents": {"a": 7}}, {"agent": {"prompt_file": 7}}]
)
def test_what_is_no_table_is_for_others_to_complain_of(document, tmp_path):
    assert list(faults(document, tmp_path)) == []


def test_a_prompt_in_the_configuration_is_checked_as_any_value():
    assert PROMPT.validate_python("") == ""
    assert PROMPT.validate_python("{ticket_title}") == "{ticket_title}"
    with pytest.raises(ValidationError, match="there is no placeholder"):
        PROMPT.validate_python("{oops}")


def test_every_placeholder_is_explained():
    assert all(PLACEHOLDERS.values())
