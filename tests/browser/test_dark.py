"""The widgets' colours under the marks by which notebooks say light or dark.

Colab's mark stands in the frame that shows an output: googlecolab/colabtools#1214. VS Code's are
those of microsoft/vscode#148057: its light high contrast has the name of the dark one as well.
"""

import pytest

from course_lib.widgets import look

MARKS = {  # of <html>, of <body>, and whether it is dark
    "Colab": ("", "", False),
    "Colab dark": ("theme=dark", "", True),
    "JupyterLab": ("", "data-jp-theme-light=true", False),
    "JupyterLab dark": ("", "data-jp-theme-light=false", True),
    "VS Code": ("", "class=vscode-light", False),
    "VS Code dark": ("", "class=vscode-dark", True),
    "VS Code high contrast": ("", "class=vscode-high-contrast", True),
    "VS Code high contrast light": (
        "",
        "class='vscode-high-contrast vscode-high-contrast-light'",
        False,
    ),
}


@pytest.mark.parametrize("name", MARKS)
def test_colours_follow_the_notebook(page, name):
    html, body, dark = MARKS[name]
    page.set_content(
        f"<!doctype html><html {html}><body {body}><div class='course-widget'>"
        f"{look.sheet().value}<i style='color: var(--course-ink)'>a</i></div></body></html>"
    )
    ink = page.evaluate("getComputedStyle(document.querySelector('i')).color")
    assert ink == ("rgb(238, 238, 238)" if dark else "rgb(34, 34, 34)")
