"""The pictures of a benchmark's report; that a layout collapses is a warning, and warnings are errors."""

from __future__ import annotations

import pytest

from voxveil.bench.pictures import bars, frontier
from voxveil.bench.rates import Rate

CARD = "/a/folder/deep/down/among/many/others/of/names/that/are/as/long/as/they/like/to/be/card.json"


def rate(protection: str, attack: str, verifier: str) -> Rate:
    return Rate((protection, "none", attack, "none", verifier), 50.0, 40.0, 60.0, 0.5, 0.4, 4, 4.0)


@pytest.mark.parametrize("attacks", [("none",), ("none", f"de-antifake (model {CARD})"), tuple("abcdefghijkl")])
@pytest.mark.parametrize("protections", [("none",), ("none", f"noise-of-equal-pesq (veil (against {CARD}))")])
def test_long_names_leave_room_for_what_is_drawn(protections, attacks):
    rates = [rate(protection, attack, CARD) for protection in protections for attack in attacks]
    for drawn in (bars, frontier):
        assert drawn(rates, CARD).startswith(b"\x89PNG")
