"""The atlas page as a visitor sees it."""

import html
import re
from dataclasses import replace
from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from core.study.atlas.comparisons import LIVE, compared
from core.study.atlas.piece import FRAMEWORKS, TOPICS
from core.study.atlas.pieces import PIECES
from tests.kit.pages import open_page
from ui.atlas import setting
from ui.twins import pair

PAGE = "pages/lab/atlas.py"


def shown(page: AppTest, mark: str) -> str:
    """The HTML of the page in which `mark` is."""
    return next(each.proto.body for each in page.get("html") if mark in each.proto.body)


def headings(page: AppTest) -> list[str]:
    """The pieces of the list, in its order."""
    return [html.unescape(h) for h in re.findall(r"<h3>(.+?) <small", shown(page, 'class="ports"'))]


@given(
    st.sampled_from(list(FRAMEWORKS)),
    st.sampled_from(list(FRAMEWORKS)),
    st.lists(st.sampled_from(list(setting.OPTIONAL)), unique=True).map(tuple),
)
def test_a_link_restores_the_choice(there: str, here: str, uses: tuple[str, ...]) -> None:
    values = setting.Setting(there, here, uses)._asdict()
    assert setting._from_query(setting._to_query(values)) == (values, [])


def test_the_first_list_is_from_keras_to_pytorch() -> None:
    page = open_page(PAGE)
    assert not page.exception and not page.query_params
    assert "From Keras to PyTorch" in page.header[0].value
    items = headings(page)
    assert len(items) == len(set(items)) > 5
    listed = shown(page, 'class="ports"')
    assert "torch.optim.Adam" in listed and "torch/optim/adam.py" in listed


def test_a_port_with_rmsprop_is_told_what_to_change_and_in_which_order() -> None:
    page = open_page(PAGE, uses="rmsprop.batch_norm.sgd")
    items = headings(page)
    wanted = [
        PIECES[key].label for key in ("dense_start", "rmsprop", "rmsprop_rate", "rmsprop_rho",
                                      "rmsprop_epsilon", "batch_norm_number", "momentum_form")
    ]  # fmt: skip
    assert set(wanted) <= set(items)
    places = [items.index(label) for label in wanted]
    # The first weights matter most, then RMSprop's numbers together; the rate costs more than rho.
    assert places[:4] == sorted(places[:4])


def test_a_swap_turns_the_list_round() -> None:
    page = open_page(PAGE, there="torch", here="flax")
    before = set(headings(page))
    next(button for button in page.button if button.label == "Swap").click().run()
    assert page.query_params == {"there": "flax"}
    assert "From Flax and optax to PyTorch" in page.header[0].value
    assert set(headings(page)) == before


def test_the_same_framework_twice_is_no_port() -> None:
    page = open_page(PAGE, there="torch", here="torch")
    assert not page.exception
    assert page.info[0].value == "Choose two different frameworks."


def test_junk_in_the_address_is_named_and_the_page_stays() -> None:
    page = open_page(PAGE, there="<script>", uses="adam.nothing", junk="1")
    assert not page.exception
    assert "From Keras to PyTorch" in page.header[0].value


def test_links_open_the_two_runs_of_the_sample() -> None:
    page = open_page(PAGE)
    links = re.findall(r'href="twins\?(.+?)"', shown(page, 'class="ports"'))
    assert links
    piece = PIECES["dense_start"]
    first = compared(piece, "glorot_uniform", "uniform", base=LIVE)[0]
    queries = [dict(parse_qsl(html.unescape(link))) for link in links]
    assert pair.link(first.original, first.ported) in queries
    for query in queries:
        values, notes = pair._from_query(query)
        assert notes == [] and values["a"] != values["b"]


def test_every_default_is_in_the_table_and_differences_are_marked() -> None:
    page = open_page(PAGE)
    table = shown(page, "rowgroup")
    for piece in PIECES.values():
        listed = f'<th scope="row">{html.escape(piece.label)}</th>' in table
        assert listed == bool(piece.defaults)  # what nobody does by default is no default
    differing = sum(
        fact.value != piece.defaults["keras"].value
        for piece in PIECES.values()
        if "keras" in piece.defaults
        for fact in piece.defaults.values()
    )
    assert table.count("class=differs") == differing
    assert all(html.escape(row.label) in table for key, row in TOPICS.items()
               if any(p.topic == key and p.defaults for p in PIECES.values()))  # fmt: skip


def closer_alone() -> None:
    from core.study.atlas.effects import recorded
    from ui.atlas.table import closer

    closer(recorded())


def test_a_piece_of_each_topic_is_shown_closer() -> None:
    page = AppTest.from_function(closer_alone).run()
    one = {piece.topic: (key, piece) for key, piece in PIECES.items()}
    for key, piece in one.values():
        page.selectbox(key="atlas_piece").set_value(key).run()
        assert not page.exception
        assert any(piece.summary == text.value for text in page.markdown)


def test_a_value_that_is_nobody_s_default_is_live_too() -> None:
    page = AppTest.from_function(closer_alone).run()
    page.selectbox(key="atlas_piece").set_value("gru_reset").run()
    listed = shown(page, "Train two of them")
    (link,) = re.findall(r'href="twins\?(.+?)"', listed)
    values, notes = pair._from_query(dict(parse_qsl(html.unescape(link))))
    assert notes == [] and values["a"].model == "gru_reset_after"
    assert values["a"] == replace(values["b"], model="gru_reset_after")
    assert re.search(r"a GRU.* → .*% of the variance", listed)


def test_the_list_can_be_taken_along() -> None:
    page = open_page(PAGE)
    assert any("Markdown" in b.proto.label for b in page.get("download_button"))
