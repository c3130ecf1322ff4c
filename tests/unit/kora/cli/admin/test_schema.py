"""JSON schemas as people read them: those that pydantic writes, as actors' messages have them."""

from enum import StrEnum
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

from kora.cli.admin.schema import below, fields_of, resolve, type_of, values_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    """What is inside.

    And more of it."""

    colour: Colour
    deeper: "Inner | None" = None


class Message(BaseModel):
    kind: Literal["Message"] = "Message"
    count: Annotated[int, Field(ge=1, lt=10)]
    inner: Inner
    maybe: Inner | None = None
    notes: list[str] = []
    table: dict[str, Inner] = {}
    is_on: bool = Field(default=False, description="Whether it is on.")
    anything: object = None


SCHEMA = Message.model_json_schema()


def test_each_field_is_shown_with_its_type_and_whether_it_must_be_given():
    shown = [(field.name, field.type, field.description) for field in fields_of(SCHEMA)]

    assert shown == [
        ("kind", '"Message"', ""),
        ("count", "integer at least 1, less than 10", ""),
        ("inner", "object", "What is inside."),
        ("maybe", "object or null", "What is inside."),
        ("notes", "list of string", ""),
        ("table", "object", ""),
        ("is_on", "boolean", "Whether it is on."),
        ("anything", "anything", ""),
    ]
    assert [field.name for field in fields_of(SCHEMA) if field.required] == ["count", "inner"]


@pytest.mark.parametrize(
    ("path", "type_in_words"),
    [
        (("inner", "colour"), '"red" or "blue"'),
        (("inner", "deeper", "deeper", "colour"), '"red" or "blue"'),
        (("maybe", "colour"), '"red" or "blue"'),
        (("table", "x", "colour"), '"red" or "blue"'),
        (("notes", None), "string"),
        (("notes", "x"), "anything"),
        (("nowhere", "x"), "anything"),
    ],
)
def test_what_stands_inside_is_found_by_its_path(path, type_in_words):
    assert type_of(below(SCHEMA, path, SCHEMA), SCHEMA) == type_in_words


def test_the_values_of_a_type_that_has_few_are_known():
    assert values_of(below(SCHEMA, ("inner", "colour"), SCHEMA)) == ["red", "blue"]
    assert values_of(below(SCHEMA, ("is_on",), SCHEMA)) == [True, False]
    assert values_of(below(SCHEMA, ("kind",), SCHEMA)) == ["Message"]
    assert values_of(below(SCHEMA, ("count",), SCHEMA)) == []


def test_a_reference_that_goes_in_a_circle_ends():
    assert resolve({"$ref": "#/$defs/A"}, {"$defs": {"A": {"$ref": "#/$defs/A"}}}) is not None
