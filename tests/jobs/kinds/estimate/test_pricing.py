"""Lines meet the tenant's price book in real PostgreSQL: a clear match is priced, anything else is not."""

from decimal import Decimal

import pytest

from jobs.kinds.estimate.model import DraftLine, PricedLine
from jobs.kinds.estimate.pricing import kind_of, phrases_of, price
from store.pool import Connection, Database
from tests.tenants import Tenant


async def priced(service: Database, tenant: Tenant, *wanted: tuple[str, str]) -> list[PricedLine]:
    """Price lines of (description, unit), two of each."""
    lines = [DraftLine(description=text, quantity=Decimal(2), unit=unit) for text, unit in wanted]
    async with service.connection() as conn:
        return await price(conn, tenant.id, lines)


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
    assert (line.unit_price, line.amount, line.price_item_id, line.match) == (None, None, None, None)
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
    """The line names its item, the score and the runner-up."""
    await add_items(admin, tenant, ("Concrete slab", "sq ft", "9.60"), ("Concrete sidewalk", "sq ft", "11"))
    (line,) = await priced(service, tenant, ("Pour concrete slab", "sq ft"))
    assert line.match is not None
    assert (line.match.name, line.match.runner_up) == ("Concrete slab", "Concrete sidewalk")
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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Remove and replace toilet", "replace"),
        ("Toilet replacement", "replace"),
        ("Water heater", "replace"),
        ("Demolition of deck", "remove"),
        ("Debris haul-away", "remove"),
        ("Drywall repair patch", "repair"),
        ("Interior door paint both sides", "paint"),
        ("Pressure wash driveway", "clean"),
    ],
)
def test_the_kind_of_work_is_read(text: str, kind: str) -> None:
    """Removing, repairing, painting and cleaning are told from new work."""
    assert kind_of(text) == kind


def test_a_line_is_looked_up_by_its_thing() -> None:
    """Verb, place and room are no part of what is looked up; a verb that is a noun is tried both ways."""
    assert phrases_of("Replace GFCI outlets in the kitchen") == ["GFCI outlets"]
    assert phrases_of("Drywall repair") == ["Drywall repair"]
    assert "paint walls" in phrases_of("Paint living room walls")
    assert phrases_of("Remodel kitchen") == []
