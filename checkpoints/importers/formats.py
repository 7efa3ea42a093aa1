"""The formats that can be imported, by name: a new one is a module and a line here."""

from types import ModuleType

from . import intercode, tau_bench

FORMATS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        tau_bench,
        intercode,
    )
}
"""In the order in which they are listed for people."""
