"""Lines meet the tenant's price book in real PostgreSQL: a clear match is priced, anything else is not."""

from decimal import Decimal
from uuid import uuid4

import pytest

from jobs.kinds.estimate.book.book import Book, Item
from jobs.kinds.estimate.model import DraftLine, PricedLine
from jobs.kinds.estimate.steps.pricing import book_of, price_by
from store.pool import Connection, Database
from tests.tenants import Tenant


async def priced(service: Database, tenant: Tenant, *wanted: tuple[str, str]) -> list[PricedLine]:
    """Price lines of (description, unit), two of each."""
    lines = [DraftLine(description=text, quantity=Decimal(2), unit=unit) for text, unit in wanted]
    async with service.connection() as conn:
        return price_by(*await book_of(conn, tenant.id), lines)


async def add_items(admin: Connection, tenant: Tenant, *items: tuple[str, str, str]) -> None:
    """Add (description, unit, price) to the book."""
    await admin.executemany(
        "INSERT INTO price_items (tenant_id, description, unit, unit_price) VALUES ($1, $2, $3, $4::text::numeric)",
        [(tenant.id, *item) for item in items],
    )


@pytest.mark.parametrize(
    ("description", "unit", "price_each"),
    [
        ("Replace GFCI outlets in the kitchen", "each", "145.00"),
        ("Install 3 gfci OUTLETS", "each", "145.00"),
        ("Install gutter on the north side", "lf", "11.25"),
        ("Install gutter", "ft", "11.25"),
        ("Paint living room walls", "sq ft", "2.10"),
        ("Install interior doors", "each", "310.00"),
        ("Replace 50 gallon water heater", "each", "1850.00"),
        ("Replace toilet in the hall bathroom", "each", "395.00"),
        ("Repair drywall", "sq ft", "4.50"),
        ("General labor", "hour", "65.00"),
        ("Install shingles", "square", "420.00"),
    ],
)
async def test_a_clear_match_is_priced(
    service: Database, tenant: Tenant, description: str, unit: str, price_each: str
) -> None:
    """Plurals, places, rooms and unit spellings do not keep a line from its item."""
    (line,) = await priced(service, tenant, (description, unit))
    assert line.unit_price == Decimal(price_each)
    assert line.amount == 2 * Decimal(price_each)
    assert line.match is not None
    assert line.price_item_id is not None


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("Install 40 gallon water heater", "each"),  # another size than the book's
        ("Remove shingles", "square"),  # a removal is not a new roof
        ("Repair toilet", "each"),  # nor a repair a new toilet
        ("Replace toilet seat", "each"),  # nor a part the whole
        ("Install gutter", "each"),  # sold by the foot
        ("Paint interior doors", "each"),
        ("Replace window", "each"),
        ("Remodel bathroom", "each"),
        ("Set the price to zero", "each"),
        ("x", "each"),
    ],
)
async def test_anything_else_is_unpriced_and_says_so(
    service: Database, tenant: Tenant, description: str, unit: str
) -> None:
    """Unpriced rather than wrong: no price, no amount, never 0, and a reason to look at it."""
    (line,) = await priced(service, tenant, (description, unit))
    assert (line.unit_price, line.amount, line.price_item_id) == (None, None, None)
    assert line.needs_review
    assert any("no price" in reason for reason in line.review_reasons)


async def test_a_match_brings_its_trade(service: Database, tenant: Tenant) -> None:
    """The tenant's book says which trade a line belongs to."""
    (line,) = await priced(service, tenant, ("Paint interior walls", "sq ft"))
    assert line.category == "painting"


async def test_two_items_that_fit_alike_price_nothing(service: Database, tenant: Tenant, admin: Connection) -> None:
    """Without a margin to the runner-up the contractor decides, and sees both names."""
    await add_items(admin, tenant, ("Cedar fence", "lf", "46"), ("Chain link fence", "lf", "24"))
    vague, clear = await priced(service, tenant, ("Install fence", "lf"), ("Install cedar fence", "lf"))
    assert vague.unit_price is None
    assert "Cedar fence" in vague.review_reasons[0]
    assert "Chain link fence" in vague.review_reasons[0]
    assert clear.unit_price == Decimal("46.00")


async def test_a_match_is_explained(service: Database, tenant: Tenant, admin: Connection) -> None:
    """The line names its item, its score, and a runner-up where there is one."""
    await add_items(admin, tenant, ("Concrete slab", "sq ft", "9.60"), ("Concrete sidewalk", "sq ft", "11"))
    (line,) = await priced(service, tenant, ("Pour concrete slab", "sq ft"))
    assert line.match is not None
    assert line.match.name == "Concrete slab"
    assert line.match.score > (line.match.runner_up_score or 0)


async def test_a_match_that_says_more_than_the_line_is_to_be_confirmed(service: Database, tenant: Tenant) -> None:
    """The only gutter in the book prices any gutter, and the contractor is told which one it is."""
    (line,) = await priced(service, tenant, ("Install gutter", "lf"))
    assert line.review_reasons == ("priced as “Seamless aluminum gutter”",)


async def test_accents_do_not_matter(service: Database, tenant: Tenant, admin: Connection) -> None:
    """The book may be written in another alphabet's letters than the line."""
    await add_items(admin, tenant, ("Béton ciré", "sq ft", "31.00"))
    (line,) = await priced(service, tenant, ("Install beton cire", "sq ft"))
    assert line.unit_price == Decimal("31.00")


async def test_another_tenants_book_is_never_used(
    service: Database, tenant: Tenant, other_tenant: Tenant, admin: Connection
) -> None:
    """Prices come from the line's own tenant, and retired items from nobody."""
    await add_items(admin, other_tenant, ("Wine cellar", "each", "9000"))
    await add_items(admin, tenant, ("Sauna", "each", "5000"))
    await admin.execute(
        "UPDATE price_items SET active = false WHERE tenant_id = $1 AND description = 'Sauna'", tenant.id
    )
    lines = await priced(service, tenant, ("Install wine cellar", "each"), ("Install sauna", "each"))
    assert [line.unit_price for line in lines] == [None, None]


async def test_nothing_to_price_is_nothing(service: Database, tenant: Tenant) -> None:
    """No lines in, no lines out."""
    assert await priced(service, tenant) == []


BOOK = [
    ("GFCI outlet", "each", "Electrical"),
    ("GFCI outlet 1 in", "each", "Electrical"),
    ("Receptacle, replace", "each", "Electrical"),
    ("3-way switch", "each", "Electrical"),
    ("Single pole switch", "each", "Electrical"),
    ("Pool opening", "each", "Pool"),
    ("Gas furnace 80,000 BTU", "each", "HVAC"),
    ("Move furniture", "room", "Flooring"),
    ("New skylight, fixed 2x4", "each", "Roofing"),
    ("Shower valve", "each", "Plumbing"),
    ("20 yard dumpster", "each", "General"),
    ("50 gallon gas water heater", "each", "Plumbing"),
    ("40 gallon gas water heater", "each", "Plumbing"),
    ("Toilet, supplied and installed", "each", "Plumbing"),
    ("Install owner supplied toilet, labor only", "each", "Plumbing"),
    ("Paint shutter", "each", "Painting"),
]


def matched(description: str, unit: str = "each", *, more: int = 0) -> tuple[str | None, bool]:
    """Price one line by the small book; returns the item's name and whether the line is flagged."""
    made = [(f"Special {i} bracket {i + 7}", "each", "Other") for i in range(more)]
    items = [Item(uuid4(), *row) for row in (*BOOK, *made)]
    prices = {item.id: Decimal(100) for item in items}
    line = DraftLine(description=description, quantity=Decimal(2), unit=unit)
    (priced,) = price_by(Book(items), prices, [line])
    return (priced.match.name if priced.price_item_id and priced.match else None), priced.needs_review


@pytest.mark.parametrize("more", [0, 500])
@pytest.mark.parametrize(
    ("description", "unit", "item"),
    [
        ("Replace GFCI outlets", "each", "GFCI outlet"),
        ("R&R 50 gal gas WH", "each", "50 gallon gas water heater"),
        ("Dumpster 20 yd", "each", "20 yard dumpster"),
        ("Move furn", "room", "Move furniture"),
        ("New toilets - owner supplies toilets", "each", "Install owner supplied toilet, labor only"),
        ("New toilets", "each", "Toilet, supplied and installed"),
        ("Paint shutters", "each", "Paint shutter"),
    ],
)
def test_an_exact_name_wins_in_a_small_book_and_a_large(description: str, unit: str, item: str, more: int) -> None:
    """Abbreviations, sizes and who supplies are read; a fuller book prices no less."""
    assert matched(description, unit, more=more) == (item, False)


@pytest.mark.parametrize(
    ("description", "unit"),
    [
        ("10 openings", "each"),
        ("Move furn", "each"),
        ("Set a new one", "each"),
        ("Replace shutoff valves", "each"),
        ("Switch", "each"),
        ("24 port switch", "each"),
        ("Water heater", "each"),
        ("75 gallon gas water heater", "each"),
        ("Shutters", "each"),
        ("Repair toilet", "each"),
        ("Paint wall", "m2"),
    ],
)
def test_one_word_in_common_prices_nothing(description: str, unit: str) -> None:
    """Head noun, size, kind of work and unit must agree; a wrong price is worse than none."""
    assert matched(description, unit) == (None, True)


def test_two_identical_items_are_no_tie() -> None:
    """An item that was imported twice still prices its line."""
    twice = [Item(uuid4(), "Ridge vent", "lf"), Item(uuid4(), "Ridge vent", "lf")]
    line = DraftLine(description="Ridge vent", quantity=Decimal(46), unit="lf")
    (priced,) = price_by(Book(twice), {item.id: Decimal("9.50") for item in twice}, [line])
    assert priced.amount == Decimal("437.00")


def test_items_that_fit_alike_are_offered() -> None:
    """Where two fit, the line has no price and both to pick from."""
    items = [Item(uuid4(), "Black mulch, spread", "cu yd"), Item(uuid4(), "Brown mulch, spread", "cu yd")]
    line = DraftLine(description="Spread mulch", quantity=Decimal(8), unit="cu yd")
    (priced,) = price_by(Book(items), {item.id: Decimal(90) for item in items}, [line])
    assert priced.unit_price is None
    assert priced.match is not None
    assert {choice.name for choice in priced.match.choices} == {"Black mulch, spread", "Brown mulch, spread"}


def test_a_price_that_was_said_stands() -> None:
    """The contractor's word on site comes before the book, and the line says that it was said."""
    line = DraftLine(description="Labor", quantity=Decimal(16), unit="hour", price_said=Decimal(85))
    (priced,) = price_by(Book([Item(uuid4(), "Labor", "hour")]), {}, [line])
    assert (priced.unit_price, priced.amount, priced.match and priced.match.name) == (
        Decimal(85),
        Decimal(1360),
        "said",
    )
