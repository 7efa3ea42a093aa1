"""Adapters in training: our settings as PEFT's, a base opened to be trained, and the result saved.

A base that is an adapter's folder is continued: its adapter is trained further, on what lies beneath it. What a
preference method compares with is in each case the policy at the start of the run: see ``frozen_reference``.
"""

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import BadAdapter, BadConfig

if TYPE_CHECKING:
    from .settings import Lora

ADAPTER = "default"
"""PEFT's name for the adapter in training; TRL keeps a frozen copy of a continued one as ``ref``."""


class Policy(NamedTuple):
    """A model that is ready for a trainer of TRL."""

    model: Any
    """With its adapter, if that is continued."""
    tokenizer: Any
    peft_config: Any
    """For a new adapter; None if all weights are trained or an adapter is continued."""


def open_base(base: str, lora: "Lora", *, dtype: str | None = None) -> Policy:
    """Open a folder or hub name of full weights, or an adapter's folder, which is then continued.

    Raises:
        BadModelFolder, OutOfMemory: as ``load_model``.
        BadAdapter: the adapter cannot be trained further.
        BadConfig: ``lora`` names layers that the model does not have, or contradicts the adapter.
    """
    from ...nodes.models.adapters import base_name, is_adapter
    from ...nodes.models.folder import find_line, load_model

    line = find_line(base)
    if is_adapter(line[0]):
        return _continue(line, base_name(line[0]), lora, dtype)
    model, tokenizer = load_model(base, dtype=dtype)
    _name(model, base)
    if lora.rank:
        _look_at_targets(model, lora)
    return Policy(model, tokenizer, lora_config(lora))


def lora_config(lora: "Lora") -> Any:
    """PEFT's settings for a new adapter; None for rank 0."""
    if not lora.rank:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=2 * lora.rank if lora.alpha is None else lora.alpha,  # pyright: ignore[reportArgumentType]
        target_modules=_targets(lora),
        lora_dropout=lora.dropout,
        use_dora=lora.dora,
        task_type="CAUSAL_LM",
    )


def frozen_reference(policy: Policy) -> Any:
    """The reference model to hand to a preference trainer: the policy as it is before the first step.

    If all weights are trained, that is a frozen copy: without one TRL would open what ``name_or_path`` says, in
    another precision and as it is on disk. With a new adapter it is None, and TRL switches the adapter off. With a
    continued one it is None as well, and TRL compares with a frozen copy of the adapter, not with the bare base.
    """
    if policy.peft_config is not None or _is_adapted(policy.model):
        return None
    return deepcopy(policy.model).requires_grad_(False).eval()


def save_weights(model: Any, folder: Path, *, merge: bool, state_dict: Any = None) -> None:
    """Write full weights, or an adapter alone with the name of its base, or with ``merge`` both as one.

    ``state_dict`` is given where the weights in ``model`` are only a part of them. With ``merge`` the model
    has no adapter afterwards.
    """
    more = {} if state_dict is None else {"state_dict": state_dict}
    if not _is_adapted(model):
        model.save_pretrained(folder, **more)
    elif merge:
        model.set_adapter(ADAPTER)
        model.merge_and_unload(safe_merge=True, adapter_names=[ADAPTER]).save_pretrained(folder, **more)
    else:
        model.save_pretrained(str(folder), selected_adapters=[ADAPTER], save_embedding_layers=False, **more)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's, all of it to be filled in


def _continue(line: list[Path], below: str, lora: "Lora", dtype: str | None) -> Policy:
    """The adapter in the first folder of ``line``, on the weights that the others make."""
    from peft import PeftConfig, get_peft_model

    from ...nodes.models.adapters import merge_adapter
    from ...nodes.models.folder import read_tokenizer, read_weights
    from ...nodes.models.placement import choose_device, choose_dtype

    folder = line[0]
    config: Any = PeftConfig.from_pretrained(str(folder))
    _look_at_settings(folder, config, lora)
    model = read_weights(line[-1], str(line[-1]), choose_device(None), choose_dtype(dtype))
    for deeper in reversed(line[1:-1]):
        model = merge_adapter(model, deeper)
    _name(model, below)
    _look_at_head(folder, config, model)
    config.base_model_name_or_path = model.name_or_path
    config.task_type = "CAUSAL_LM"
    config.inference_mode = False
    config.lora_dropout = lora.dropout
    try:
        adapted: Any = get_peft_model(model, config)
        loaded = adapted.load_adapter(str(folder), ADAPTER, is_trainable=True)
    except Exception as error:  # whatever PEFT makes of weights that do not fit
        mismatch = next((line.strip() for line in str(error).splitlines() if "size mismatch" in line), None)
        if mismatch is None:
            raise BadAdapter(f"the adapter {str(folder)!r} cannot be trained further: {error}") from error
        raise BadAdapter(
            f"the weights of the adapter {str(folder)!r} do not fit: {mismatch.rstrip('.')}; its config says rank "
            f"{config.r} and the base {below!r}: correct adapter_config.json, or train a new adapter"
        ) from error
    odd = [*loaded.missing_keys, *loaded.unexpected_keys]
    if odd:
        raise BadAdapter(
            f"the adapter {str(folder)!r} does not fit its base {below!r}: {len(odd)} tensors have no counterpart, "
            f"such as {odd[0]!r}; correct base_model_name_or_path in its adapter_config.json, or train a new adapter"
        )
    return Policy(adapted, read_tokenizer(line)[0], None)


def _look_at_settings(folder: Path, config: Any, lora: "Lora") -> None:
    kind = getattr(config.peft_type, "value", config.peft_type)
    if kind != "LORA":
        raise BadAdapter(
            f"the adapter {str(folder)!r} is of the kind {kind}; only LoRA adapters can be trained further. "
            "Train a new adapter on its base"
        )
    own = {"rank": config.r, "alpha": config.lora_alpha, "dora": config.use_dora}
    asked = {"rank": lora.rank or None, "alpha": lora.alpha, "dora": lora.dora or None}
    for name, value in asked.items():
        if value is not None and value != own[name]:
            raise BadConfig(
                f"lora.{name} = {value}, but the base {str(folder)!r} is an adapter with {name} {own[name]}, which is "
                f"trained further as it is; leave lora.{name} out, or take its base to train a new adapter"
            )


def _look_at_head(folder: Path, config: Any, model: Any) -> None:
    head = next(name for name, module in model.named_modules() if module is model.get_output_embeddings())
    targets = config.target_modules if isinstance(config.target_modules, list | set) else ()
    for name in (*targets, *(config.modules_to_save or ())):
        if head == name or head.endswith(f".{name}"):
            raise BadAdapter(
                f"the adapter {str(folder)!r} changes the model's output layer {head!r}, which TRL reads past, so that "
                "would never be trained; open it, save it as full weights, and train a new adapter on those"
            )


def _look_at_targets(model: Any, lora: "Lora") -> None:
    targets = _targets(lora)
    head = model.get_output_embeddings()
    found = {name: module for name, module in model.named_modules() if name}
    for target in targets if isinstance(targets, list) else ():
        meant = [module for name, module in found.items() if name == target or name.endswith(f".{target}")]
        if any(module is head for module in meant):
            raise BadConfig(
                f"lora.targets names {target!r}, the model's output layer, which TRL reads past: an adapter there "
                "would never be trained; leave it out"
            )
        if not meant:
            linear = sorted({name.rpartition(".")[2] for name, one in found.items() if "Linear" in type(one).__name__})
            raise BadConfig(f"lora.targets names {target!r}, but the model's layers are {', '.join(linear)}")


def _targets(lora: "Lora") -> str | list[str]:
    names = [name.strip() for name in lora.targets.split(",") if name.strip()]
    return lora.targets if lora.targets.strip() == "all-linear" else names


def _name(model: Any, base: str) -> None:
    """Note where the base is, so that an adapter finds it from wherever it is opened."""
    folder = Path(base).expanduser()
    name = str(folder.resolve()) if folder.is_dir() else base
    model.name_or_path = model.config._name_or_path = name


def _is_adapted(model: Any) -> bool:
    from peft import PeftModel

    return isinstance(model, PeftModel)
