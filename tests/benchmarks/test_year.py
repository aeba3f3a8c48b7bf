"""After a year nothing reads a table from end to end: a small year, asked as the benchmark asks."""

from benchmarks.year import QUESTIONS, open_side, rows_read
from tests.stack import Services

VISITS, COMPANIES = 600, 6
# Of each table there are hundreds of rows to thousands; what belongs to one visit or one page is fewer.
MOST_ROWS = 300


async def test_no_question_reads_a_table_from_end_to_end(services: Services) -> None:
    """Where an index would do, one is there."""
    name = services.admin_url.rpartition("/")[2].removeprefix("scopekit_")
    year = await open_side(services.endpoints, f"year_{name}", VISITS, COMPANIES)
    try:
        read = [(question, *row) for question in QUESTIONS for row in (await rows_read(year, question)).items()]
    finally:
        await year.admin.close()
    assert [each for each in read if each[-1] > MOST_ROWS] == []
