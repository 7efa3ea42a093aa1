"""The options that all commands of ``threadmill export`` share, and what they mean for the library."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from .place import DEFAULT_DB, AsJson

if TYPE_CHECKING:
    from ..checkpoints.store import Store


@dataclass(frozen=True)
class Export:
    """What a user asked for."""

    out: Annotated[Path, typer.Option(help="The folder to write; a data set in it is replaced.")]
    db: Annotated[
        list[str] | None, typer.Option("--db", envvar="THREADMILL_DB", help="Where the threads are; repeatable.")
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only threads with e.g. agent=NAME, task=PATTERN, thread=PATTERN, node=NAME, slot=NAME, "
            "version=NAME, label=KIND=VALUE, reward>=N, since=TIME, tag=NAME; repeatable."
        ),
    ] = None
    format: Annotated[str, typer.Option(help="jsonl, parquet, or datasets.")] = "jsonl"
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", "--model", help="Folder or hub name of the model to train, or seed (the default)."),
    ] = None
    template: Annotated[Path | None, typer.Option(help="A chat template in place of the tokenizer's.")] = None
    family: Annotated[
        str | None, typer.Option(help="How the model writes calls, if its chat template does not tell: react-text.")
    ] = None
    tools: Annotated[
        Path | None, typer.Option(help="JSON with the schemas of tools, for threads that did not note theirs.")
    ] = None
    system: Annotated[
        Path | None, typer.Option(help="Text of the system prompt, for threads that did not note theirs.")
    ] = None
    everything: Annotated[bool, typer.Option("--all", help="Failures and unlabelled threads too.")] = False
    min_reward: Annotated[float | None, typer.Option(help="Only branches with a reward of at least this.")] = None
    best_of: Annotated[int | None, typer.Option(min=1, help="Of each task only so many, the best.")] = None
    max_length: Annotated[int | None, typer.Option(min=1, help="Leave rows of more tokens out.")] = None
    dedup: Annotated[str | None, typer.Option(help="exact, or near with a similarity: near=0.8.")] = None
    decontaminate: Annotated[
        list[str] | None, typer.Option(help="Leave out tasks of this suite: helpdesk, bfcl:FOLDER or a JSONL file.")
    ] = None
    balance: Annotated[str | None, typer.Option(help="As many rows of each tier, or of each tool.")] = None
    mix: Annotated[
        str | None, typer.Option(help="Shares by behaviour: success=0.4,recovery=0.3,refusal|clarification=0.3.")
    ] = None
    test: Annotated[
        float, typer.Option(min=0, max=0.99, help="The part of the tasks that goes into the split test.")
    ] = 0.0
    seed: Annotated[int, typer.Option(help="Of the mix and the split.")] = 0
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace personal data and secrets; they are never trained.")
    ] = False
    allow: Annotated[list[str] | None, typer.Option(help="With --redact: a text that may stay; repeatable.")] = None
    kinds: Annotated[list[str] | None, typer.Option(help="With --redact: only this kind; repeatable.")] = None
    also: Annotated[
        list[str] | None, typer.Option(help="With --redact: NAME=REGEX, what else to redact; repeatable.")
    ] = None
    as_json: AsJson = False

    def selection(self, *, good: bool) -> Any:
        """Which rows are kept; ``good`` if only successes are, unless the user says otherwise."""
        from ..training.selection.settings import Selection

        name, _, part = (self.dedup or "").partition("=")
        if name not in ("", "exact", "near") or (name == "exact" and part):
            raise typer.BadParameter(f"{self.dedup!r} is neither exact nor near=0.8", param_hint="--dedup")
        return Selection(
            success_only=good and not self.everything and self.min_reward is None,
            min_reward=self.min_reward,
            max_tokens=self.max_length,
            suites=tuple(self.decontaminate or ()),
            exact=bool(name),
            near=_number(part or "0.8", "--dedup") if name == "near" else None,
            best_of=self.best_of,
            balance=self.balance,  # type: ignore[arg-type]
            mix=_shares(self.mix),
            test=self.test,
            seed=self.seed,
        )

    def rendering(self) -> dict[str, Any]:
        """How threads without recorded tokens are rendered."""
        return {"tokenizer": tokenizer_named(self.tokenizer), "family": self.family, "template": self.template}

    def run(self, exporter: Callable[..., dict[str, Any]], **told: Any) -> dict[str, Any]:
        """Call ``exporter``, show its progress, and return the manifest."""
        from .progress import progress_bar

        if self.format not in ("jsonl", "parquet", "datasets"):
            raise typer.BadParameter(f"{self.format!r} is none of jsonl, parquet, datasets", param_hint="--format")
        with ExitStack() as stack:
            stores = [stack.enter_context(open_for_export(db)) for db in self.db or [DEFAULT_DB]]
            progress = stack.enter_context(progress_bar("export"))
            manifest = exporter(
                stores,
                self.out,
                where=self.where or [],
                tools=_tools(self.tools),
                system=_text(self.system),
                redactor=self._redactor(told.get("tokenizer")),
                format=self.format,
                progress=progress,
                **told,
            )
            _warn_of_evaluations(stores, manifest["digest"])
            return manifest

    def _redactor(self, tokenizer: str | None) -> Any:
        if not self.redact:
            if self.allow or self.kinds or self.also:
                raise typer.BadParameter("--allow, --kinds and --also go with --redact", param_hint="--redact")
            return None
        from ..training.selection.redactor import Redactor

        opened = None
        if tokenizer is not None:
            from ..training.export import open_renderer

            opened = open_renderer(tokenizer, self.family, self.template).tokenizer
        return Redactor(opened, kinds=self.kinds, also=_named(self.also or ()), allow=self.allow or ())


def exports(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the fields of ``Export`` as options, in front of its own."""

    @wraps(command)
    def run(**options: Any) -> None:
        command(Export(**{name: options.pop(name) for name in _SHARED}), **options)

    own = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
        for hints in [get_type_hints(command, include_extras=True)]
        for name, parameter in signature(command).parameters.items()
        if name != "export"
    ]
    run.__signature__ = signature(command).replace(parameters=[*_SHARED.values(), *own])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*_SHARED.values(), *own)}
    return run


def open_for_export(db: str) -> "Store":
    """The database; one that is not ours is only read, and so does not remember what was exported from it."""
    from ..checkpoints.store import open_store

    with open_store(db, create=False, read_only=True) as store:
        ours = store.has_labels
    return open_store(db, create=False, read_only=not ours)


def _warn_of_evaluations(stores: Sequence["Store"], digest: str) -> None:
    """Say so if the data set holds threads of evaluations: what is trained on them can no longer be judged by them."""
    from ..checkpoints.data_sets import threads_of
    from ..checkpoints.evaluations import trials_in

    ours = [store for store in stores if not store.read_only]
    played = {trial.thread for store in ours for trial in trials_in(store, [*threads_of(store, digest)])}
    if played:
        typer.echo(
            f"{len(played)} of the threads were played by evaluations, such as {min(played)}: their tasks will say "
            "nothing about a model trained on them; leave them out with --decontaminate SUITE",
            err=True,
        )


def tokenizer_named(spec: str | None) -> str:
    """The folder or hub name that ``--tokenizer`` means; None and ``seed``: the embedded model's, as elsewhere."""
    from ..training.slots import SEED_POLICY

    return str(SEED_POLICY) if spec in (None, "seed") else spec


def _text(file: Path | None) -> str | None:
    try:
        return None if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}", param_hint="--system") from error


def _tools(file: Path | None) -> Sequence[Any]:
    if file is None:
        return ()
    from ..checkpoints.importers.schemas import read_tools

    try:
        tools = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{file} cannot be read: {error}", param_hint="--tools") from error
    if not isinstance(tools, list):
        raise typer.BadParameter(f"{file} holds no list of schemas", param_hint="--tools")
    try:
        read = read_tools(tools)
    except ValueError as error:
        raise typer.BadParameter(f"{file} holds no list of schemas: {error}", param_hint="--tools") from error
    return [tool if "function" in tool else known for tool, known in zip(tools, read, strict=True)]


def _named(patterns: Sequence[str]) -> dict[str, str]:
    named = {}
    for text in patterns:
        name, sign, pattern = text.partition("=")
        if not sign or not name:
            raise typer.BadParameter(f"{text!r} is not NAME=REGEX", param_hint="--also")
        named[name] = pattern
    return named


def _shares(text: str | None) -> dict[str, float]:
    shares = {}
    for part in (text or "").split(",") if text else ():
        name, _, share = part.partition("=")
        shares[name.strip()] = _number(share, "--mix")
    return shares


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no number", param_hint=option) from error


_HINTS = get_type_hints(Export, include_extras=True)
_SHARED = {
    field.name: Parameter(
        field.name,
        Parameter.KEYWORD_ONLY,
        annotation=_HINTS[field.name],
        default=signature(Export).parameters[field.name].default,
    )
    for field in fields(Export)
}
