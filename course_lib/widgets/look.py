"""How widgets look beyond what ipywidgets sets: in the dark, on a narrow page, by the keyboard."""

from __future__ import annotations

import ipywidgets

PADDING = 4  # of white paper around a picture that has words up to its edge
FITS = "calc(100% - 4px)"  # ipywidgets has a margin of 2 px, which 100 % forgets

_ARROW = (  # ipywidgets' own is black, in the dark too
    "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'>"
    "<path fill='%23ddd' d='M5.2 5.9 9 9.7l3.8-3.8 1.2 1.2-4.9 5-4.9-5z'/></svg>"
)
_DARK = (  # themes: JupyterLab's; Colab's; VS Code's two, of which it calls a light one both names
    "[data-jp-theme-light='false']",
    "html[theme='dark']",
    ".vscode-dark",
    ".vscode-high-contrast:not(.vscode-high-contrast-light)",
)
_STYLE = f"""<style>
.course-widget {{
  --course-ring: #0072B2; --course-gap: #FFF;
  --course-yes: #00704F; --course-no: #B04A00; --course-soft: #666; --course-ink: #222;
}}
{", ".join(f"{dark} .course-widget" for dark in _DARK)} {{
  --course-ring: #8FD0FF; --course-gap: #111;
  --course-yes: #3CCFA5; --course-no: #FF9A5A; --course-soft: #B5B5B5; --course-ink: #EEE;
  --jp-widgets-dropdown-arrow: url("{_ARROW}");
}}
.course-widget :is(button, input, select, .noUi-handle, .widget-readout):focus-visible {{
  outline: 2px solid var(--course-ring) !important; outline-offset: -2px;
  box-shadow: inset 0 0 0 4px var(--course-gap) !important;
}}
.course-widget :is([type=checkbox], .noUi-handle):focus-visible {{ outline-offset: 1px; }}
.course-widget .course-paper {{
  background: white; border-radius: 4px; padding: {PADDING}px; box-sizing: border-box;
}}
.course-widget .course-light-button {{ color: #222; }}
.course-widget .course-square {{ border-radius: 0; }}
.course-widget .course-grid {{ display: flex; flex-wrap: wrap; }}
</style>"""


def sheet() -> ipywidgets.HTML:
    """The style, as a widget that is not seen: core ipywidgets have no other place for it."""
    return ipywidgets.HTML(_STYLE, layout=ipywidgets.Layout(display="none"))


def soft(words: str) -> str:
    """A remark, in a paler colour that can still be read on white and on black."""
    return f"<span style='color:var(--course-soft)'>{words}</span>"
