"""Names in other languages."""

import pytest

from mhsa.records.languages.other_languages import in_english
from mhsa.records.names import HEAD, is_called


@pytest.mark.parametrize(
    ("name", "english"),
    [("n_tetes", "n_heads"), ("anzahlKoepfe", "num_heads"), ("num_cabezas", "num_heads"), ("nombre_de_tetes", "num_heads"),
     ("masque", "mask"), ("d_modele", "d_model"), ("numHeads", "numHeads"), ("W_q", "W_q")],
)  # fmt: skip
def test_words_are_turned_into_english_ones(name: str, english: str) -> None:
    assert in_english(name) == english


def test_a_name_in_another_language_is_a_known_one() -> None:
    assert is_called("n_tetes", HEAD)
    assert not is_called("testament", HEAD)
