"""Export threads as data sets: SFT rows, preference pairs, KTO rows, groups, and chats for others.

The same threads give the same bytes. A thread whose tokens cannot be read is set aside, counted, and stops nothing.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

from ...checkpoints.labels import labels_of_kind
from ...checkpoints.store import Store
from ...checkpoints.where import Where, parse_where
from ...errors import BadModelFolder
from ...nodes.models.families.choose import family_named
from ...nodes.models.render import Renderer
from ..branches import Unnoted
from ..chats.openai import Thinking
from ..chats.rows import Format as ChatFormat
from ..dataset import Format
from ..pairing.pairs import Continuation
from ..pairing.preferences import linked_threads
from ..selection.redactor import Redactor
from ..selection.settings import Selection
from .makers import chat_maker, group_maker, kto_maker, pair_maker, sft_maker
from .pipeline import Progress, Recipe, run_export

GOOD = Selection(success_only=True)
EVERYTHING = Selection()


class Wishes(TypedDict, total=False):
    """What every export can be told."""

    where: Where | Sequence[str]
    """Which threads, as in ``["agent=shop", "reward>=0.5"]``; ``node=NAME`` trains the turns of that node alone,
    ``slot=NAME`` those of that slot."""
    selection: Selection
    """Which of their rows, in which mix, and how they are split."""
    redactor: Redactor
    """What takes personal data and secrets out."""
    tools: Sequence[Mapping[str, Any]]
    """Schemas, as OpenAI writes them, for threads that did not note which tools their model had."""
    system: str | None
    """The system prompt, for threads that did not note it: LangGraph does not store the one of ``create_agent``."""
    format: Format
    progress: Progress


def export_sft(
    store: Store | Sequence[Store],
    out: Path | str,
    *,
    tokenizer: Any,
    family: str | None = None,
    template: Path | None = None,
    **wishes: Unpack[Wishes],
) -> dict[str, Any]:
    """Write SFT rows to the folder ``out`` and return its manifest.

    ``tokenizer`` is one, or its folder or hub name; ``family`` as for ``LocalChatModel.from_folder``, ``template`` a
    file with a chat template in place of the tokenizer's. Unless ``selection`` says otherwise, only good branches
    are taken (rejection sampling).

    Raises:
        BadDataset: ``out`` exists and is not a data set.
        BadModelFolder: there is no tokenizer, or it has no chat template.
        StoreFull: there is no room for it.
        BadWhere, BadSelection: a wish that cannot be met.
    """
    where = _where(wishes)
    recipe = Recipe(
        kind="sft",
        where=where,
        maker=lambda _: sft_maker(where.writers),
        selection=wishes.get("selection", GOOD),
        renderer=open_renderer(tokenizer, family, template),
    )
    return _run(store, out, recipe, wishes)


def export_pairs(
    store: Store | Sequence[Store],
    out: Path | str,
    *,
    tokenizer: Any,
    continuation: Continuation = "whole",
    max_pairs_per_task: int = 4,
    min_reward_gap: float = 0.0,
    family: str | None = None,
    template: Path | None = None,
    **wishes: Unpack[Wishes],
) -> dict[str, Any]:
    """Write preference pairs to the folder ``out`` and return its manifest.

    ``tokenizer``, ``family``, ``template`` and what is raised as for ``export_sft``. Of a thread with several
    branches, the newest is its trial of the task. The rest as for ``pairing.pairs.Pairs``.
    """
    where, opened = _where(wishes), _stores(store)
    settings = {
        "continuation": continuation,
        "max_pairs_per_task": max_pairs_per_task,
        "min_reward_gap": min_reward_gap,
    }
    preferences = [label for one in opened for label in labels_of_kind(one, "preference")]
    recipe = Recipe(
        kind="pairs",
        where=where,
        maker=lambda _: pair_maker(
            where.writers,
            continuation=continuation,
            max_pairs_per_task=max_pairs_per_task,
            min_reward_gap=min_reward_gap,
        ),
        selection=wishes.get("selection", EVERYTHING),
        renderer=open_renderer(tokenizer, family, template),
        settings=settings,
        together=True,
        links=linked_threads(preferences),
        by_outcome=False,
        remembers=True,
    )
    return _run(opened, out, recipe, wishes)


def export_kto(
    store: Store | Sequence[Store],
    out: Path | str,
    *,
    tokenizer: Any,
    min_reward: float | None = None,
    family: str | None = None,
    template: Path | None = None,
    **wishes: Unpack[Wishes],
) -> dict[str, Any]:
    """Write KTO rows, desirable and undesirable, to the folder ``out`` and return its manifest.

    ``min_reward``: from where on a reward is desirable, for threads without another outcome. ``tokenizer``, ``family``,
    ``template`` and what is raised as for ``export_sft``.
    """
    where = _where(wishes)
    recipe = Recipe(
        kind="kto",
        where=where,
        maker=lambda journal: kto_maker(where.writers, min_reward, journal.taken),
        selection=wishes.get("selection", EVERYTHING),
        renderer=open_renderer(tokenizer, family, template),
        settings={"min_reward": min_reward},
        by_outcome=False,
    )
    return _run(store, out, recipe, wishes)


def export_groups(
    store: Store | Sequence[Store],
    out: Path | str,
    *,
    tokenizer: Any,
    family: str | None = None,
    template: Path | None = None,
    **wishes: Unpack[Wishes],
) -> dict[str, Any]:
    """Write groups, the trials of each task after the same prompt, to the folder ``out`` and return its manifest.

    ``tokenizer``, ``family``, ``template`` and what is raised as for ``export_sft``.
    """
    where, selection = _where(wishes), wishes.get("selection", EVERYTHING)
    recipe = Recipe(
        kind="groups",
        where=where,
        maker=lambda _: group_maker(where.writers, selection.max_tokens),
        selection=selection,
        renderer=open_renderer(tokenizer, family, template),
        together=True,
        by_outcome=False,
    )
    return _run(store, out, recipe, wishes)


def export_chats(
    store: Store | Sequence[Store],
    out: Path | str,
    *,
    chat: ChatFormat,
    thinking: Thinking = "refuse",
    **wishes: Unpack[Wishes],
) -> dict[str, Any]:
    """Write conversations as ``openai``, ``anthropic`` or ``sharegpt`` reads them, and return the manifest.

    ``thinking`` says what becomes of answers with thinking in ``openai``, which has no place for it. What is raised as
    for ``export_sft``.
    """
    where = _where(wishes)
    recipe = Recipe(
        kind=chat,
        where=where,
        maker=lambda _: chat_maker(chat, where.writers, thinking),
        selection=wishes.get("selection", GOOD),
        settings={"thinking": thinking},
    )
    return _run(store, out, recipe, wishes)


def open_renderer(tokenizer: Any, family: str | None = None, template: Path | None = None) -> Renderer:
    """The renderer of a tokenizer, or of the one in a folder or on the hub; ``family`` None finds it out.

    Raises:
        BadModelFolder: there is none, or it has no chat template, or ``template`` is none.
        BadModelSpec: there is no such family.
    """
    from transformers import AutoTokenizer

    chosen = family_named(family) if family else None
    try:
        opened = AutoTokenizer.from_pretrained(str(tokenizer)) if isinstance(tokenizer, str | Path) else tokenizer
        return Renderer(opened if template is None else _with_template(opened, Path(template)), chosen)
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, BadModelFolder):
            raise
        raise BadModelFolder(
            f"no tokenizer can be opened at {str(tokenizer)!r}: {error}; give a folder with tokenizer.json"
        ) from error


def _with_template(tokenizer: Any, file: Path) -> Any:
    from jinja2 import TemplateError, TemplateSyntaxError

    told = copy(tokenizer)
    try:
        told.chat_template = file.read_text(encoding="utf-8")
        told.apply_chat_template([{"role": "user", "content": "?"}], tokenize=False)
    except (OSError, UnicodeDecodeError, TemplateSyntaxError) as error:
        raise BadModelFolder(
            f"no chat template can be read from {str(file)!r}: {error}; give a file in Jinja"
        ) from error
    except (TemplateError, TypeError, ValueError, AttributeError):  # this message alone is nothing to it
        pass
    return told


def _where(wishes: Wishes) -> Where:
    where = wishes.get("where", ())
    return where if isinstance(where, Where) else parse_where(where)


def _stores(store: Store | Sequence[Store]) -> list[Store]:
    return [store] if isinstance(store, Store) else [*store]


def _run(store: Store | Sequence[Store], out: Path | str, recipe: Recipe, wishes: Wishes) -> dict[str, Any]:
    unnoted = Unnoted(tuple(wishes.get("tools", ())), wishes.get("system"))
    told = replace(recipe, redactor=wishes.get("redactor"), unnoted=unnoted)
    format, progress = wishes.get("format", "jsonl"), wishes.get("progress")
    return run_export(_stores(store), Path(out), told, format=format, progress=progress)
