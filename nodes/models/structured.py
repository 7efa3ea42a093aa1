"""Answers that are data: a schema becomes what the model must keep to, and its text becomes an object.

The schema goes to the model as ``response_schema``; a local model samples only text that fits it, an
endpoint gets it as its ``response_format``.
"""

import json
import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, Literal

from jsonschema import Draft202012Validator, SchemaError
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from .trace import TRACE_KEY

_TOOL_FORMS = frozenset({"function", "name", "input_schema", "toolSpec"})
"""Keys by which LangChain knows a tool; none of them is a keyword of JSON Schema."""


def structured_output(
    model: BaseChatModel,
    schema: dict[str, Any] | type,
    *,
    include_raw: bool = False,
    method: Literal["json_schema", "function_calling"] = "json_schema",
    strict: bool | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """A runnable that answers with an instance of ``schema``, if that is a pydantic class, or plain data.

    ``method`` "function_calling" has the model call a tool of that name instead. With ``include_raw`` it
    answers ``{"raw": message, "parsed": …, "parsing_error": …}``. ``strict`` changes nothing: the schema
    always binds.

    Raises:
        ValueError: the schema, the method or another argument is not understood.
    """
    if kwargs:
        raise ValueError(f"Received unsupported arguments {kwargs}")
    if method == "function_calling":
        return BaseChatModel.with_structured_output(model, schema, include_raw=include_raw)
    if method != "json_schema":
        raise ValueError(f"method {method!r} is unknown; use 'json_schema' or 'function_calling'")
    wanted = json_schema_of(schema)
    asked = model.bind(
        response_schema=wanted,
        ls_structured_output_format={"kwargs": {"method": method}, "schema": {"title": "answer", **wanted}},
    )
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        parser = _WholeObject(pydantic_object=schema)
    else:
        parser = _WholeJson(wanted=wanted)
    return _with_raw(asked, parser) if include_raw else asked | parser


def json_schema_of(schema: dict[str, Any] | type) -> dict[str, Any]:
    """The JSON Schema of a pydantic class, a ``TypedDict``, a tool in one of LangChain's forms, or of itself.

    Raises:
        ValueError: it is none of these, or no valid JSON Schema.
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_json_schema()  # with its references, which LangChain's conversion would unfold
    if isinstance(schema, dict) and not _TOOL_FORMS & schema.keys():
        made = dict(schema)
    else:
        made = convert_to_json_schema(schema)
    try:
        Draft202012Validator.check_schema(made)
    except SchemaError as error:
        raise ValueError(f"not a JSON Schema at {error.json_path}: {error.message}; mend the schema") from error
    return made


def as_response_format(json_schema: Mapping[str, Any]) -> dict[str, Any]:
    """The form in which OpenAI-compatible servers take a schema.

    >>> as_response_format({"title": "An answer", "type": "object"})["json_schema"]["name"]
    'An_answer'
    """
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", str(json_schema.get("title") or "answer"))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(json_schema), "strict": True}}


class _WholeJson(JsonOutputParser):
    """Whole JSON that fits ``wanted``, or an error: LangChain's parser would complete what was cut off."""

    wanted: Mapping[str, Any] | None = None

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        if partial:
            return super().parse_result(result, partial=True)
        text = result[0].text
        try:
            value = parse_json_markdown(text, parser=json.loads)
        except (ValueError, RecursionError) as error:
            raise OutputParserException(f"Invalid json output: {text}{_cut(result[0])}", llm_output=text) from error
        for error in Draft202012Validator(self.wanted).iter_errors(value) if self.wanted is not None else ():
            raise OutputParserException(f"{error.message} at {error.json_path} of {text}", llm_output=text)
        return value


class _WholeObject(PydanticOutputParser, _WholeJson):
    """The same as an instance of a pydantic class."""


def _cut(generation: Generation) -> str:
    """Why the text may have an end that is none."""
    if not isinstance(generation, ChatGeneration):
        return ""
    trace = generation.message.response_metadata.get(TRACE_KEY) or {}
    return "\nThe answer was cut off; give it more max_new_tokens" if trace.get("finish") == "length" else ""


def _with_raw(asked: Runnable[LanguageModelInput, AIMessage], parser: JsonOutputParser) -> Runnable[Any, Any]:
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=asked) | parsed.with_fallbacks([failed], exception_key="parsing_error")
