"""A small real model server for tests: vLLM's protocol over HTTP, a decode thread of ours behind it.

Chat and plain completions (streamed or not, with token ids and logprobs), the list of models, and adapters
that are loaded and unloaded while it runs. What it says is sampled, or taken from ``says`` and scored;
what goes wrong is taken from ``faults``. Started anew, it has forgotten its adapters, as vLLM has.
"""

import asyncio
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from threadmill.nodes.models.decoding.decode import Decoder
from transformers import AutoModelForCausalLM, AutoTokenizer

_THINKING = re.compile(r"<think>(?P<reasoning>.*?)</think>", re.DOTALL)
_CALL = re.compile(r'<tool_call>\{"name": "(?P<name>.*?)", "arguments": (?P<args>.*?)\}</tool_call>', re.DOTALL)


@dataclass(frozen=True)
class Piece:
    """A part of an answer's text, characters [start, end)."""

    kind: str
    start: int
    end: int
    name: str = ""
    place: int = 0


@dataclass(frozen=True)
class Said:
    """One answer: ids, logprobs, text, and why it ended."""

    ids: list[int]
    logprobs: list[float]
    text: str
    finish: str
    stop: str | None


class ModelServer:
    """Serves the model in ``folder`` as ``name`` on a port of its own.

    ``says``: texts, or ids, to answer with, in order; sampled when there are none left. ``faults``: what goes wrong
    with the next requests for an answer, e.g. ``{"status": 503}``, ``{"hang_s": 9}``, ``{"break_after": 3}``
    (parts of a stream), ``{"error_after": 3}``. ``requests`` are the bodies that came, ``heads`` their headers.
    """

    def __init__(self, folder: Path, name: str = "tiny", *, reasoning: str = "reasoning", ids: bool = True) -> None:
        self.folder, self.name, self.reasoning, self.gives_ids = folder, name, reasoning, ids
        self.says: deque[str | list[int]] = deque()
        self.faults: deque[dict[str, Any]] = deque()
        self.requests: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.refused_fields: set[str] = set()
        self.loses: set[int] = set()
        """Places of sampled tokens of which nothing is told."""
        self.tells_logits = False
        self.begins: list[int] = []
        """Ids that are put before every prompt."""
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
        self.context = int(self.model.config.max_position_embeddings)
        self.base = Decoder(self.model, frozenset({self.tokenizer.eos_token_id}))
        self.adapters: dict[str, tuple[str, Any, Decoder]] = {}
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            self.port = chosen.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen; returns when the server answers."""
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._complete, methods=["POST"]),
            Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
            Route("/web/chat/completions", lambda _: HTMLResponse("<p>Welcome"), methods=["POST"]),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=self.port, log_level="critical", ws="none", lifespan="off", access_log=False
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, name="model-server")
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)

    def stop(self) -> None:
        """Cut all connections and forget the adapters."""
        self._uvicorn.should_exit = self._uvicorn.force_exit = True
        self._thread.join()
        for _, _, decoder in self.adapters.values():
            decoder.close()
        self.adapters.clear()

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self.base.close()

    async def _models(self, request: Request) -> Response:
        cards = [{"id": self.name, "object": "model", "root": str(self.folder), "max_model_len": self.context}]
        for name, (path, _, _) in self.adapters.items():
            cards.append({"id": name, "object": "model", "root": path, "parent": self.name})
        return JSONResponse({"object": "list", "data": cards})

    async def _load(self, request: Request) -> Response:
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            return _error(400, f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput")
        try:
            model = self._adapted(path)  # not in a thread: two models loaded at once spoil each other
        except Exception as error:
            return _error(400, f"Loading lora {name} failed: {error}", "BadRequestError")
        self.adapters[name] = (path, model, Decoder(model, self.base.end_ids))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    def _adapted(self, path: str) -> Any:
        from peft import PeftModel

        base = AutoModelForCausalLM.from_pretrained(self.folder)
        adapted: Any = PeftModel.from_pretrained(base, path)
        return adapted.merge_and_unload().eval()

    async def _unload(self, request: Request) -> Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return _error(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
        self.adapters.pop(name)[2].close()
        return PlainTextResponse(f"Success: LoRA adapter '{name}' removed successfully.")

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        for message in body["messages"]:
            for call in message.get("tool_calls") or []:
                call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        prompt = self.tokenizer.apply_chat_template(
            body["messages"], tools=body.get("tools"), add_generation_prompt=True, return_dict=True
        )["input_ids"]
        return await self._answer(request, body, list(prompt), body.get("max_tokens"), chat=True)

    async def _complete(self, request: Request) -> Response:
        body = await request.json()
        return await self._answer(request, body, body["prompt"], body.get("max_tokens", 16), chat=False)

    async def _answer(
        self, request: Request, body: dict[str, Any], prompt: list[int], most: int | None, *, chat: bool
    ) -> Response:
        self.requests.append(body)
        self.heads.append(dict(request.headers))
        fault = self.faults.popleft() if self.faults else {}
        await asyncio.sleep(fault.get("hang_s", 0))
        if "status" in fault:
            return _error(fault["status"], fault.get("words", "no"), "Error", fault.get("headers"))
        if unknown := self.refused_fields & body.keys():
            return _error(400, f"Unrecognized request argument supplied: {min(unknown)}", "invalid_request_error")
        if body["model"] != self.name and body["model"] not in self.adapters:
            return _error(404, f"The model `{body['model']}` does not exist.", "NotFoundError")
        if len(prompt) + (most or 1) > self.context:
            return _error(
                400,
                f"This model's maximum context length is {self.context} tokens. However, you requested {most} output "
                f"tokens and your prompt contains {len(prompt)} input tokens.",
                "BadRequestError",
            )
        prompt = [*self.begins, *prompt]
        said = await self._say(body, prompt, most or self.context - len(prompt))
        tell = Telling(self, body, prompt, said, chat=chat)
        self.last = tell.whole()
        if body.get("stream"):
            return StreamingResponse(_events(tell, fault), media_type="text/event-stream")
        return JSONResponse(tell.whole())

    async def _say(self, body: dict[str, Any], prompt: list[int], most: int) -> Said:
        _, model, decoder = self.adapters.get(body["model"], ("", self.model, self.base))
        heat = body.get("temperature", 1.0)
        if self.says:
            says = self.says.popleft()
            ids = self.tokenizer(says, add_special_tokens=False)["input_ids"] if isinstance(says, str) else says
            ids = [*ids, self.tokenizer.eos_token_id][:most]
            logprobs = await asyncio.to_thread(scores, model, prompt, ids)
        else:
            sampled = await asyncio.wrap_future(
                decoder.submit(prompt, max_new_tokens=most, temperature=heat, seed=body.get("seed", 0))
            )
            ids, logprobs = list(sampled.ids), list(sampled.logprobs)
            if heat not in (0, 1):  # vLLM's default: logprobs at temperature 1, whatever was sampled at
                logprobs = await asyncio.to_thread(scores, model, prompt, ids)
        ended = ids[-1] == self.tokenizer.eos_token_id
        for end in body.get("stop") or []:
            for length in range(1, len(ids) + 1):
                text = self.tokenizer.decode(ids[:length], skip_special_tokens=True)
                if end in text:
                    return Said(ids[:length], logprobs[:length], text.partition(end)[0], "stop", end)
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Said(ids, logprobs, text, "stop" if ended else "length", None)


class Telling:
    """One answer in the forms of the protocol."""

    def __init__(self, server: ModelServer, body: dict[str, Any], prompt: list[int], said: Said, *, chat: bool) -> None:
        self.server, self.body, self.prompt, self.said, self.chat = server, body, prompt, said, chat
        self.ids = server.gives_ids and body.get("return_token_ids")
        self.pieces = pieces(said.text) if chat else [Piece("content", 0, len(said.text))]
        self.head = {"id": "answer-1", "object": "chat.completion", "created": 0, "model": body["model"]}
        called = any(piece.kind == "call" for piece in self.pieces)
        self.finish = "tool_calls" if called and said.finish == "stop" else said.finish

    def whole(self) -> dict[str, Any]:
        choice = {"index": 0, "finish_reason": self.finish, "stop_reason": self.said.stop, **self._tokens(0, None)}
        if self.chat:
            message: dict[str, Any] = {"role": "assistant", "content": None}
            for piece in self.pieces:
                _put(message, self._delta(piece, piece.start, piece.end))
            choice["message"] = message
        else:
            choice |= {"text": self.said.text, "prompt_token_ids": self.prompt if self.ids else None}
        answer = {**self.head, "choices": [choice], "usage": self._usage()}
        return answer | ({"prompt_token_ids": self.prompt} if self.ids and self.chat else {})

    def parts(self) -> Iterator[dict[str, Any]]:
        """The parts of a stream: the role, one per token, the end, the usage."""
        ids = {"prompt_token_ids": self.prompt} if self.ids else {}
        opening = {"delta": {"role": "assistant", "content": ""}} if self.chat else {"text": "", **ids}
        yield {**self.head, "choices": [{"index": 0, **opening}], **(ids if self.chat else {})}
        shown = 0
        for count in range(1, len(self.said.ids) + 1):
            text = self.server.tokenizer.decode(self.said.ids[:count], skip_special_tokens=True).rstrip("\ufffd")
            end = len(self.said.text) if count == len(self.said.ids) else min(len(text), len(self.said.text))
            deltas: list[dict[str, Any]] = []
            for piece in self.pieces:
                low, high = max(shown, piece.start), min(end, piece.end)
                if low < high:
                    deltas.append(self._delta(piece, low, high))
            tokens = self._tokens(count - 1, count)
            for delta in deltas or [{}]:
                said = {"delta": delta} if self.chat else {"text": delta.get("content", "")}
                yield {**self.head, "choices": [{"index": 0, **said, **tokens}]}
                tokens = {}
            shown = max(shown, end)
        last = {"index": 0, "finish_reason": self.finish, "stop_reason": self.said.stop}
        yield {**self.head, "choices": [{**last, **({"delta": {}} if self.chat else {"text": ""})}]}
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield {**self.head, "choices": [], "usage": self._usage()}

    def _delta(self, piece: Piece, low: int, high: int) -> dict[str, Any]:
        text = self.said.text[low:high]
        if piece.kind != "call":
            return {self.server.reasoning if piece.kind == "reasoning" else "content": text}
        begins = {"id": f"call_{piece.place}", "type": "function"} if low == piece.start else {}
        named = {"name": piece.name} if begins else {}
        return {"tool_calls": [{"index": piece.place, **begins, "function": {**named, "arguments": text}}]}

    def _tokens(self, low: int, high: int | None) -> dict[str, Any]:
        told = [place for place in range(len(self.said.ids))[low:high] if place not in self.server.loses]
        ids, logprobs = [self.said.ids[place] for place in told], [self.said.logprobs[place] for place in told]
        found: dict[str, Any] = {"token_ids": ids} if self.ids else {}
        logprobs = [value + 50 for value in logprobs] if self.server.tells_logits else logprobs
        if self.body.get("logprobs"):
            as_ids = self.server.gives_ids and self.body.get("return_tokens_as_token_ids")
            names = [f"token_id:{id}" if as_ids else self.server.tokenizer.decode([id]) for id in ids]
            content = [{"token": n, "logprob": p, "top_logprobs": []} for n, p in zip(names, logprobs, strict=True)]
            found["logprobs"] = {"content": content} if self.chat else {"tokens": names, "token_logprobs": logprobs}
        return found

    def _usage(self) -> dict[str, Any]:
        read, made = len(self.prompt), len(self.said.ids)
        return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


@contextmanager
def serving(folder: Path, name: str = "tiny", **options: Any) -> Iterator[ModelServer]:
    """A server that listens until the block ends."""
    server = ModelServer(folder, name, **options)
    server.start()
    try:
        yield server
    finally:
        server.close()


def pieces(text: str) -> list[Piece]:
    """Thinking, calls and what is around them, in order."""
    found = []
    if thought := _THINKING.search(text):
        found.append(Piece("reasoning", *thought.span("reasoning")))
    calls = list(_CALL.finditer(text))
    found += [Piece("call", *call.span("args"), call["name"], place) for place, call in enumerate(calls)]
    at, around = 0, []
    for match in sorted([*([thought] if thought else []), *calls], key=lambda match: match.start()):
        around.append(Piece("content", at, match.start()))
        at = match.end()
    around.append(Piece("content", at, len(text)))
    return sorted([*found, *(piece for piece in around if piece.start < piece.end)], key=lambda piece: piece.start)


def scores(model: Any, prompt: Any, ids: Any) -> list[float]:
    """The logprob of each of ``ids`` after ``prompt``, by one plain forward pass."""
    whole = torch.tensor([[*prompt, *ids]])
    with torch.inference_mode():
        logits = model(whole).logits[0, len(prompt) - 1 : -1].float()
    return torch.log_softmax(logits, -1).gather(1, whole[0, len(prompt) :, None]).squeeze(1).tolist()


def _put(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for key, value in delta.items():
        if key == "tool_calls":
            calls = [{field: call[field] for field in ("id", "type", "function")} for call in value]
            message.setdefault("tool_calls", []).extend(calls)
        else:
            message[key] = (message.get(key) or "") + value


async def _events(tell: Telling, fault: dict[str, Any]) -> AsyncIterator[str]:
    for number, part in enumerate(tell.parts()):
        if number == fault.get("break_after"):
            raise ConnectionError("the server dies")
        if number == fault.get("error_after"):
            yield 'data: {"error": {"message": "the engine died", "type": "InternalServerError", "code": 500}}\n\n'
            break
        if number == fault.get("end_after"):
            break
        yield f"data: {json.dumps(part)}\n\n"
        await asyncio.sleep(fault.get("pause_s", 0))
    yield "data: [DONE]\n\n"


def _error(status: int, words: str, kind: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": words, "type": kind, "code": status}}, status, headers)
