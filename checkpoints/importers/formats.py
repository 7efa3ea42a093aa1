"""The formats that can be imported, by name: a new one is a module and a line here."""

from types import ModuleType

from . import (
    anthropic,
    api_bank,
    functionchat,
    gemini,
    glaive,
    hermes,
    intercode,
    langsmith,
    openai,
    react_text,
    responses,
    sharegpt,
    swe_agent,
    tau2,
    tau_bench,
    toolbench,
    xlam,
)

FORMATS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (
        tau_bench,
        tau2,
        swe_agent,
        intercode,
        react_text,
        responses,
        toolbench,
        functionchat,
        api_bank,
        openai,
        anthropic,
        gemini,
        sharegpt,
        hermes,
        glaive,
        xlam,
        langsmith,
    )
}
"""In the order in which they are listed for people."""
