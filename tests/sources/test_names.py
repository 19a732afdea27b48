import unicodedata

import pytest

from musicgen_cls.sources.names import AmbiguousName, Names, composed, folded, match

DECOMPOSED = unicodedata.normalize("NFD", "Café")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Café", "Café"),
        (DECOMPOSED, "Café"),
        ("CAFÉ", "Café"),
        ("hip hop", "Hip-Hop"),
        ("HIP_HOP", "Hip-Hop"),
        ("hip\u2010hop", "Hip-Hop"),
        ("Ｈｉｐ－Ｈｏｐ", "Hip-Hop"),  # full width
        ("Cafe", None),
        ("hip/hop", None),
        ("C", None),
        ("", None),
    ],
)
def test_a_name_is_found(name, meant):
    assert Names(["Café", "Hip-Hop", "C++", "---"]).find(name) == meant


def test_exact_names_win():
    known = Names(["hip hop", "Hip-Hop", "Café", DECOMPOSED])
    assert known.find("Hip-Hop") == "Hip-Hop"
    assert known.find(DECOMPOSED) == DECOMPOSED
    with pytest.raises(AmbiguousName, match="'hiphop' can be 'hip hop' or 'Hip-Hop'"):
        known.find("hiphop")


def test_names_of_signs_only_are_not_one():
    assert folded("!!!") != folded("???")
    assert folded("---") != folded("--")
    assert folded("P!nk") != folded("Pnk")
    assert Names(["!!!"]).find("???") is None


def test_lone_surrogates_are_compared():
    assert Names(["caf\udce9"]).find("caf\udce9") == "caf\udce9"
    assert composed("\ud800") == "\ud800"


def test_matching_lists():
    assert match(["hip hop", DECOMPOSED, "rock"], ["Café", "Hip-Hop"]) == {"hip hop": "Hip-Hop", DECOMPOSED: "Café"}
    assert match(["Café", DECOMPOSED], ["Café"]) == {"Café": "Café", DECOMPOSED: "Café"}
    with pytest.raises(AmbiguousName, match="'Hip-Hop' and 'hip hop' can both be 'Hip-Hop'"):
        match(["Hip-Hop", "hip hop"], ["Hip-Hop"])
