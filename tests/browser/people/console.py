"""The console's own words and places, so that tests read as what a person does."""

from pathlib import Path

from playwright.async_api import Locator, expect

from tests.browser.people.person import Person

RUN_MS = 60_000
# In the order in which they happen.
STEPS = ("gather", "transcribe", "look", "draft", "price", "total", "save")

# Notes each change of a stage as it is drawn, and each drafted line.
_WATCH_STAGES = """
() => {
  globalThis.stagesSeen = [];
  const note = (changes) => {
    changes.forEach(({ target, addedNodes }, index) => {
      if (target.id === "drafted") {
        for (const line of addedNodes) stagesSeen.push(`line ${line.textContent}`);
        return;
      }
      // Changes of one turn are told together: what one led to is what the next one found.
      const next = changes.slice(index + 1).find((change) => change.target === target);
      stagesSeen.push(`${target.dataset.step} ${next ? next.oldValue : target.dataset.status}`);
    });
  };
  const watch = new MutationObserver(note);
  const wanted = { subtree: true, attributeFilter: ["data-status"], attributeOldValue: true };
  watch.observe(document.getElementById("stages"), wanted);
  watch.observe(document.getElementById("drafted"), { childList: true });
}
"""
_PLAYS_FROM = """
(audio, second) => new Promise((done) => {
  const look = () => {
    if (audio.currentTime >= second) done(audio.currentTime);
    else audio.addEventListener("timeupdate", look, { once: true });
  };
  look();
})
"""


class Console:
    """The capture console as one person uses it."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.page = person.page

    async def new_visit(self, title: str, *, customer: str = "", address: str = "") -> None:
        """Start a visit and wait until it is open."""
        await self.page.get_by_role("button", name="New visit").click()
        form = self.page.get_by_role("dialog", name="New visit")
        await form.get_by_label("Title").fill(title)
        await form.get_by_label("Customer").fill(customer)
        await form.get_by_label("Address").fill(address)
        await form.get_by_role("button", name="Save").click()
        await expect(self.page.get_by_role("heading", level=1, name=title)).to_be_visible()

    @property
    def visit_id(self) -> str:
        """The visit the address names."""
        return self.page.url.partition("#visit=")[2]

    async def add_files(self, *files: Path) -> None:
        """Pick files as a person does."""
        await self.page.get_by_label("Add files").set_input_files([*files])

    def card(self, name: str) -> Locator:
        """The card of one file."""
        return self.page.get_by_role("listitem", name=name)

    async def see_stored(self, *names: str) -> None:
        """Wait until each of these files says that it is stored."""
        for name in names:
            await expect(self.card(name).get_by_text("Stored", exact=True)).to_be_visible()

    async def write_notes(self, text: str) -> None:
        """Type notes and wait until they are saved by themselves."""
        await self.page.get_by_role("textbox", name="Notes").fill(text)
        await expect(self.page.locator("#notes-state")).to_have_text("Saved")

    async def label(self, name: str, text: str) -> None:
        """Label one file and wait until that is saved."""
        field = self.card(name).get_by_label("Label")
        await field.fill(text)
        await field.press("Enter")
        await expect(self.card(name).get_by_text("Label saved")).to_be_visible()

    async def ask(self) -> None:
        """Ask for the estimate, taking note of what the page shows of the run."""
        await self.page.evaluate(_WATCH_STAGES)
        await self.page.get_by_role("button", name="Make estimate").click()

    async def stages_seen(self) -> list[str]:
        """What the page showed of the run, in order: `draft running`, `draft completed`, `line ...`."""
        seen: list[str] = await self.page.evaluate("() => stagesSeen")
        return seen

    def stage(self, step: str) -> Locator:
        """One stage of the run."""
        return self.page.locator(f'#stages [data-step="{step}"]')

    @property
    def estimate(self) -> Locator:
        """The estimate's section."""
        return self.page.get_by_role("region", name="Estimate", exact=True)

    async def see_estimate(self) -> None:
        """Wait until the estimate is there."""
        await expect(self.estimate).to_be_visible(timeout=RUN_MS)

    def line(self, description: str) -> Locator:
        """A line of the estimate."""
        return self.estimate.get_by_role("listitem").filter(has_text=description).and_(self.page.locator(".line"))

    @property
    def evidence(self) -> Locator:
        """The dialog that shows why."""
        return self.page.locator("#evidence")

    async def plays_from(self, second: float) -> float:
        """Wait until the evidence's recording has got to `second`; returns where it is."""
        at: float = await self.evidence.locator("audio").evaluate(_PLAYS_FROM, second)
        return at

    async def make_link(self, recipient: str) -> str:
        """Make a link for the customer and read it off the page."""
        await self.page.locator("#share-form").get_by_label("Customer").fill(recipient)
        await self.page.get_by_role("button", name="Create link").click()
        return await self.page.get_by_label("Link for the customer").input_value()
