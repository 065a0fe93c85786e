"""Figures and tables as LaTeX that holds whatever stands in them."""

import re
from typing import Any

import polars as pl

from dashboard.figures.headings import heading, in_our_words
from dashboard.state.messages import language
from engine.plain import line
from engine.statistics.estimate import Estimate

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
}


def latex(text: str) -> str:
    """The text as LaTeX prints it, on one line: special characters escaped, and what would be joined to a dash or a quote kept apart."""
    escaped = "".join(SPECIAL.get(c, c) for c in line(text))
    return re.sub(r"[-',`](?=[-',`])|[?!](?=`)", r"\g<0>{}", escaped)


def cell(value: Any) -> str:
    if value is None:
        return "--"
    if isinstance(value, dict):
        return latex(f"{Estimate(**value):.3f}")
    return f"{value:.3f}" if isinstance(value, float) else latex(str(value))


def latex_table(frame: pl.DataFrame, caption: str, label: str) -> str:
    """A longtable; text columns share the width of the line. Chinese needs XeLaTeX or LuaLaTeX with a Chinese font."""
    texts = sum(kind == pl.String for kind in frame.dtypes)
    width = 0.75 / max(1, texts)
    columns = "".join(rf"p{{{width:.2f}\linewidth}}" if kind == pl.String else "r" for kind in frame.dtypes)
    head = " & ".join(latex(heading(name)) for name in frame.columns)
    rows = [" & ".join(cell(value) for value in row) + r" \\" for row in in_our_words(frame).iter_rows()]
    return "\n".join(
        [
            "% needs \\usepackage{longtable,booktabs} and \\usepackage[T1]{fontenc}, or XeLaTeX with a font that has the characters",
            rf"\begin{{longtable}}{{{columns}}}",
            rf"\caption{{{latex(caption)}}}\label{{{label}}}\\",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            r"\endhead",
            *rows,
            r"\bottomrule",
            r"\end{longtable}",
            "",
        ]
    )


def latex_figure(name: str, caption: str, inches: float) -> str:
    """A `figure` environment around the picture of that name, as wide as it was made and never wider than the line."""
    return "\n".join(
        [
            "% needs \\usepackage{graphicx} and \\usepackage[T1]{fontenc}, or XeLaTeX with a font that has the characters",
            r"\begin{figure}",
            r"\centering",
            rf"\includegraphics[width=\ifdim\linewidth<{inches}in\linewidth\else{inches}in\fi]{{{name}}}",
            rf"\caption{{{latex(caption)}}}",
            rf"\label{{fig:{name}}}",
            r"\end{figure}",
            "",
        ]
    )


def document(title: str, facts: list[tuple[str, str]], heading: str, findings: list[tuple[str, str]], body: list[str]) -> str:
    """A whole LaTeX document around figures and tables; references.bib lies beside it."""
    return "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage[a4paper,margin=2cm]{geometry}",
            r"\usepackage{graphicx,longtable,booktabs,iftex}",
            *([r"\usepackage{ctex}  % XeLaTeX or LuaLaTeX, with a Chinese font"] if language() == "zh" else []),
            r"\ifXeTeX\usepackage{fontspec}\else\ifLuaTeX\usepackage{fontspec}\fi\fi",
            rf"\title{{{latex(title)}}}",
            r"\date{}",
            r"\begin{document}",
            r"\maketitle",
            r"\begin{description}",
            *(rf"\item[{latex(label)}] {latex(value)}" for label, value in facts),
            r"\end{description}",
            *(
                [
                    rf"\section*{{{latex(heading)}}}",
                    r"\begin{itemize}",
                    *(rf"\item \textbf{{{latex(found)}}} {latex(detail)}" for found, detail in findings),
                    r"\end{itemize}",
                ]
                if findings
                else []
            ),
            *body,
            r"\nocite{*}",
            r"\bibliographystyle{plain}",
            r"\bibliography{references}",
            r"\end{document}",
            "",
        ]
    )
