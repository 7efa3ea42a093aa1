"""Open a slot: from a model SPEC and the registry to the model that answers.

A SPEC is an alias (``helpdesk.think@live``), a version (``helpdesk.think@0003``), the word ``seed`` for
the policy that ships with the package, or a folder or hub name. A slot opened by its alias follows it:
every new run asks the registry, so that a promotion reaches running processes.
"""

from pathlib import Path

from langchain_core.language_models import BaseChatModel

from ..checkpoints.registry import resolve
from ..checkpoints.store import Store
from ..errors import BadModelSpec, UnknownSlot, UnknownVersion
from ..nodes.models.slot import Slot

SEED_POLICY = Path(__file__).parent / "seed_policy"
"""The folder of the policy that ships with the package."""


def open_slot(
    store: Store,
    name: str,
    spec: str | None = None,
    *,
    temperature: float = 1.0,
    max_new_tokens: int = 128,
) -> Slot:
    """The slot ``name`` with the model that ``spec`` names; None means the alias ``live``, or the seed policy.

    Raises:
        UnknownVersion: ``spec`` names a version or alias that the registry does not hold.
        BadModelSpec: ``spec`` is a form that is not supported.
    """
    if spec is None:
        try:
            resolve(store, f"{name}@live")
            spec = f"{name}@live"
        except (UnknownSlot, UnknownVersion):
            spec = "seed"
    chosen = spec

    def load(version: str) -> BaseChatModel:
        from ..nodes.models.local import LocalChatModel  # torch takes seconds to import

        return LocalChatModel.from_folder(
            model_folder(store, version if "@" in chosen else chosen),
            version=version,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
        )

    if "@" in chosen:
        resolve(store, chosen)
        return Slot(name, lambda: resolve(store, chosen).name, load)
    model_folder(store, chosen)
    return Slot(name, lambda: chosen, load)


def model_folder(store: Store | None, spec: str) -> str:
    """The folder or hub name that ``spec`` stands for.

    Raises:
        UnknownVersion: no such version or alias.
        BadModelSpec: ``spec`` is a form that is not supported, or needs a registry and ``store`` is None.
    """
    if spec == "seed":
        return str(SEED_POLICY)
    if "://" in spec:
        raise BadModelSpec(f"{spec!r} is an endpoint; endpoints come later, give a folder or a hub name")
    if "@" in spec:
        if store is None:
            raise BadModelSpec(f"{spec!r} is a version in a registry; name its database with --db")
        return str(resolve(store, spec).folder)
    if spec.startswith((".", "/", "~")) and not Path(spec).expanduser().is_dir():
        raise BadModelSpec(f"the model folder {spec!r} does not exist; give a folder, a hub name or 'seed'")
    return str(Path(spec).expanduser()) if Path(spec).expanduser().is_dir() else spec
