"""What ``threadmill train`` has to do with the registry: the version a base is, and the version a result becomes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..training.recipes.report import TrainingReport


def open_base(spec: str, db: str) -> tuple[str, str | None]:
    """The folder or hub name that ``spec`` stands for, and the registered version that it is, if any.

    An alias is followed once, here: it may have moved on when training is done.
    """
    from ..training.slots import model_folder, read_spec

    if read_spec(spec).kind != "version":
        return model_folder(None, spec), None
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        version = resolve(store, spec, verify=True)
    return version.folder, version.name


def register(report: "TrainingReport", slot: str, base: str | None, db: str) -> str:
    """Register the folder of ``report`` as the next version of ``slot``, with its lineage; its name."""
    from ..checkpoints.registry import register_version
    from ..checkpoints.store import open_store
    from ..training.recipes.lineage import lineage_of

    with open_store(db) as store:
        return register_version(store, slot, report.out, lineage=lineage_of(report), base=base).name
