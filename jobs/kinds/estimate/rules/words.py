"""The few words that reading turns on: work, little words, places. Things are the price book's to name."""

from __future__ import annotations

from jobs.kinds.estimate.book.stems import stem
from jobs.kinds.estimate.book.vocabulary import MEANINGS, PLACES


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERBS = _words(
    """add adjust aerate apply assemble attach backfill balance bleed blow bore brace build bust caulk change
    chip clean clear compact convert core cover cut deliver demo demolish detach deodorize dig disconnect
    disinfect dispose drain drill dust epoxy excavate extend extract fabricate fasten fertilize fix flash
    float form frame furnish grade grind grout hang haul hydroseed inspect install insulate jack jet knock lay
    level lower lubricate mask mop mount move mow mulch overseed paint patch pave pick plant plaster plumb
    polish pour prep pressure power prime protect prune pull pump put raise rake rebuild recaulk refinish
    reflash reframe reglaze regrade regrout rehang reinforce reinstall relocate remodel remove renew repair
    repaint repipe replace replaster repoint reroof reseal reset reshingle resod restore restripe resurface
    retile retrofit rewire rip run sand sanitize scrape screed screen scrub seal sealcoat secure seed service
    set shampoo shim shore sister skim snake sod spray spread stain steam strap strip supply swap sweep tape
    take tear test texture tighten tile treat trench trim tuck tuckpoint unclog underpin upgrade vacuum vent wash
    waterproof wax weatherstrip weld winterize wire wrap provide hook install stub cap r&r repl rem demo bring
    get edge touch replaster reemplazar instalar pintar quitar reparar cambiar poner limpiar descale flush
    recharge"""
)
# These are nouns as often; alone at the end of a clause they name a thing.
NOUN_TOO = _words(
    """paint patch tile frame stain seal trim vent cover test service grade screen grout caulk plaster mulch seed sod
    plant
    flash set change cut run tape texture level pump spray strip treat wash drain clear prime skim fix demo cap power
    pressure balance edge form float core jack jet dust wax sand wire pick steam bring get supply plumb cover"""
)
_STEMS = {stem(verb): verb for verb in _VERBS}
ING_NOUNS = _words(
    """ceiling flooring siding railing decking roofing lighting plumbing framing casing molding moulding flashing
    fencing tubing piping wiring coping edging paneling shelving landing footing opening housing fitting
    topping coating lining bushing ding king spring string awning building crossing heading reading bearing
    landscaping"""
)
FILLERS = _words(
    """um uh er ah okay ok so well alright right yeah yes yep now then also please just basically definitely
    finally lastly and plus next hey hi hello gonna gotta wanna let's lets we'll i'll we're we'd i'd can could
    will would should must shall you let we i to need needs want wants going go ahead have got like us me
    first second third todo do ' really actually there's there here here's it's that's that this is are was be
    for of as after before while still"""
)
APPROXIMATE = _words("about around roughly approximately approx probably nearly almost ~ circa ca maybe est estimated")
PREPOSITIONS = _words(
    """in on at around near behind under underneath above below from to with into onto along across through over
    between against inside outside beside throughout within next towards toward off up down @ w/ per by for en
    por para"""
)
PRONOUNS = _words("it them those these that this one ones they")
LITTLE = (
    FILLERS
    | PREPOSITIONS
    | PRONOUNS
    | APPROXIMATE
    | _words(
        """a an the of and or but not no all each every both some any more new old existing other another same own my
    our your his her their its what which who how when where if out away back together too very each ea qty
    quantity total x only i he she we you get gets got
    call figure say guess oh counted measured measures comes looks i'd i'm el la los las de un una y con"""
    )
)
ROOMS = PLACES | _words(
    """driveway entry stairs stair main bedrooms bathrooms baths bed br ba rm rms kit bsmt lr dr mbr mstr
    hallways closets floors laundry sunroom loft mudroom pantry foyer lobby restroom restrooms offices
    corridor breakroom shop pool room exterior interior outside inside gar upstairs downstairs gable eave
    eaves deck cocina bano"""
)
SIDES = _words("north south east west front rear left right back side lower upper inside outside")


def is_verb(word: str) -> bool:
    """Whether a word asks for work: "replace", "replacing"; a noun such as "siding" does not."""
    if word in ING_NOUNS:
        return False
    if word in _VERBS or (word.startswith("re") and word[2:].lstrip("-") in _VERBS - NOUN_TOO):
        return True
    return word.endswith("ing") and stem(word) in _STEMS


def is_participle(word: str) -> bool:
    """Whether a word names work done to a thing: "replaced", "stained", "torn"."""
    return (word.endswith("ed") and stem(word) in _STEMS) or word in {
        "torn",
        "hung",
        "rebuilt",
        "cut",
        "set",
        "reset",
        "redone",
    }


def is_content(word: str) -> bool:
    """Whether a word may name a thing."""
    return word.isalnum() is not None and any(char.isalpha() for char in word) and word not in LITTLE


def means_removal(word: str) -> bool:
    """Whether a verb takes something away."""
    return MEANINGS.get(word, word) == "remove"
