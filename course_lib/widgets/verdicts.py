"""Pictures beside yes/no questions: the student's own verdict, with its uncertainty."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import ipywidgets
from PIL import Image

from course_lib.errors import CourseError
from course_lib.pixels import in_few_colours
from course_lib.widgets import look
from course_lib.widgets.contact_sheet import SHOWN, Answers, draw_sheet, opened_pictures, tag
from course_lib.widgets.still import WithStill, encode
from course_lib.widgets.words import telling

ALL = "all of these"
SIGNS = {True: "✓", False: "✗", None: "–"}


class VerdictSheet(WithStill):
    """For each prompt its pictures, under each the questions, ✓ or ✗, and below what that sums to.

    pictures: for each prompt a list of PIL images, or of what `pixels.to_uint8` takes, or one array
    or tensor of all. questions: for each prompt its yes/no criteria, such as "it wears a hat".
    article: prompt → what the article says; shown only when all pictures of that prompt are scored.
    Where no kernel runs, the pictures and boxes to be ticked stand in its place.
    """

    words = "A sheet to score pictures with: run this cell in JupyterLab or Colab."

    def __init__(
        self,
        pictures: Sequence,
        questions: Sequence[Sequence[str]],
        prompts: Sequence[str],
        article: Mapping[str, str] | None = None,
    ):
        article = dict(article or {})
        _refuse(pictures, questions, prompts, article)
        self._pictures = {
            prompt: opened_pictures(images, prompt)
            for prompt, images in zip(prompts, pictures, strict=True)
        }
        self._article = article
        self.error = ipywidgets.HTML()
        # Signs keep their width, whatever the words beside them need; 20 px of it are padding.
        self._small = ipywidgets.Layout(width="auto", flex="0 0 auto", margin="0")
        self._narrow = ipywidgets.ToggleButtonsStyle(button_width="36px")
        self._rest = ipywidgets.Layout(flex="1 1 0", width="0", min_width="0")
        # prompt → criterion → the ✓ and ✗ of each picture
        self.marks: dict[str, dict[str, list[ipywidgets.ToggleButtons]]] = {
            prompt: {one: [self._make_mark(one) for _ in self._pictures[prompt]] for one in asked}
            for prompt, asked in zip(prompts, questions, strict=True)
        }
        self.tally = {prompt: ipywidgets.HTML() for prompt in prompts}
        self.found = {prompt: ipywidgets.HTML() for prompt in article}
        self.reveal = {prompt: self._make_reveal(prompt) for prompt in article}
        super().__init__([*(self._make_section(prompt) for prompt in prompts), self.error])
        self.add_class("verdicts")
        for prompt in prompts:
            self._add_up(prompt)
            change = telling(self.error, lambda _, prompt=prompt: self._add_up(prompt))
            for mark in chain.from_iterable(self.marks[prompt].values()):
                mark.observe(change, "value")

    def scores(self) -> dict[str, dict[str, Answers]]:
        """Prompt → criterion → whether each picture meets it; None where it was not said yet."""
        return {
            prompt: {one: [mark.value for mark in marks] for one, marks in asked.items()}
            for prompt, asked in self.marks.items()
        }

    def table(self) -> str:
        """The scores as a Markdown table, to be handed in."""
        rows = [("prompt", "criterion", "pictures", "met by", "share (95 % interval)"), ["---"] * 5]
        for prompt, asked in self._with_all().items():
            for criterion, answers in asked.items():
                signs = " ".join(SIGNS[answer] for answer in answers)
                first = prompt if criterion == next(iter(asked)) else ""
                rows.append((first, criterion, signs, _counted(answers), _share(answers)))
        return "\n".join(f"| {' | '.join(map(_in_table, row))} |" for row in rows)

    def still(self) -> bytes:
        """The pictures, and beneath each the questions with a box for the answer."""
        scores = self.scores()
        sections = [
            draw_sheet(prompt, images, scores[prompt], f"prompt {i}")
            for i, (prompt, images) in enumerate(self._pictures.items(), 1)
        ]
        width = max(section.width for section in sections)
        height = sum(section.height for section in sections)
        picture, top = Image.new("RGB", (width, height), "white"), 0
        for section in sections:
            picture.paste(section, (0, top))
            top += section.height
        return encode(in_few_colours(picture), optimize=True)

    # Its parts

    def _make_mark(self, criterion: str) -> ipywidgets.ToggleButtons:
        mark = ipywidgets.ToggleButtons(
            options=[("✓", True), ("✗", False)],
            value=None,
            tooltips=[f"yes: {criterion}", f"no: {criterion}"],
            style=self._narrow,
            layout=self._small,
        )
        mark.add_class("verdicts-mark")
        return mark

    def _make_reveal(self, prompt: str) -> ipywidgets.Button:
        button = ipywidgets.Button(
            description="what the article found",
            tooltip="Once you have scored all pictures of this prompt",
            layout=ipywidgets.Layout(width="200px"),
        )
        button.on_click(telling(self.error, lambda _: self._on_reveal(prompt)))
        button.add_class("verdicts-reveal")
        return button

    def _make_section(self, prompt: str) -> ipywidgets.Widget:
        column = ipywidgets.Layout(width=f"{SHOWN + 36}px", margin="0 4px 8px 0")
        columns = []
        for i, picture in enumerate(self._pictures[prompt]):
            shown = ipywidgets.HTML(tag(picture, f"picture {i + 1} of “{prompt}”"))
            lines = [
                ipywidgets.HBox([marks[i], ipywidgets.HTML(_small(criterion), layout=self._rest)])
                for criterion, marks in self.marks[prompt].items()
            ]
            columns.append(ipywidgets.VBox([shown, *lines], layout=column))
        wrapped = ipywidgets.Layout(flex_flow="row wrap", align_items="flex-end")
        below = [self.tally[prompt]]
        if prompt in self.reveal:
            beside = ipywidgets.Layout(margin="0 0 0 24px", max_width="420px")
            below.append(ipywidgets.VBox([self.reveal[prompt], self.found[prompt]], layout=beside))
        self.tally[prompt].add_class("verdicts-tally")
        return ipywidgets.VBox(
            [
                ipywidgets.HTML(f"<b style='font-size:15px'>{html.escape(prompt)}</b>"),
                ipywidgets.HBox(columns, layout=wrapped),
                ipywidgets.HBox(below, layout=ipywidgets.Layout(flex_flow="row wrap")),
            ],
            layout=ipywidgets.Layout(margin="0 0 20px 0"),
        )

    # What is said

    def _with_all(self) -> dict[str, dict[str, Answers]]:
        """The scores, and for each prompt whether a picture meets all criteria."""
        whole = self.scores()
        for asked in whole.values():
            asked[ALL] = [
                None if None in answers else all(answers)
                for answers in zip(*asked.values(), strict=True)
            ]
        return whole

    def _missing(self, prompt: str) -> int:
        return sum(mark.value is None for marks in self.marks[prompt].values() for mark in marks)

    def _add_up(self, prompt: str) -> None:
        rows = []
        for criterion, answers in self._with_all()[prompt].items():
            strong = "b" if criterion == ALL else "span"
            cells = (criterion, _counted(answers), _share(answers))
            rows.append(
                "<tr>"
                + "".join(
                    f"<td style='padding:0 16px 0 0;text-align:left'>"
                    f"<{strong}>{html.escape(cell)}</{strong}></td>"
                    for cell in cells
                )
                + "</tr>"
            )
        missing = self._missing(prompt)
        note = _missing_words(missing) if missing else "95 % intervals by Wilson"
        self.tally[prompt].value = f"<table>{''.join(rows)}</table>{look.soft(note)}"
        if prompt in self.reveal:
            self.reveal[prompt].disabled = bool(missing)

    def _on_reveal(self, prompt: str) -> None:
        if missing := self._missing(prompt):
            raise CourseError(f"Score all of this prompt first: {_missing_words(missing)}.")
        self.found[prompt].value = f"The article: {html.escape(self._article[prompt])}"


def _missing_words(number: int) -> str:
    return "one answer is still missing" if number == 1 else f"{number} answers are still missing"


def _counted(answers: Answers) -> str:
    given = [answer for answer in answers if answer is not None]
    return f"{sum(given)} of {len(given)}" if given else "–"


def _share(answers: Answers) -> str:
    """Such as "50 % (15–85 %)"; of those that were given."""
    from course_lib.judge import Score  # here: it takes seconds to import

    given = [answer for answer in answers if answer is not None]
    if not given:
        return "–"
    score = Score(sum(given), len(given))
    low, high = (round(100 * end) for end in score.interval)
    return f"{100 * score.accuracy:.0f} % ({low}–{high} %)"


def _in_table(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")


def _refuse(pictures: Any, questions: Any, prompts: Any, article: Mapping[str, str]) -> None:
    if isinstance(prompts, str) or not len(prompts) or not all(isinstance(p, str) for p in prompts):
        raise CourseError("prompts are a list of texts, one or more, such as [“a cat in a hat”]")
    if len(pictures) != len(prompts) or len(questions) != len(prompts):
        raise CourseError(
            f"{len(prompts)} prompts, but {len(pictures)} lists of pictures and {len(questions)} "
            "of questions; give one of each for every prompt"
        )
    if len({*prompts}) < len(prompts):
        raise CourseError("two prompts are the same; put their pictures together")
    for prompt, asked in zip(prompts, questions, strict=True):
        if (
            isinstance(asked, str)
            or not len(asked)
            or not all(isinstance(one, str) for one in asked)
        ):
            raise CourseError(f"“{prompt}” needs a list of criteria, such as [“it wears a hat”]")
        if len({*asked, ALL}) <= len(asked):
            raise CourseError(
                f"the criteria of “{prompt}” must differ from each other and from “{ALL}”"
            )
    if unknown := [prompt for prompt in article if prompt not in prompts]:
        raise CourseError(f"the article's “{unknown[0]}” is none of the prompts; spell them alike")


def _small(words: str) -> str:
    look = "font-size:12px;line-height:1.2;padding:4px 0 0 4px"
    return f"<div style='{look}'>{html.escape(words)}</div>"
