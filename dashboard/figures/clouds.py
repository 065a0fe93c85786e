"""Figures 3c and 3d as clouds laid out by wordcloud and drawn as text, and the words that tell the two sides apart."""

import warnings
from functools import cache, lru_cache
from pathlib import Path

import plotly.graph_objects as go
import polars as pl
from wordcloud import WordCloud

from dashboard import queries
from dashboard.figures.registry import figure, stands_for
from dashboard.figures.shapes import filled
from dashboard.figures.theme import COLOURS, FONT, called, caption, escaped, fill, say
from dashboard.state.messages import _, listed, plural

WIDTH, HEIGHT = 330, 280  # pixels the layout is made for; a wider page only spreads the words
BASE_LINE = 0.25  # of the type, below the middle of a text as Plotly places it
EDGE, ABOVE_AND_BELOW = 8, 22  # pixels around the words; what a page's margins take of a figure's height


@cache
def measuring_font(latin: bool) -> str | None:
    """The font that draws the words, or one as wide, to measure them with; None is wordcloud's own, which has Latin glyphs only."""
    places = [
        Path(p) for p in ("/usr/share/fonts", "/usr/local/share/fonts", "/System/Library/Fonts", "/Library/Fonts", "C:/Windows/Fonts")
    ]
    chinese = ("NotoSansCJK-Regular.ttc", "NotoSansSC*.?tf", "PingFang.ttc", "msyh.ttc")
    names = ("LiberationSans-Regular.ttf", "Arial.ttf", "arial.ttf") if latin else chinese
    return next((str(found) for name in names for place in places if place.is_dir() for found in sorted(place.rglob(name))), None)


@lru_cache(64)
def layout(counts: tuple[tuple[str, int], ...]) -> list[tuple[str, int, float, float]]:
    """Word, font size and the middle of its box, in pixels from the lower left corner; always the same for the same counts."""
    font = measuring_font(all(word.isascii() for word, _count in counts))
    cloud = WordCloud(
        width=WIDTH,
        height=HEIGHT,
        font_path=font,
        prefer_horizontal=1,
        margin=5,
        max_font_size=44,
        min_font_size=10,
        relative_scaling=0.5,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        cloud.generate_from_frequencies(dict(counts))
    return [placed(cloud.font_path, word, size, corner) for (word, _share), size, corner, *_ in cloud.layout_]


def placed(font_path: str, word: str, size: int, corner: tuple[int, int]) -> tuple[str, int, float, float]:
    """corner: row and column where the ink of the word begins."""
    from PIL import ImageFont

    left, top, right, _bottom = ImageFont.truetype(font_path, size).getbbox(word, anchor="ls")  # from the base line
    return word, size, corner[1] + (right - left) / 2, HEIGHT - (corner[0] - top) + BASE_LINE * size


def cloud(frame: pl.DataFrame, side: str) -> go.Figure:
    if len(frame) < FEWEST:
        return in_a_sentence(
            _("Too few words for a figure: {who} responses use {words}.").format(who=called(side), words=listed(frame["word"])),
            len(frame),
        )
    counts = dict(frame.select("word", "count").iter_rows())
    words = layout(tuple(counts.items()))
    plot = go.Figure()
    plot.add_scatter(
        x=[x for _, _, x, _ in words], y=[y for *_, y in words], mode="text", text=[escaped(w) for w, *_ in words],
        name=called(side), showlegend=False, customdata=[counts[w] for w, *_ in words],
        textfont={"family": FONT, "size": [size for _, size, *_ in words], "color": COLOURS[side]},
        hovertemplate=_("%{text}: %{customdata:,} times"),
    )  # fmt: skip
    plot.update_xaxes(range=[-EDGE, WIDTH + EDGE], visible=False)
    plot.update_layout(height=HEIGHT + 2 * EDGE + ABOVE_AND_BELOW)
    plot.update_yaxes(range=[-EDGE, HEIGHT + EDGE], visible=False)
    most = f"{counts[words[0][0]]:,} × {escaped(words[0][0])}" if words else ""
    return caption(plot, _("{n} most frequent words without stop words").format(n=len(words)), most, counted_said(frame))


def fitted(plot: go.Figure, width: float, height: float) -> go.Figure:
    """The words of a cloud as small as they must be not to overlap on so many pixels; what is no cloud stays as it is."""
    share = min(1.0, width / (WIDTH + 2 * EDGE), height / (HEIGHT + 2 * EDGE))
    for trace in plot.data:
        if trace.type == "scatter" and trace.mode == "text":
            trace.textfont.size = [share * size for size in trace.textfont.size]
    return plot


def counted_said(frame: pl.DataFrame) -> str:
    """That the words of a large slice were counted in some of its pairs."""
    counted, pairs = frame.select("counted_pairs", "pairs").row(0)
    return filled(_("counted in {n:,} of {all:,} pairs"), n=counted, all=pairs) if counted < pairs else ""


MIN_BARS = 8
NO_WORDS = "No word is left without stop words."
FEWEST = 5  # words that a figure is made of


def in_a_sentence(sentence: str, n: int) -> go.Figure:
    """Too few words for a figure."""
    return caption(say(escaped(sentence)), plural("{n} word without stop words", "{n} words without stop words", n).format(n=n))


@figure(
    number="3c", name="words_chosen", title="Which words do chosen responses use?", page="data", query=queries.chosen_words, empty=NO_WORDS
)
def words_chosen(frame: pl.DataFrame) -> go.Figure:
    return cloud(frame, "chosen")


@figure(
    number="3d",
    name="words_rejected",
    title="Which words do rejected responses use?",
    page="data",
    query=queries.rejected_words,
    empty=NO_WORDS,
)
def words_rejected(frame: pl.DataFrame) -> go.Figure:
    return cloud(frame, "rejected")


@figure(
    name="distinguishing_words",
    title="Which words tell the two apart?",
    page="data",
    query=queries.distinguishing_words,
    empty="No word is used more by one side than chance allows.",
)
def distinguishing_words(frame: pl.DataFrame) -> go.Figure:
    if len(frame) < FEWEST:
        words = listed(frame["word"])
        return in_a_sentence(
            _("Too few words for a figure: beyond chance one side uses more often {words}.").format(words=words), len(frame)
        )
    plot = go.Figure()
    for side, rows in (("chosen", frame.filter(pl.col("z") > 0)), ("rejected", frame.filter(pl.col("z") < 0))):
        plot.add_bar(
            x=rows["z"].to_list(), y=[escaped(w) for w in rows["word"]], orientation="h", name=_("rather {who}").format(who=called(side)),
            marker=fill(side), width=0.75, showlegend=len(rows) > 0,
            text=[f"{times:.1f}×" for times in rows["times"]], textposition="outside", textfont_size=10, constraintext="none",
            cliponaxis=False,
            customdata=rows.select("chosen", "rejected", "times_low", "times_high").rows(),
            hovertemplate=_(
                "%{text} as likely (95 %: %{customdata[2]:.1f} to %{customdata[3]:.1f}), z = %{x:.1f}; "
                "chosen %{customdata[0]:,}, rejected %{customdata[1]:,} times"
            ),
        )  # fmt: skip
        stands_for(plot.data[-1], [{"word": word} for word in rows["word"]])
    empty = max(MIN_BARS - len(frame), 0) / 2  # a few words are thin bars in the middle, not slabs
    low, high = min(frame["z"].to_numpy().min(), 0), max(frame["z"].to_numpy().max(), 0)
    room = 0.12 * (high - low)  # for the numbers at the bars
    plot.update_xaxes(title_text=_("z of the log-odds [standard errors]"), zeroline=True, range=[low - room, high + room])
    plot.update_yaxes(range=[-0.5 - empty, len(frame) - 0.5 + empty])
    plot.update_yaxes(showgrid=False, dtick=1, categoryorder="array", categoryarray=[escaped(w) for w in frame["word"]], tickfont_size=10)
    method = _("at the bar: how many times the odds; log-odds with a fixed prior of ½ (Monroe et al. 2008)")
    return caption(
        plot,
        method,
        _("words of 10 uses and more"),
        _("at most 5\u00a0% expected to be chance (Benjamini-Hochberg)"),
        counted_said(frame),
    )
