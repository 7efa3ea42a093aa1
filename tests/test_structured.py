"""Structured output: a schema in, an object out, and never half an object."""

from typing import Annotated, Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatResult
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.structured import as_response_format, json_schema_of, structured_output
from typing_extensions import TypedDict


class Order(BaseModel):
    """An order."""

    id: int
    items: list[str] = Field(min_length=1)


class OrderDict(TypedDict):
    """An order."""

    id: Annotated[int, ..., "Its number"]


ORDER = {"title": "Order", "type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


class Toy(ScriptedModel):
    """Remembers with what it was called."""

    called: list[dict[str, Any]] = Field(default_factory=list)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.called.append(kwargs)
        return super()._generate(messages, stop, run_manager, **kwargs)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=list(tools), **kwargs)


def toy(answer: str, **kwargs: Any) -> Toy:
    return Toy([AIMessage(answer, **kwargs)])


def test_a_pydantic_class_binds_its_schema_and_gives_an_object() -> None:
    model = toy('{"id": 7, "items": ["tea"]}')
    assert structured_output(model, Order).invoke("hi") == Order(id=7, items=["tea"])
    assert model.called == [{"response_schema": Order.model_json_schema()}]


@pytest.mark.parametrize("schema", [ORDER, OrderDict])
def test_other_schemas_give_plain_data(schema: Any) -> None:
    assert structured_output(toy('{"id": 7}'), schema).invoke("hi") == {"id": 7}


def test_data_around_which_a_server_has_put_a_fence_is_found() -> None:
    assert structured_output(toy('```json\n{"id": 7}\n```'), ORDER).invoke("hi") == {"id": 7}


def test_a_schema_may_be_something_else_than_an_object() -> None:
    assert structured_output(toy('"up"'), {"enum": ["up", "down"]}).invoke("hi") == "up"


@pytest.mark.parametrize("schema", [ORDER, OrderDict, Order])
@pytest.mark.parametrize("answer", ['{"id": 7', "", "[" * 100_000, "seven", '{"id": "seven"}', "[7]"])
def test_what_does_not_fit_is_an_error_and_never_completed(schema: Any, answer: str) -> None:
    with pytest.raises(OutputParserException):
        structured_output(toy(answer), schema).invoke("hi")


def test_an_answer_that_was_cut_off_says_so() -> None:
    model = toy('{"id": 7', response_metadata={"trace": {"finish": "length"}})
    with pytest.raises(OutputParserException, match=r'output: \{"id": 7\nThe answer was cut off; give'):
        structured_output(model, ORDER).invoke("hi")


def test_with_the_raw_message_an_error_is_told_and_not_raised() -> None:
    good = structured_output(toy('{"id": 7}'), ORDER, include_raw=True).invoke("hi")
    assert (good["raw"].content, good["parsed"], good["parsing_error"]) == ('{"id": 7}', {"id": 7}, None)
    bad = structured_output(toy("seven"), ORDER, include_raw=True).invoke("hi")
    assert (bad["raw"].content, bad["parsed"]) == ("seven", None)
    assert isinstance(bad["parsing_error"], OutputParserException)


def test_data_is_streamed_as_far_as_it_goes() -> None:
    parser = structured_output(toy(""), ORDER).steps[-1]  # pyright: ignore[reportAttributeAccessIssue]
    assert list(parser.transform(iter(['{"id"', ": 7", ', "note": "a', 'b"}']))) == [
        {},
        {"id": 7},
        {"id": 7, "note": "a"},
        {"id": 7, "note": "ab"},
    ]


def test_by_function_calling_it_is_a_tool() -> None:
    call = {"name": "Order", "args": {"id": 7, "items": ["tea"]}, "id": "1"}
    model = toy("", tool_calls=[call])
    assert structured_output(model, Order, method="function_calling").invoke("hi") == Order(id=7, items=["tea"])
    assert model.called == [{"tools": [Order], "tool_choice": "any"}]


def test_the_schema_of_everything_that_langchain_takes() -> None:
    tool = {"type": "function", "function": {"name": "Order", "parameters": ORDER}}
    assert json_schema_of(tool)["properties"] == {"id": {"type": "integer"}}
    assert json_schema_of({"name": "Order", "parameters": ORDER})["title"] == "Order"
    assert json_schema_of(OrderDict)["properties"] == {"id": {"type": "integer", "description": "Its number"}}
    assert json_schema_of(ORDER) == ORDER


class Tree(BaseModel):
    leaves: list["Tree"]


def test_a_schema_may_contain_itself() -> None:
    assert json_schema_of(Tree)["$ref"] == "#/$defs/Tree"
    answer = structured_output(toy('{"leaves": [{"leaves": []}]}'), Tree).invoke("hi")
    assert answer == Tree(leaves=[Tree(leaves=[])])
    assert structured_output(toy('{"leaves": []}'), json_schema_of(Tree)).invoke("hi") == {"leaves": []}


def test_the_response_format_of_a_server() -> None:
    assert as_response_format(ORDER) == {
        "type": "json_schema",
        "json_schema": {"name": "Order", "schema": ORDER, "strict": True},
    }
    assert as_response_format({"type": "object"})["json_schema"]["name"] == "answer"


def test_what_is_not_understood_is_refused() -> None:
    with pytest.raises(ValueError, match="method 'json_mode' is unknown; use 'json_schema' or 'function_calling'"):
        structured_output(toy(""), ORDER, method="json_mode")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"unsupported arguments \{'tools': 3\}"):
        structured_output(toy(""), ORDER, tools=3)
    with pytest.raises(ValueError, match=r"not a JSON Schema at \$.type: 'number of things' is not valid"):
        structured_output(toy(""), {"type": "number of things"})
