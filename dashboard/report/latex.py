"""Figures, tables and the document as LaTeX that holds whatever stands in them, for pdfLaTeX, XeLaTeX and LuaLaTeX."""

import re
from pathlib import PurePath

from dashboard.report.written import Written
from engine.plain import line

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
GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Δ": "Delta", "Σ": "Sigma", "Π": "Pi", "Ω": "Omega",
}  # fmt: skip
SYMBOLS = {
    "\u00a0": "~", "\u202f": r"\,", "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\dots{}", "½": r"\textonehalf{}",
    "’": r"\textquoteright{}", "‘": r"\textquoteleft{}", "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "→": r"$\to$", "≤": r"$\le$", "≥": r"$\ge$", "√": r"$\surd$", "▲": r"$\bigtriangleup$",
    **{letter: rf"$\{name}$" for letter, name in GREEK.items()},
}  # fmt: skip
WRITTEN = SPECIAL | SYMBOLS
RARE = "ĦħĸĿŀŉŦŧſ"  # letters of Europe that the T1 encoding lacks
OTHERS = re.compile(f"((?:[^\0-\u017f{''.join(SYMBOLS)}]|[{RARE}])+)")  # what the fonts of LaTeX do not have: Chinese, emoji, …
OTHER = r"\providecommand{\other}[1]{#1}"
TABLE_NEEDS = r"% needs \usepackage{array,booktabs,longtable}; a character beyond European letters also a font that has it, in \other"
FIGURE_NEEDS = r"% needs \usepackage{graphicx}; a character beyond European letters also a font that has it, in \other"
PREAMBLE = r"""% XeLaTeX sets every character for which this computer has a font; pdfLaTeX a box in place of Chinese and other scripts
\documentclass[10pt]{article}
\usepackage[a4paper,margin=2cm]{geometry}
\usepackage{iftex,graphicx,array,booktabs,longtable}
\usepackage[font=small,labelfont=bf,skip=4pt]{caption}
\ifPDFTeX
  \usepackage[T1]{fontenc}
  \usepackage{lmodern,textcomp}
  \DeclareRobustCommand{\other}[1]{\fbox{?}}
\else
  \usepackage{fontspec}
  \IfFontExistsTF{Noto Serif CJK SC}{\newfontfamily\otherfont{Noto Serif CJK SC}}{
    \IfFontExistsTF{Noto Sans CJK SC}{\newfontfamily\otherfont{Noto Sans CJK SC}}{
      \IfFontExistsTF{FandolSong}{\newfontfamily\otherfont{FandolSong}}{\let\otherfont\relax}}}
  \DeclareRobustCommand{\other}[1]{{\otherfont #1}}
  \ifXeTeX\XeTeXlinebreaklocale "zh"\XeTeXlinebreakskip=0pt plus 1pt\fi
\fi
\setlength{\LTcapwidth}{\textwidth}
\setlength{\emergencystretch}{2em}
\renewcommand{\topfraction}{0.9}\renewcommand{\bottomfraction}{0.9}\renewcommand{\textfraction}{0.05}\renewcommand{\floatpagefraction}{0.7}"""


def latex(text: str) -> str:
    r"""The text as LaTeX prints it, on one line.

    Special characters are escaped, what would be joined to a dash or a quote is kept apart, what LaTeX's fonts lack stands in \other.
    """
    parts = OTHERS.split(line(text))
    return "".join(rf"\other{{{part}}}" if place % 2 else escaped(part) for place, part in enumerate(parts))


def escaped(text: str) -> str:
    return re.sub(r"[-',`](?=[-',`])|[?!](?=`)", r"\g<0>{}", "".join(WRITTEN.get(c, c) for c in text))


def latex_table(table: Written, caption: str, label: str) -> str:
    """A longtable with booktabs: it goes on over pages, repeats its head, and is as wide as the text."""
    columns = "".join(
        rf">{{\ragged{'left' if number else 'right'}\arraybackslash}}p{{\dimexpr{share:.3f}\linewidth-2\tabcolsep\relax}}"
        for number, share in zip(table.numbers, table.shares, strict=True)
    )
    head = rf"\toprule {' & '.join(map(latex, table.head))} \\ \midrule"
    return "\n".join(
        [
            TABLE_NEEDS,
            OTHER,
            r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
            rf"\caption{{{latex(caption)}}}\label{{{label}}}\\",
            rf"{head}\endfirsthead",
            rf"{head}\endhead",
            *(r" \\* ".join(" & ".join(map(latex, row)) for row in group) + r" \\ \addlinespace[2pt]" for group in table.groups),
            r"\bottomrule",
            r"\end{longtable}",
            r"\endgroup",
            "",
        ]
    )


def latex_figure(file: str, caption: str, inches: float) -> str:
    """A `figure` environment around a picture, as wide as it was made and never wider than the line; figures/fig-a is labelled fig:a."""
    return "\n".join(
        [
            FIGURE_NEEDS,
            OTHER,
            r"\begin{figure}[htbp]",
            r"\centering",
            rf"\includegraphics[width=\ifdim\linewidth<{inches}in\linewidth\else{inches}in\fi]{{{file}}}",
            rf"\caption{{{latex(caption)}}}",
            rf"\label{{fig:{PurePath(file).name.removeprefix('fig-')}}}",
            r"\end{figure}",
            "",
        ]
    )


def itemized(title: str, findings: list[tuple[str, str]]) -> list[str]:
    """Sentences and what they rest on, under the title of their page."""
    said = [rf"\item \textbf{{{latex(sentence)}}} {latex(detail)}" for sentence, detail in findings]
    return [rf"\subsection*{{{latex(title)}}}", r"\begin{itemize}\setlength{\itemsep}{0pt}", *said, r"\end{itemize}"]


def document(
    title: str,
    facts: list[tuple[str, str]],
    heading: str,
    findings: list[tuple[str, list[tuple[str, str]]]],
    body: list[str],
    cited: list[str],
    named: dict[str, str],
) -> str:
    """A whole LaTeX document around figures and tables.

    cited: keys of references.bib, which lies beside it. named: what LaTeX calls a figure, a table and the references (ref).
    """
    found = [row for page, said in findings for row in itemized(page, said)]
    return "\n".join(
        [
            PREAMBLE,
            *(rf"\renewcommand{{\{name}name}}{{{latex(word)}}}" for name, word in named.items()),
            rf"\title{{{latex(title)}}}",
            r"\date{}",
            r"\begin{document}",
            r"\maketitle",
            r"\noindent\begin{tabular}{@{}lp{0.73\linewidth}@{}}",
            *(rf"{latex(label)} & {latex(value)} \\" for label, value in facts),
            r"\end{tabular}",
            *([rf"\section*{{{latex(heading)}}}", *found] if found else []),
            *body,
            *([rf"\nocite{{{','.join(cited)}}}", r"\bibliographystyle{plain}", r"\bibliography{references}"] if cited else []),
            r"\end{document}",
            "",
        ]
    )
