"""Open a slot: from a model SPEC and the registry to the model that answers.

A slot opened by an alias follows it: every new run asks the registry, so that a promotion reaches running
processes. What a SPEC may be is in ``read_spec``.
"""

import re
from dataclasses import dataclass
from os import environ
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from langchain_core.language_models import BaseChatModel

from ..checkpoints.registry import resolve
from ..checkpoints.store import Store
from ..errors import BadModelSpec, UnknownSlot, UnknownVersion
from ..nodes.models.slot import Slot

if TYPE_CHECKING:
    from ..nodes.models.local import LocalChatModel

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
    temperature: float = 1.0,
    max_new_tokens: int | None = None,
    **local: Any,
) -> Slot:
    """The slot ``name`` with the model that ``spec`` names; None means the alias ``live``, or the seed policy.

    ``max_new_tokens`` None is 128 for a model in this process, and what the server allows elsewhere. ``local`` are
    settings of ``LocalChatModel.from_folder``, such as ``constrained=True``, ``family="react-text"`` or ``device``.

    Raises:
        UnknownVersion: ``spec`` names a version or alias that the registry does not hold.
        BadModelSpec: ``spec`` is a form that is not supported, or ``local`` is given for a model elsewhere.
    """
    if spec is None:
        try:
            resolve(store, f"{name}@live")
            spec = f"{name}@live"
        except (UnknownSlot, UnknownVersion):
            spec = "seed"
    chosen, read = spec, read_spec(spec)
    if local and read.kind in ("endpoint", "provider"):
        raise BadModelSpec(f"{', '.join(local)} can be set for a model in this process only, and {spec!r} is elsewhere")
    serving: list[LocalChatModel] = []  # one model holds all versions; opening is one at a time
    opening = Lock()

    def load(version: str) -> BaseChatModel:
        if read.kind == "endpoint":
            return _at_endpoint(read, chosen, temperature, max_new_tokens)
        if read.kind == "provider":
            return _of_provider(read, temperature, max_new_tokens)
        from ..nodes.models.local import LocalChatModel  # torch takes seconds to import

        folder = model_folder(store, version) if read.kind == "version" else read.place
        with opening:
            if serving:
                serving[0].take(version, folder)
            else:
                limit = max_new_tokens or 128
                serving.append(
                    LocalChatModel.from_folder(
                        folder, version=version, temperature=temperature, max_new_tokens=limit, **local
                    )
                )
            return serving[0].at(version)

    if read.kind == "version":
        resolve(store, chosen)
        return Slot(name, lambda: resolve(store, chosen).name, load)
    return Slot(name, lambda: chosen, load)


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
    """
    read = read_spec(spec)
    if read.kind in ("endpoint", "provider"):
        what = "an endpoint" if read.kind == "endpoint" else "a provider's model"
        raise BadModelSpec(f"{spec!r} is {what}; weights are needed here: give a version, a folder or a hub name")
    if read.kind == "folder":
        return read.place
    if store is None:
        raise BadModelSpec(f"{spec!r} is a version in a registry; name its database with --db")
    return str(resolve(store, spec).folder)
