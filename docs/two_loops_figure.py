"""Draw the two loops of SEAL (paper, section 3.1) as an SVG: the figure of docs/two-loops.md.

Writes  docs/figures/two-loops.svg
Run     python docs/two_loops_figure.py
"""

from html import escape
from pathlib import Path
from typing import NamedTuple

OUTPUT = Path(__file__).parent / "figures" / "two-loops.svg"
WIDTH, HEIGHT = 900, 640

# A viewer in dark mode gets the second set of colours
STYLE = """
svg { --page: #ffffff; --box: #f3f6fa; --inner: #fdf3e3; --ink: #1b2430; --soft: #526070; }
svg { --outer: #2f6db3; --warm: #b5651d; font-family: Helvetica, Arial, sans-serif; }
@media (prefers-color-scheme: dark) {
  svg { --page: #14181e; --box: #222a35; --inner: #2e2519; --ink: #e8edf3; --soft: #a9b6c4; }
  svg { --outer: #6aa9ee; --warm: #e29a4f; }
}
.page { fill: var(--page); }
.outer { fill: none; stroke: var(--outer); stroke-width: 2; stroke-dasharray: 8 5; }
.inner { fill: var(--inner); stroke: var(--warm); stroke-width: 2; stroke-dasharray: 8 5; }
.box { fill: var(--box); stroke: var(--soft); stroke-width: 1.2; }
.title { fill: var(--ink); font-size: 17px; font-weight: bold; }
.text { fill: var(--ink); font-size: 13px; }
.file { fill: var(--soft); font-size: 12px; font-family: Consolas, Menlo, monospace; }
.outer-name { fill: var(--outer); font-size: 17px; font-weight: bold; }
.inner-name { fill: var(--warm); font-size: 17px; font-weight: bold; }
.arrow { fill: none; stroke: var(--ink); stroke-width: 1.8; marker-end: url(#head); }
.head { fill: var(--ink); }
"""


class Box(NamedTuple):
    """A step of a loop, at its left upper corner: name, what happens there, and the file."""

    x: int
    y: int
    width: int
    title: str
    text: str
    file: str


BOX_HEIGHT = 76
BOXES = [
    Box(45, 75, 230, "context C", "a passage, or a puzzle's examples", "data/ or puzzles/"),
    Box(45, 255, 230, "policy LM_θ", "reads C, writes k self-edits", "seal/loop/policy.py"),
    Box(330, 255, 175, "self-edits SE", "k texts for one C", "method/self_edits.py"),
    Box(595, 92, 250, "training sequences", "made of SE and C", "method/inner_loop.py"),
    Box(595, 192, 250, "θ′ = θ + LoRA adapter", "trained on them, apart from θ", "seal/lora/"),
    Box(595, 292, 250, "answers to task τ", "questions, or a test grid", "seal/samplers/"),
    Box(595, 392, 250, "reward r", "share of right answers, or 1 / 0", "method/reward.py"),
    Box(595, 535, 250, "selection", "best of k, or all with r = 1", "method/selection.py"),
    Box(330, 535, 175, "rows", "prompt for C → SE", "method/outer_loop.py"),
    Box(45, 535, 230, "M-step", "θ ← finetuning of θ on the rows", "seal/training/sft.py"),
]
ARROWS = [
    "M160 151 V249",
    "M275 293 H324",
    "M505 293 H540 V130 H589",
    "M720 168 V186",
    "M720 268 V286",
    "M720 368 V386",
    "M720 468 V529",
    "M595 573 H511",
    "M330 573 H281",
    "M160 535 V337",
]
LABELS = [
    (35, 50, "outer-name", "outer loop: ReST-EM, one round"),
    (580, 79, "inner-name", "inner loop: once for each SE"),
    (733, 499, "text", "the adapter is deleted"),
    (172, 440, "text", "the next round starts"),
    (172, 458, "text", "from the new θ"),
]


def box(step: Box) -> str:
    """A box with its three lines of text."""
    x = step.x + 13
    return "\n".join(
        [
            f'<rect class="box" x="{step.x}" y="{step.y}" width="{step.width}"'
            f' height="{BOX_HEIGHT}" rx="8"/>',
            label(x, step.y + 24, "title", step.title),
            label(x, step.y + 44, "text", step.text),
            label(x, step.y + 64, "file", step.file),
        ]
    )


def label(x: int, y: int, kind: str, text: str) -> str:
    """One line of text; `kind` is a class of STYLE, what follows an underscore is a subscript."""
    before, underscore, subscript = text.partition("_")
    # Names of files have underscores too
    if underscore and kind == "title":
        lowered = f'<tspan dy="4" font-size="12">{escape(subscript)}</tspan>'
        return f'<text class="{kind}" x="{x}" y="{y}">{escape(before)}{lowered}</text>'
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def draw() -> str:
    """The whole figure."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="The two loops of SEAL">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7"'
        ' markerHeight="7" orient="auto-start-reverse">'
        '<path class="head" d="M0 0 L10 5 L0 10 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
        '<rect class="outer" x="18" y="18" width="864" height="606" rx="14"/>',
        '<rect class="inner" x="566" y="52" width="304" height="458" rx="14"/>',
        *(f'<path class="arrow" d="{path}"/>' for path in ARROWS),
        *map(box, BOXES),
        *(label(*each) for each in LABELS),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(draw(), encoding="utf-8")
