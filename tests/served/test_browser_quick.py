"""Quick hands in a real browser: in every control the last input wins, however soon it comes."""

import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from core.config import FIELDS, RunConfig, from_query
from core.fields import Choice, parse_query, to_text
from core.parts.losses import losses_for
from tests.kit import MINUTE
from tests.kit.browser import GENTLE, button, expect_page, trainer
from ui.pieces.widgets import WIDGETS
from ui.trainer.link import UNTIL

Visit = Callable[..., Page]
EACH = 10  # sequences of inputs in a visit
OF_TRAINER = ("loss", "learning_rate", "epsilon", "dropout_value")
SLIDERS: dict[str, Sequence[Any]] = {
    **{name: row.grid for name, row in WIDGETS.items() if row.grid},
    "loss": losses_for("binary"),
}
KNOBS = {
    "jax_vs_keras": ("seed", "learning_rate", "epsilon", "scaling"),
    "epsilon": ("scaling", "seed", "learning_rate", "epsilon"),
    "keep_or_drop": ("dropout_value", "seed"),
    "gru": ("noise", "sigma", "tau", "mu", "dt", "seed", "learning_rate"),
}
MOVES = {"ArrowRight": 1, "ArrowLeft": -1, "End": 1000, "Home": -1000}
THUMB = 12  # pixels from its middle
TRACK = """input => {
    const {x, y, width, height} = input.closest("[role=group] > *").getBoundingClientRect();
    return [x, y + height / 2, width];
}"""


class Hands:
    """A visitor's hands on one page.

    Each method makes inputs and returns what the last one asks for.
    """

    def __init__(self, page: Page, prefix: str, chance: random.Random) -> None:
        self.page, self.prefix, self.chance = page, prefix, chance
        self.made: list[str] = []  # the inputs of the newest change, for a test that fails

    def within(self, name: str, selector: str) -> Locator:
        return self.page.locator(f"{self._own(name)} {selector}")

    def wait_for_one(self, name: str) -> None:
        """Wait until the control that this one has replaced is gone."""
        expect(self.page.locator(self._own(name))).to_have_count(1)

    def _own(self, name: str) -> str:
        own = f"st-key-{self.prefix}_{name}"
        # Each time the page sets a widget, it gets a new key; see ui/state.py.
        return f":is(.{own}, [class*={own}-])"

    def pause(self) -> None:
        """Pause as long as between two quick inputs; this sleep is part of what is tested."""
        self.page.wait_for_timeout(self.chance.randint(20, 300))

    def change(self, name: str) -> Any:
        """Change a control of any kind."""
        self.made = [name]
        if name in SLIDERS:
            typed = name != "loss" and self.chance.random() < 0.2
            return self.type(name) if typed else self.slide(name)
        if isinstance(allowed := FIELDS[name], Choice):
            return self.choose(name, list(allowed.registry))
        return self.count(name)

    def slide(self, name: str) -> Any:
        slider = self.within(name, "input[type=range]")
        move = self.chance.choice([self._keys, self._clicks, self._drag])
        return SLIDERS[name][move(slider, int(slider.get_attribute("max") or 0))]

    def _keys(self, slider: Locator, most: int) -> int:
        slider.focus()
        at = int(slider.input_value())
        for _ in range(self.chance.randint(2, 5)):
            key = self.chance.choice(list(MOVES))
            self.made.append(key)
            self.page.keyboard.press(key)
            at = min(max(at + MOVES[key], 0), most)
            self.pause()
        return at

    def _clicks(self, slider: Locator, most: int) -> int:
        """Click the track; a click on the thumb only takes hold of it, and changes nothing."""
        *_, width = slider.evaluate(TRACK)
        for _ in range(self.chance.randint(2, 4)):
            now, thumb = int(slider.input_value()), THUMB * most / width
            at = self.chance.choice([at for at in range(most + 1) if abs(at - now) > thumb])
            self.made.append(f"click at {at}")
            self.page.mouse.click(*self._place(slider, at, most))
            self.pause()
        return at

    def _drag(self, slider: Locator, most: int) -> int:
        self.page.mouse.move(*self._place(slider, int(slider.input_value()), most))
        self.page.mouse.down()
        for at in self.chance.choices(range(most + 1), k=self.chance.randint(2, 4)):
            self.made.append(f"drag to {at}")
            self.page.mouse.move(*self._place(slider, at, most), steps=3)
            self.pause()
        self.page.mouse.up()
        return at

    def _place(self, slider: Locator, at: int, most: int) -> tuple[float, float]:
        slider.scroll_into_view_if_needed()
        x, y, width = slider.evaluate(TRACK)
        return x + min(width * at / most, width - 1), y

    def type(self, name: str) -> Any:
        """Type a value in the box beside a slider; nobody types two within 300 ms."""
        value = self.chance.choice(SLIDERS[name])
        box = self.page.locator(f"[class*=st-key-{self.prefix}_{name}_typed] input").last
        self.made.append(f"type {to_text(value)}")
        box.fill(to_text(value))
        box.press("Enter")
        self.pause()
        return value

    def count(self, name: str) -> int:
        """Press the buttons beside a number, or its arrow keys."""
        field = self.within(name, "input")
        at = int(field.input_value())
        for _ in range(self.chance.randint(2, 5)):
            if self.chance.random() < 0.5:
                field.press("ArrowUp")
            else:
                self.within(name, "[data-testid=stNumberInputStepUp]").click()
            at += 1
            self.pause()
        return at

    def choose(self, name: str, options: Sequence[str]) -> str:
        """Choose several segments of a control, one soon after another."""
        for key in self.chance.choices(options, k=self.chance.randint(2, 4)):
            self.made.append(f"choose {key}")
            self.within(name, "[role=radio]").nth(options.index(key)).click()
            self.pause()
        return key


class Told(NamedTuple):
    """What three places say about a setting."""

    control: Any
    address: Any
    run: Any


def runs(asked_for: Path) -> list[RunConfig]:
    """The runs that all visits have asked for, the newest last."""
    lines = asked_for.read_text().splitlines()
    return [from_query(dict(parse_qsl(line)))[0] for line in lines]


def in_address(page: Page) -> RunConfig:
    query = {n: t for n, t in parse_qsl(urlsplit(page.url).query) if n != UNTIL}
    return from_query(query)[0]


def settled(read: Callable[[], Told], value: Any) -> tuple[Told, float]:
    """What is said once all have agreed on `value` for a second (or a minute is over), and when.

    They may agree before the page has seen the first of the inputs, and part again: in a second a
    run of the script that is still on its way brings what it has.
    """
    started = time.monotonic()
    agreed = float("inf")  # since when all agree
    while (now := time.monotonic()) < min(agreed + 1.0, started + MINUTE):
        told = read()
        agreed = min(agreed, now) if told == (value,) * 3 else float("inf")
        time.sleep(0.02)
    return told, now - started


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
def test_the_last_input_wins(visit: Visit, server: str, asked_for: Path, number: int) -> None:
    """It holds while nothing trains, while a run trains, and while its network compiles."""
    chance = random.Random(number)
    new = f"&widths={20 + number}" if number % 4 == 3 else ""
    page = trainer(visit, server, f"?dropout=rate&{GENTLE}{new}")
    if number % 2 == 0:
        button(page, "Train").click()
    hands = Hands(page, "control", chance)
    for _ in range(EACH):
        name = chance.choice([*OF_TRAINER, "seed", "dropout"])
        hands.wait_for_one(name)
        if name in SLIDERS and hands.within(name, "input[type=range]").is_disabled():
            continue  # this loss has no epsilon
        value = hands.change(name)
        told, seconds = settled(partial(read, hands, asked_for, name), value)
        assert told == (value,) * 3, f"{hands.made} after {seconds:.1f} s"


@pytest.mark.slow
@pytest.mark.parametrize("story", KNOBS)
def test_the_last_input_wins_in_a_story(
    visit: Visit, server: str, asked_for: Path, story: str
) -> None:
    earlier = len(asked_for.read_text().splitlines()) if asked_for.exists() else 0
    page = visit(f"{server}/{story}")
    expect_page(page, story)
    page.get_by_test_id("stRadioOption").first.click()
    hands = Hands(page, story, random.Random(0))
    knobs = KNOBS[story]
    for name in knobs:
        expect(hands.within(name, "input, [role=radio]").first).to_be_visible()
    first = {name: shown(hands, name) for name in knobs}
    for _ in range(EACH):
        name = hands.chance.choice(knobs)
        hands.wait_for_one(name)
        value = hands.change(name)

        told = partial(read_story, hands, lambda: runs(asked_for)[earlier:], name, first)
        assert settled(told, value)[0] == (value,) * 3, hands.made


def read_story(
    hands: Hands, asked: Callable[[], list[RunConfig]], name: str, first: dict[str, Any]
) -> Told:
    """As `read`. The page keeps some of its runs, so what it shows may have been asked for before.

    `first` has what the story's controls showed at the start: these values are not in the address.
    """
    query = dict(parse_qsl(urlsplit(hands.page.url).query))
    values, _ = parse_query({knob: FIELDS[knob] for knob in first}, query)
    address = first | values
    fitting = [run for run in asked() if all(getattr(run, k) == v for k, v in address.items())]
    run = fitting[-1] if fitting else asked()[-1]
    return Told(shown(hands, name), address[name], getattr(run, name))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("name", ["loss", "learning_rate", "epsilon"])
def test_quick_keys_leave_a_preset(
    visit: Visit, server: str, asked_for: Path, name: str, number: int
) -> None:
    """The first key makes the page change its menu of presets, which must not change it back."""
    page = trainer(visit, server, "?until=end")
    hands = Hands(page, "control", random.Random(number))
    slider = hands.within(name, "input[type=range]")
    at = int(slider.input_value())
    for _ in range(3):
        slider.press("ArrowRight")
        hands.pause()
    value = SLIDERS[name][at + 3]
    assert settled(partial(read, hands, asked_for, name), value)[0] == (value,) * 3


def read(hands: Hands, asked_for: Path, name: str) -> Told:
    address, run = in_address(hands.page), runs(asked_for)[-1]
    return Told(shown(hands, name), getattr(address, name), getattr(run, name))


def shown(hands: Hands, name: str) -> Any:
    """The value that a control shows. For a moment the control that it replaces is there, too."""
    if name in SLIDERS:
        return SLIDERS[name][int(hands.within(name, "input[type=range]").last.input_value())]
    if isinstance(allowed := FIELDS[name], Choice):
        checked = hands.within(name, "[aria-checked=true]").first.inner_text().strip()
        return next(key for key, row in allowed.registry.items() if row.label == checked)
    return int(hands.within(name, "input").input_value())
