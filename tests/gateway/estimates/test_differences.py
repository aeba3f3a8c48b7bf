"""How two versions of an estimate differ, line by line: pure."""

from typing import Any

from gateway.estimates.line_differences import differences


def _line(description: str, quantity: str = "1", price: str | None = "10.00") -> dict[str, Any]:
    return {"description": description, "category": "", "quantity": quantity, "unit": "each",
            "unit_price": price, "option": ""}  # fmt: skip


def test_the_same_lines_differ_in_nothing() -> None:
    """Not even when they are written with other zeros, or stand in another order."""
    assert differences([_line("a", "2"), _line("b")], [_line("b"), _line("a", "2.000")]) == []


def test_a_changed_line_tells_before_and_after() -> None:
    """Only the fields that changed are named."""
    found = differences([_line("a", "2", None)], [_line("a", "2", "3.5")])
    assert found == [
        {"change": "changed", "description": "a", "before": {"unit_price": None}, "after": {"unit_price": "3.50"}}
    ]


def test_a_renamed_line_is_one_change_where_it_stood() -> None:
    """The same place with another description is a change of that line, not a removal and an addition."""
    found = differences([_line("a"), _line("b")], [_line("a"), _line("c")])
    assert [(change["change"], change["before"], change["after"]) for change in found] == [
        ("changed", {"description": "b"}, {"description": "c"})
    ]


def test_added_and_removed_lines_are_told_whole() -> None:
    """With everything a customer would see of them."""
    added = differences([_line("a")], [_line("a"), _line("b")])
    removed = differences([_line("a"), _line("b")], [_line("b")])
    assert [(change["change"], change["description"]) for change in added + removed] == [
        ("added", "b"),
        ("removed", "a"),
    ]
    assert added[0]["after"]["unit_price"] == "10.00"
    assert removed[0]["before"]["quantity"] == "1.000"


def test_twins_are_told_apart() -> None:
    """Two lines with the same words are two: removing one is a removal."""
    found = differences([_line("a"), _line("a")], [_line("a")])
    assert [change["change"] for change in found] == ["removed"]
