"""Names are compared in one form, made in one place: the function in the database, and the macro that spares its call."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator

import jinja2
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as case
from hypothesis import strategies as st

from p06 import database
from p06.settings import settings
from p06.synth.names import respell
from tests.names import DIFFERENT, KEPT, SAME, variants
from tests.oracle.matching import normal_name
from tests.sender import Sender

Normalise = Callable[[list[str]], list[str]]
SYLLABLES = (
    "Nguyễn Trần Hòa Hoà Thủy Thuỷ Quý Khoẻ Hoàng Huỳnh Uyên Đặng Tường Ái Ộng Ưởng Xoè Mùa Giỏi Thuở Êban K'Hà Ơ Khuya "
    "Ngoằn Thúy Hoài Toạ Loan Loè Tuyết Ý Yến Lê An"
)


@pytest.fixture
def normalise(sender: Sender) -> Iterator[Normalise]:
    """Normalises by the function, after making sure that the macro agrees."""
    source = (settings().dbt_project / "macros" / "normalised_name.sql").read_text(encoding="utf-8")
    macro = jinja2.Environment(autoescape=False).from_string(source).module.normalised_name("name")  # type: ignore[attr-defined]
    query = (
        f"select vault.normalise_name(name), {macro} from unnest(%s::text[]) with ordinality as t (name, n) order by n"
    ).replace("%", "%%").replace("%%s", "%s")  # fmt: skip
    with database.connect("builder", autocommit=True) as connection:

        def run(names: list[str]) -> list[str]:
            found = connection.execute(query, (names,)).fetchall()
            assert [row for row in found if row[0] != row[1]] == []
            return [row[0] for row in found]

        yield run


def test_what_is_one_name_has_one_form(normalise: Normalise) -> None:
    for first, second in SAME:
        names = [*variants(first), *variants(second)]
        assert set(normalise(names)) == {normalise([first])[0]}, (first, second)


def test_what_are_two_names_keep_two_forms(normalise: Normalise) -> None:
    for first, second in DIFFERENT:
        left, right = set(normalise(variants(first))), set(normalise(variants(second)))
        assert (len(left), len(right), left & right) == (1, 1, set()), (first, second)


def test_the_mark_stays_where_both_styles_have_it(normalise: Normalise) -> None:
    assert normalise([name for name, _ in KEPT]) == [form for _, form in KEPT]


def test_the_oracle_agrees_which_names_are_one() -> None:
    assert [pair for pair in SAME if normal_name(pair[0]) != normal_name(pair[1])] == []
    assert [pair for pair in DIFFERENT if normal_name(pair[0]) == normal_name(pair[1])] == []
    for pair in (*SAME, *DIFFERENT):
        assert {len({normal_name(name) for name in variants(written)}) for written in pair} == {1}


@case(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    words=st.lists(st.sampled_from(SYLLABLES.split()), min_size=1, max_size=5),
    spaces=st.lists(
        st.sampled_from([" ", "\xa0", "\t", "  ", "\u2003\u200b", "\u200b \ufeff", "\u3000"]), min_size=6, max_size=6
    ),
    form=st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    letters=st.sampled_from([str, str.upper, str.lower, str.title, str.swapcase]),
    joint=st.integers(0, 40),
)
def test_no_way_of_writing_makes_another_name(
    normalise: Normalise, words: list[str], spaces: list[str], form: str, letters: Callable[[str], str], joint: int
) -> None:
    name = " ".join(words)
    written = "".join(space + respell(word) for space, word in zip(spaces, words, strict=False)) + spaces[-1]
    written = unicodedata.normalize(form, letters(unicodedata.normalize("NFC", written)))  # type: ignore[arg-type]
    written = written[:joint] + "\u200d" + written[joint:]
    expected, found = normalise([name, written])
    assert found == expected
    assert normalise([found]) == [found] == [unicodedata.normalize("NFC", found)]
    assert normal_name(written) == normal_name(name)


@case(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
@example("J\u030c H\u0331")
@example("\u200b")
@example("İ Σ ẞ ǅ K")
def test_a_normalised_name_stays_as_it_is(normalise: Normalise, text: str) -> None:
    once = normalise([text])
    assert normalise(once) == once
