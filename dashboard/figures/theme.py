"""How every figure looks: three templates built from nothing, and the one colour, fill and dash of each thing that is compared.

Colours are Okabe and Ito's and kin, at least 3:1 against the white and the dark page; fill patterns and dashes do the same in grey.
"""

import re
from functools import lru_cache
from itertools import islice
from typing import Any

import plotly.graph_objects as go
import plotly.io

from dashboard.state.messages import _, marked, ours, wording
from engine.plain import line

plotly.io.templates.default = None  # every figure gets its own, so that none is copied into it before
FONT = "Liberation Sans, Arial, Helvetica, Noto Sans CJK SC, Noto Sans SC, PingFang SC, Microsoft YaHei, sans-serif"
COLOURS = {
    "chosen": "#0072B2",
    "rejected": "#D55E00",
    "base": "#C2669A",
    "tuned": "#009E73",
    "untrained": "#868686",
    "trained": "#7B5EA7",
    "margin": "#0072B2",
    "difference": "#009E73",
}
NAMES = {  # of what is compared, as axes and legends name it
    "chosen": marked("chosen"),
    "rejected": marked("rejected"),
    "base": marked("base"),
    "tuned": marked("tuned"),
    "untrained": marked("untrained"),
    "trained": marked("reward model"),
    "rule": marked("rule"),
    "margin": marked("margin"),
    "difference": marked("difference"),
}
PATTERNS = {"rejected": "/", "base": "\\", "untrained": "."}  # a hatched fill for the second of two
INK = "#737D87"  # of what is nobody's, as the line of guessing: 4:1 on both pages
BETWEEN = "\u00a0· "  # what is said below a figure
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
RUN_COLOURS = ("#7B5EA7", "#A6611A", "#1B8A8F", "#C2478B", "#6B7B1A", "#6E7781")
PAGES = {  # ink, soft ink, grid, paper
    "light": ("#1F2328", "#59636E", "#E3E6EA", "#FFFFFF"),
    "dark": ("#E8EAED", "#A6ADB5", "#33383F", "#0E1117"),
    "print": ("#000000", "#333333", "#DDDDDD", "#FFFFFF"),
}
ON_MARKS = "on marks"  # the name of an annotation that stands on bars, hatched ones too: with the page's paper behind it
PERCENT = {f"{n}%": f"{n}\u00a0%" for n in range(101)}  # labels of axes as sentences write them: Plotly's own format knows no blank
TITLE_CHARS, SUBTITLE_CHARS = 44, 60  # what fits on a screen 390 pixels wide


def escaped(text: object) -> str:
    """Text as Plotly must be given it: its small HTML subset, entities and $…$ formulas are shown and not interpreted."""
    return on_line(line(text))


def on_line(text: str) -> str:
    """The same of a text that is on one line."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("$", "&#36;").replace("%{", "&#37;{")


def excerpt(text: object, chars: int = 30) -> str:
    """One short escaped line: a legend entry, a tick label."""
    plain = ours(line(text))
    return escaped(plain if len(plain) <= chars else plain[: chars - 1].rstrip() + "…")


def paragraph(text: str, width: int = 60, lines: int = 4) -> str:
    """A few escaped lines for a hover box."""
    shown = wrapped(text, width, lines)
    return "<br>".join(map(on_line, shown[:lines])) + ("…" if len(shown) > lines else "")


def wrapped(text: str, width: int, lines: int) -> list[str]:
    """The first lines of a text, one more than are shown where there are more; textwrap's are slow."""
    found = re.finditer(rf"\S.{{0,{width - 1}}}(?=\s|$)|\S{{{width}}}", line(text))
    return [re.sub(" +", " ", each[0]).strip(" ") for each in islice(found, lines + 1)]


def called(who: str) -> str:
    """The name of what is compared."""
    return _(NAMES.get(who, who))


def whose(who: str, name: str | None) -> str:
    """What is compared by its role and its name, because long names may begin alike: trained: Reward model; untrained (seed 0)."""
    role, name = called(who), ours(name or "")
    return name if name and name.lower().startswith(role) else _("{who}: {name}").format(who=role, name=name) if name else role


def run_style(index: int) -> dict[str, str]:
    """The line of the n-th run, the same on every page; those that have a colour again have another dash."""
    again = index // len(RUN_COLOURS)
    return {"color": RUN_COLOURS[index % len(RUN_COLOURS)], "dash": DASHES[(index + again) % len(DASHES)]}


def fill(who: str) -> dict[str, object]:
    """The bar or box marker of chosen, rejected, base, tuned, untrained, trained."""
    colour = COLOURS[who]
    line = {"color": colour, "width": 1}
    if who not in PATTERNS:
        return {"color": colour, "opacity": 0.7, "line": line}
    return {
        "color": colour,
        "line": line,
        "pattern": {"shape": PATTERNS[who], "fillmode": "replace", "fgcolor": colour, "size": 6, "solidity": 0.35},
    }


def template(name: str) -> go.layout.Template:
    """light, dark or print. Raises KeyError for another name."""
    return made(name, wording().thousands)


@lru_cache
def made(name: str, thousands: str) -> go.layout.Template:
    """thousands: what stands between them in numbers on axes and in hover boxes, as in sentences."""
    ink, soft, grid, paper = PAGES[name]
    axis = {
        "gridcolor": grid, "linecolor": soft, "zerolinecolor": soft, "tickcolor": soft, "showline": True, "zeroline": False,
        "ticks": "outside", "ticklen": 4, "automargin": True, "exponentformat": "none", "separatethousands": True,
        "title": {"font": {"size": 12, "color": soft}, "standoff": 8}, "tickfont": {"size": 11}, "labelalias": PERCENT,
    }  # fmt: skip
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 12, "color": ink},
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "colorway": list(RUN_COLOURS),
            "hoverlabel": {
                "font": {"family": FONT, "size": 12, "color": ink},
                "bgcolor": paper,
                "bordercolor": soft,
                "align": "left",
                "namelength": -1,
            },
            "xaxis": axis,
            "yaxis": axis,
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.0,
                "yanchor": "bottom",
                "font": {"size": 12},
                "tracegroupgap": 0,  # rows as high as legend_rows counts them
                "bgcolor": "rgba(0,0,0,0)",
            },
            "title": {
                "x": 0,
                "xref": "container",
                "xanchor": "left",
                "y": 1,
                "yref": "container",
                "yanchor": "top",
                "font": {"size": 16, "color": ink},
            }
            | {"pad": {"t": 12, "l": 12}, "subtitle": {"font": {"size": 12, "color": soft}}},
            "annotationdefaults": {"font": {"size": 12, "color": soft}, "showarrow": False},
            "annotations": [
                {
                    "name": ON_MARKS,
                    "visible": False,
                    "showarrow": False,
                    "bgcolor": paper,
                    "borderpad": 1,
                    "font": {"size": 12, "color": ink, "weight": 700},
                }
            ],
            "colorscale": {"sequential": [[0, paper], [1, COLOURS["trained"]]]},
            "bargap": 0,
            "separators": f".{thousands}",
        }
    )


def caption(plot: go.Figure, *sentences: str) -> go.Figure:
    """State n, intervals and who measured, under the title."""
    plot.update_layout(title_subtitle_text=BETWEEN.join(s for s in sentences if s))
    return plot


WIDE = r"[\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60\uffe0-\uffe6]"  # of two columns, as Chinese
NOT_FIRST = "，。：；、？！）》”…"  # of a line
PIECES = re.compile(rf"{WIDE}[{NOT_FIRST}]*|(?:(?!{WIDE})[^ \t\n])+[{NOT_FIRST}]*|[ \t\n]+")


def columns_of(text: str) -> int:
    """How many columns of a fixed-width type a text takes: a Chinese character two."""
    return len(text) + len(re.findall(WIDE, text))


def broken(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken between words, and before every Chinese character, only."""
    lines = [""]
    for piece in PIECES.findall(text):
        if columns_of(lines[-1] + piece.rstrip(" ")) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece if lines[-1] else piece.lstrip()
    return [line.rstrip(" ") for line in lines if line.strip()]


def legend_rows(plot: go.Figure, chars: int = SUBTITLE_CHARS) -> int:
    """How many lines the legend takes on a narrow screen, or where `chars` fit; its entries stand in columns as wide as the widest."""
    names = [trace.name or "" for trace in plot.data if trace.showlegend is True]
    columns = max(1, chars // (max(map(columns_of, names), default=0) + 9))
    return -(-len(names) // columns)


def dressed(plot: go.Figure, title: str, theme_name: str) -> go.Figure:
    """Give a drawn figure its title, its margins and its template."""
    heading = broken(title, TITLE_CHARS)
    below = broken(plot.layout.title.subtitle.text or "", SUBTITLE_CHARS)
    rows = legend_rows(plot)
    panel_titles = any(note.yref == "paper" for note in plot.layout.annotations)
    wanted = plot.layout.margin
    top = 32 + 20 * len(heading) + 16 * len(below) + 20 * rows + 18 * panel_titles
    return plot.update_layout(
        template=template(theme_name),
        title={"text": "<br>".join(heading), "subtitle": {"text": "<br>".join(below)}},
        margin={"t": top, "l": 12, "r": wanted.r or 20, "b": 12, "autoexpand": True},
        showlegend=rows > 0,
    )


def undressed(plot: go.Figure, theme_name: str, height: int) -> dict[str, Any]:
    """A drawn figure with its template for a page, where the title stands above and the caption below, as Plotly's JSON.

    The template is put into what was checked already: in a figure Plotly checks all of it again, for 3 ms.
    """
    panel_titles = any(note.yref == "paper" for note in plot.layout.annotations)
    rows, wanted = legend_rows(plot), plot.layout.margin  # the drawing makes the room that the legend takes where it is shown
    top = 14 + 18 * panel_titles
    plot.update_layout(
        height=(plot.layout.height or height) + 20 * rows,
        margin={"t": max(top, wanted.t or 0), "l": wanted.l or 0, "r": wanted.r or 20, "b": 8, "autoexpand": True},
        showlegend=rows > 0,
    )
    plot.layout.title = None
    drawing: dict[str, Any] = plot.to_dict()
    drawing["layout"]["template"] = template(theme_name).to_plotly_json()
    return drawing


def say(sentence: str) -> go.Figure:
    """Empty axes with what to do next."""
    plot = go.Figure()
    plot.update_xaxes(range=[0, 1], showticklabels=False, ticks="", showgrid=False)
    plot.update_yaxes(range=[0, 1], showticklabels=False, ticks="", showgrid=False)
    text = "<br>".join(broken(sentence, 40))
    return plot.add_annotation(text=text, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False, font_size=13)
