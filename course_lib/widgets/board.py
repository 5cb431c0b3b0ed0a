"""A drawing board: click cells, and points come from there."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ipywidgets

CELLS = 11  # the board's side
STEP = 2.4 / (CELLS - 1)  # from cell to cell, on the plane


class Board(ipywidgets.HBox):
    """CELLS × CELLS cells that light up when clicked, and words beside them.

    lit: (row, column) of the cells that are lit at first. on_change is called after each click.
    """

    def __init__(self, lit: Iterable[tuple[int, int]], on_change: Callable[[], None]):
        side = ipywidgets.Layout(width="22px", height="22px", margin="1px", padding="0")
        self.cells = [ipywidgets.ToggleButton(layout=side) for _ in range(CELLS * CELLS)]
        self.clear = ipywidgets.Button(
            description="Clear", tooltip="Empty the board", layout=ipywidgets.Layout(width="100px")
        )
        self._on_change, self._quiet = on_change, True
        for cell in self.cells:
            cell.observe(self._on_cell, "value")
            cell.add_class("gan-cell")
        for row, column in lit:
            self.cells[row * CELLS + column].value = True
        self._quiet = False
        self.clear.on_click(self._on_clear)
        words = "Draw the real points: click the cells. You may do so while it plays."
        beside = ipywidgets.Layout(margin="0 0 0 16px")
        rows = [ipywidgets.HBox(self.cells[i : i + CELLS]) for i in range(0, CELLS**2, CELLS)]
        square = ipywidgets.Layout(flex="0 0 auto")  # a narrow page does not squeeze it
        super().__init__(
            [
                ipywidgets.VBox(rows, layout=square),
                ipywidgets.VBox([ipywidgets.HTML(words), self.clear], layout=beside),
            ],
            layout=ipywidgets.Layout(flex_flow="row wrap"),
        )
        self.add_class("gan-board")

    def points(self) -> list[tuple[float, float]]:
        """The middles (x, y) of the lit cells, on the plane."""
        return [
            (i % CELLS * STEP - 1.2, 1.2 - i // CELLS * STEP)
            for i, cell in enumerate(self.cells)
            if cell.value
        ]

    def _on_cell(self, change) -> None:
        change["owner"].button_style = "info" if change["new"] else ""
        if not self._quiet:
            self._on_change()

    def _on_clear(self, _) -> None:
        self._quiet = True
        for cell in self.cells:
            cell.value = False
        self._quiet = False
        self._on_change()
