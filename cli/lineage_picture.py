"""A lineage as a Graphviz graph, or as one HTML page without anything from elsewhere. Pure."""

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..checkpoints.lineage import Origin

COLOURS = {
    "message": "#f6e3b4",
    "version": "#bfe3c8",
    "weights": "#e3e3e3",
    "run": "#c9d9f2",
    "data set": "#e5cff0",
    "thread": "#ffffff",
}
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5rem; color: #1c1c1c; background: #fafafa }
ul { list-style: none; margin: 0; padding-left: 1.6rem; border-left: 1px solid #b8b8b8 }
li { margin: .35rem 0; position: relative }
li::before { content: ""; position: absolute; left: -1.6rem; top: .9rem; width: 1.3rem; border-top: 1px solid #b8b8b8 }
body > ul, body > ul > li { border: 0; padding: 0 } body > ul > li::before { display: none }
span.point { display: inline-block; padding: .15rem .55rem; border: 1px solid #8a8a8a; border-radius: .4rem }
small { color: #555; margin-left: .4rem; overflow-wrap: anywhere }
"""


def draw_dot(origin: "Origin") -> str:
    """The lineage for Graphviz; what is reached twice stands there once.

    >>> from types import SimpleNamespace as Point
    >>> print(draw_dot(Point(kind="version", name="a@1", about="live", details={}, leads=[])))
    digraph lineage {
      rankdir=LR; node [shape=box, style="rounded,filled", fontname="sans-serif"];
      "version a@1" [label="version a@1\\nlive", fillcolor="#bfe3c8"];
    }
    """
    points: dict[str, str] = {}
    edges: dict[str, None] = {}
    _collect(origin, points, edges)
    head = '  rankdir=LR; node [shape=box, style="rounded,filled", fontname="sans-serif"];'
    return "\n".join(["digraph lineage {", head, *points.values(), *edges, "}"])


def draw_html(origin: "Origin") -> str:
    """The lineage as a page: a tree whose branches fold."""
    title = escape(f"Lineage of {origin.kind} {origin.name}")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1><ul>{_item(origin)}</ul></body></html>\n"
    )


def _item(origin: "Origin") -> str:
    colour = COLOURS[origin.kind]
    said = f'<span class="point" style="background:{colour}">{escape(origin.kind)} <b>{escape(origin.name)}</b></span>'
    about = f"<small>{escape(origin.about)}</small>" if origin.about else ""
    if not origin.leads:
        return f"<li>{said}{about}</li>"
    inside = "".join(map(_item, origin.leads))
    return f"<li><details open><summary>{said}{about}</summary><ul>{inside}</ul></details></li>"


def _collect(origin: "Origin", points: dict[str, str], edges: dict[str, None], behind: str = "") -> str:
    label = key = f"{origin.kind} {origin.name}"
    if origin.kind == "run" or origin.name.startswith("…"):  # another one of the same name is not the same
        key = f"{behind} {key}"
    label += f"\n{origin.about}" if origin.about else ""
    points.setdefault(key, f'  {_quoted(key)} [label={_quoted(label)}, fillcolor="{COLOURS[origin.kind]}"];')
    for one in origin.leads:
        edges[f"  {_quoted(key)} -> {_quoted(_collect(one, points, edges, key))};"] = None
    return key


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
