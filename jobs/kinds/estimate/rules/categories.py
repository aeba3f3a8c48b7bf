"""Which trade a thing belongs to, by the words contractors use. Unknown things are "general", never refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from jobs.kinds.estimate.book.stems import singular

if TYPE_CHECKING:
    from collections.abc import Iterable

GENERAL = "general"

_TRADES: dict[str, str] = {
    "electrical": """outlet receptacle gfci gfi afci switch dimmer breaker panel subpanel wiring circuit light
        lighting fixture sconce chandelier fan can recessed junction conduit romex smoke detector alarm doorbell
        thermostat charger meter transformer led bulb lamp""",
    "plumbing": """faucet sink toilet shower tub bathtub valve pipe piping heater plumbing drain trap disposal
        hose bib spigot pex pvc copper sewer sump septic bidet vanity showerhead supply shutoff gasket flange
        boiler softener""",
    "roofing": """roof roofing shingle flashing ridge underlayment decking felt soffit fascia skylight chimney
        vent boot drip""",
    "gutters": "gutter downspout leader splash",
    "painting": "paint painting primer stain coat trimwork varnish lacquer wallpaper",
    "drywall": "drywall sheetrock plaster mud joint texture gypsum",
    "carpentry": """trim baseboard molding moulding casing crown stud joist beam header framing subfloor stair
        railing handrail baluster banister shelf shelving cabinet countertop deck board post pergola fence gate
        picket lumber plywood osb mantel wainscoting threshold sill""",
    "windows and doors": "window door sash screen storm slider glass pane hinge knob deadbolt lock doorknob",
    "flooring": "floor flooring tile hardwood laminate vinyl carpet linoleum grout padding lvp backsplash",
    "siding": "siding stucco clapboard cladding hardie brick stone veneer mortar masonry",
    "hvac": "hvac furnace ac condenser compressor duct ductwork register grille filter damper coil minisplit",
    "concrete": "concrete slab footing driveway sidewalk patio foundation rebar paver curb asphalt cement",
    "insulation": "insulation insulate batt foam vapor barrier weatherstripping weatherstrip",
    "landscaping": "tree shrub sod mulch lawn sprinkler irrigation hedge stump gravel topsoil plant bush",
    "demolition": "dumpster debris demolition haul",
    "labor": "labor labour",
}
_BY_WORD = {word: trade for trade, words in _TRADES.items() for word in words.split()}


def category_of(words: Iterable[str]) -> str:
    """Return the trade of a thing; the last word that has one decides, because it names the thing."""
    for word in reversed([singular(word) for word in words]):
        if word in _BY_WORD:
            return _BY_WORD[word]
    return GENERAL


def trade_words(text: str) -> frozenset[str]:
    """Return the words of a text that name a thing of some trade, each in the singular."""
    return frozenset(word for word in map(singular, re.findall(r"[a-z]+", text.lower())) if word in _BY_WORD)
