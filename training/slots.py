"""Open a slot: from a model SPEC and the registry to the model that answers.

A slot opened by an alias follows it: every new run asks the registry, so that a promotion reaches running
processes; ``follow`` has the new version ready before a run asks. What a SPEC may be is in ``read_spec``.
"""

import re
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from ..checkpoints.assignment import assign_from
from ..checkpoints.registry import resolve, verified_folder
from ..checkpoints.store import Store
from ..errors import BadModelSpec, UnknownSlot, UnknownVersion
from ..nodes.models.slot import Slot
from .local_versions import LocalVersions

SEED_POLICY = Path(__file__).parent / "seed_policy"
"""The folder of the policy that ships with the package."""
KEY_VARIABLE = "THREADMILL_ENDPOINT_KEY"
"""The environment variable that holds the key of an endpoint; that of OpenAI is never sent to other servers."""

_REGISTERED = re.compile(r"[^/\\:@#]+@[^/\\:@#]+")
_PROVIDER = re.compile(r"([A-Za-z][\w-]+):(.+)", re.DOTALL)  # two letters at least: C:\models is a folder
_ADDRESS = re.compile(r"https?://[^/?]+(/[^?]*)?$")
_PATH = re.compile(r"[./~\\]|[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Spec:
    """What a SPEC names. ``place`` is a version, a folder, a hub name, an address or ``provider:model``."""

    kind: Literal["folder", "version", "endpoint", "provider"]
    place: str
    model: str = ""
    """What the server calls the model; for an endpoint only."""


def read_spec(text: str) -> Spec:
    """What ``text`` names; nothing is opened.

    ``seed`` (the policy that ships with the package), ``helpdesk.think@live`` or ``@0003``,
    ``http://host:8000/v1#name``, ``openai:gpt-5``, or a folder or hub name. What looks like a path is one,
    whatever signs it holds; an existing folder comes before a provider of the same spelling.

    >>> read_spec("http://gpu:8000/v1#Qwen/Qwen3-0.6B")
    Spec(kind='endpoint', place='http://gpu:8000/v1', model='Qwen/Qwen3-0.6B')
    >>> read_spec("ollama:llama3.2:1b").kind, read_spec("helpdesk.think@live").kind
    ('provider', 'version')

    Raises:
        BadModelSpec: ``text`` is none of these, or a path that leads nowhere.
    """
    if text == "seed":
        return Spec("folder", str(SEED_POLICY))
    if "://" in text:
        return _endpoint(text)
    folder = Path(text).expanduser()
    if _PATH.match(text) and not folder.is_dir():
        raise BadModelSpec(f"the model folder {text!r} does not exist; give a folder, a hub name or 'seed'")
    if _REGISTERED.fullmatch(text):
        return Spec("version", text)
    if text and folder.is_dir():
        return Spec("folder", str(folder))
    if provider := _PROVIDER.fullmatch(text):
        if re.match(r"\d+/", provider[2]):
            raise BadModelSpec(f"{text!r} looks like an address; write http://{text}")
        return Spec("provider", text)
    if not text or "@" in text:
        raise BadModelSpec(
            f"{text!r} names no model; give a version (agent.node@0003), a folder, a hub name, an endpoint "
            "(http://host:8000/v1#name) or provider:model. A hub name's revision has no form here: download it, "
            "and give the folder"
        )
    return Spec("folder", text)


def _endpoint(text: str) -> Spec:
    address, _, name = text.partition("#")
    if not _ADDRESS.match(address):
        raise BadModelSpec(f"{address!r} is no address of a model server; write http://host:8000/v1#name")
    if "@" in urlsplit(address).netloc:
        raise BadModelSpec(f"an address is written into threads, so keep keys out of it; set {KEY_VARIABLE} instead")
    if not name:
        raise BadModelSpec(f"{text!r} does not say which model; add its name, as in {address}#name ({address}/models)")
    return Spec("endpoint", address.rstrip("/"), name)


def open_slot(
    store: Store,
    name: str,
    spec: str | None = None,
    *,
    first: str = "seed",
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    text: bool = False,
    **local: Any,
) -> Slot:
    """The slot ``name`` with the model that ``spec`` names; None means the alias ``live``.

    As long as nothing is live, the model of the SPEC ``first`` answers. In a slot that follows an alias, a pinned
    thread has its own version; one opened on a version, a folder or an address stays there for all threads.
    ``max_new_tokens`` None is 128 for a model in this process, and what the server allows elsewhere. With ``text``
    every model calls tools in text (ReAct) and not in a form of its own. ``local`` are settings of
    ``LocalChatModel.from_folder``, such as ``constrained=True``, ``family="react-text"`` or ``device``.

    Raises:
        UnknownVersion: ``spec`` names a version or alias that the registry does not hold.
        BadModelSpec: ``spec`` is a form that is not supported, or ``local`` is given for a model elsewhere.
    """
    chosen = f"{name}@live" if spec is None else spec
    read = read_spec(chosen)
    if read.kind in ("endpoint", "provider"):
        if local:
            given = ", ".join(local)
            raise BadModelSpec(f"{given} can be set for a model in this process only, and {chosen!r} is elsewhere")
        return Slot(name, lambda: chosen, lambda _: _elsewhere(read, chosen, temperature, max_new_tokens, text=text))
    is_alias = read.kind == "version" and not chosen.rpartition("@")[2].isdecimal()
    fixed = chosen if read.kind == "folder" else "" if spec is None else resolve(store, chosen).name

    def version_now() -> str:
        if not is_alias:
            return fixed
        try:
            return resolve(store, chosen).name
        except (UnknownSlot, UnknownVersion):
            if spec is not None:
                raise
            return first  # nothing was promoted yet

    style = {"family": "react-text"} if text else {}
    settings = {"temperature": temperature, "max_new_tokens": max_new_tokens or 128, **style, **local}
    versions = LocalVersions(lambda version: model_folder(store, version), version_now, settings)
    begins = read_spec(first)

    def load(version: str) -> BaseChatModel:
        if spec is None and version == first and begins.kind in ("endpoint", "provider"):
            return _elsewhere(begins, first, temperature, max_new_tokens, text=text)
        return versions.load(version)

    return Slot(
        name,
        version_now,
        load,
        assign=assign_from(store, chosen.partition("@")[0]) if is_alias else None,
        alias=chosen if is_alias else None,
        release=versions.release,
    )


def _elsewhere(
    spec: Spec, version: str, temperature: float, max_new_tokens: int | None, *, text: bool
) -> BaseChatModel:
    if spec.kind == "provider":
        model = _of_provider(spec, temperature, max_new_tokens)
    else:
        model = _at_endpoint(spec, version, temperature, max_new_tokens)
    if not text:
        return model
    from ..nodes.models.react_chat import ReactChatModel

    return ReactChatModel(inner=model)


def _at_endpoint(spec: Spec, version: str, temperature: float, max_new_tokens: int | None) -> BaseChatModel:
    from ..nodes.models.endpoint import EndpointChatModel

    return EndpointChatModel.from_server(
        spec.place,
        spec.model,
        version=version,
        api_key=environ.get(KEY_VARIABLE),
        temperature=temperature,
        max_new_tokens=max_new_tokens,
    )


def _of_provider(spec: Spec, temperature: float, max_new_tokens: int | None) -> BaseChatModel:
    from ..nodes.models.any_chat import open_chat_model

    limit = {} if max_new_tokens is None else {"max_tokens": max_new_tokens}
    return open_chat_model(spec.place, temperature=temperature, **limit)


def model_folder(store: Store | None, spec: str) -> str:
    """The folder or hub name that ``spec`` stands for.

    Raises:
        UnknownVersion: no such version or alias.
        BadModelSpec: ``spec`` names no weights that can be opened here, or needs a registry and ``store`` is None.
        BadModelFolder: the version's files are gone, or not those that were registered.
    """
    read = read_spec(spec)
    if read.kind in ("endpoint", "provider"):
        what = "an endpoint" if read.kind == "endpoint" else "a provider's model"
        raise BadModelSpec(f"{spec!r} is {what}; weights are needed here: give a version, a folder or a hub name")
    if read.kind == "folder":
        return read.place
    if store is None:
        raise BadModelSpec(f"{spec!r} is a version in a registry; name its database with --db")
    return verified_folder(store, spec)
