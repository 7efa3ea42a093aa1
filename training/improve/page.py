"""A report as one HTML page that needs nothing else: no network, no script, no font. Everything in it is escaped."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from io import BytesIO

from .parts import Command, Curve, Items, Part, Report, Table, Text, visible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


def render_page(report: Report) -> str:
    """The page."""
    style = files("threadmill.training.improve").joinpath("page.css").read_text(encoding="utf-8")
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(report.title)}</title><style>{style}</style></head>",
            f'<body data-verdict="{_text(report.verdict)}"><header><h1>{_text(report.title)}</h1></header><main>',
            *(
                f"<section><h2>{_text(section.title)}</h2>{''.join(map(_part, section.parts))}</section>"
                for section in report.sections
            ),
            "</main></body></html>\n",
        )
    )


def _part(part: Part) -> str:
    if isinstance(part, Text):
        return f"<p{_class('loud', part.loud)}>{_text(part.text)}</p>"
    if isinstance(part, Items):
        return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in part.items)}</ul>"
    if isinstance(part, Command):
        return f"<pre>{_text(part.text)}</pre>"
    if isinstance(part, Table):
        return f'<div class="wide"><table>{"".join(_table(part))}</table></div>'
    picture = b64encode(_draw(part)).decode()
    return f'<img alt="{_text(part.title)}" src="data:image/svg+xml;base64,{picture}">'


def _table(table: Table) -> Iterator[str]:
    yield f"<thead>{_row(table.head, table.left, 'th')}</thead><tbody>"
    yield from (_row(row, table.left, "td") for row in table.rows)
    yield "</tbody>"


def _row(cells: Sequence[str], left: int, tag: str) -> str:
    told = (f"<{tag}{_class('n', at >= left)}>{_text(cell)}</{tag}>" for at, cell in enumerate(cells))
    return f"<tr>{''.join(told)}</tr>"


def _class(name: str, given: bool) -> str:
    return f' class="{name}"' if given else ""


def _text(text: str) -> str:
    """``text`` for HTML."""
    return escape(visible(text))


def _draw(curve: Curve) -> bytes:
    """An SVG of the curve."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "threadmill", "svg.fonttype": "path"}):
        figure = Figure(figsize=(7, 2.2), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        steps, values = zip(*curve.points, strict=True)
        axes.plot(steps, values, color="#2f6fb3", linewidth=1.4)
        axes.set_title(curve.title.replace("$", r"\$"), loc="left", fontsize=10)
        axes.grid(axis="y", color="#e3e6eb", linewidth=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        drawn = BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
