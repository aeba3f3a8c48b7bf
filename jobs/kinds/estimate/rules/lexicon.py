"""The words the grammar turns on. Verbs and little words are listed; nouns are not: any noun can be an item."""

from __future__ import annotations

VOWELS = "aeiou"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Plain verbs of work, base form.
_VERBS = _words(
    """add adjust apply assemble attach balance bleed brace build caulk change clean clear convert cover cut
    dispose demo demolish detach dig disconnect drain drill epoxy excavate extend fabricate fasten fix flash frame
    furnish grade grind grout hang haul inspect install insulate lay level lower lubricate mount move mulch paint
    patch pave plant plaster plumb polish pour prep prime prune pull pump raise rebuild recaulk recess refinish
    reframe reglaze regrade regrout rehang reinforce reinstall relocate remodel remove renew repair repaint
    repipe replace replaster repoint rerun reroof re-roof reseal resecure reset reshingle restore resurface
    retile retrofit reupholster rewire re-wire rewrap run sand screen seal secure seed service set shim skim
    snake sod spray stain strap strip supply provide swap tape test texture tighten tile treat trench trim
    unclog underpin upgrade vacuum vent wash waterproof weatherstrip weld whitewash winterize wire wrap drywall"""
)
# These need their particle: "tear off", "take the wall down".
PARTICLES = _words("out off up down away in back over")
NEEDS_PARTICLE = {
    "tear": _words("out off down up"),
    "take": _words("out off down up away"),
    "rip": _words("out off up down"),
    "put": _words("in up on back"),
    "knock": _words("out down"),
    "close": _words("up in off"),
    "touch": _words("up"),
    "hook": _words("up"),
    "cap": _words("off"),
    "fill": _words("in"),
    "box": _words("in"),
    "board": _words("up"),
    "pressure": _words("wash"),
    "power": _words("wash"),
    "soft": _words("wash"),
}
# With these the particle only colours the verb: "swap out", "cut out".
MAY_TAKE_PARTICLE = _words("swap change cut haul pull strip clean hang close seal patch clear level move")
# These are nouns as often as verbs; as a verb they need an object that reads like one.
NOUN_TOO = _words(
    """paint patch tile frame stain seal trim drywall wire vent cover test service grade screen grout caulk plaster
    mulch seed sod plant flash set change cut run tape texture level pump spray strip treat wash drain clear
    prime skim fix lay demo box board cap power pressure balance"""
)
_IRREGULAR = {
    "build": "built", "rebuild": "rebuilt", "cut": "cut", "dig": "dug", "hang": "hung", "rehang": "rehung",
    "lay": "laid", "put": "put", "rerun": "rerun", "run": "run", "set": "set", "reset": "reset", "rip": "ripped",
    "take": "taken", "tear": "torn", "grind": "ground",
}  # fmt: skip
_DOUBLING = _words(
    "strip plan trim shim prep sod swap wrap rewrap run rerun set reset cut dig put rip demo cap strap skim"
)


def _stem(verb: str) -> str:
    return verb + verb[-1] if verb in _DOUBLING and verb != "demo" else verb


def _gerund(verb: str) -> str:
    if verb.endswith("e") and not verb.endswith("ee"):
        return verb[:-1] + "ing"
    return _stem(verb) + "ing"


def _participle(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return _stem(verb) + "ed"


_ALL = _VERBS | NEEDS_PARTICLE.keys()
BASE = {verb: verb for verb in _ALL} | {"r&r": "remove and replace"}
GERUND = {_gerund(verb): verb for verb in _ALL}
PARTICIPLE = {_participle(verb): verb for verb in _ALL}

ARTICLES = _words("a an")
DETERMINERS = _words("the this that these those my our your his her their its")
VAGUE = _words("all every each some several few many any multiple various other more additional extra")
MORE = _words("more additional extra other new")
APPROXIMATE = _words("about around roughly approximately approx maybe probably nearly almost ~ say like circa")

FILLERS = _words(
    """um uh er ah okay ok so well alright right yeah yes yep now then also please just basically definitely
    first second next finally lastly afterwards additionally go ahead hey hi hello plus - * • > : and we'll i'll
    we're we'd i'd let's lets gonna gotta wanna will would should must can could shall you'll they'll to-do todo"""
)
# "to" opens a request only after one of these; "tried to repair" and "used to install" tell a story.
ASKS_TO = _words(
    """need needs needed want wants wanted have has got going like asked ask ought plan planning us me you them
    required sure remember wish wishes prefer prefers be"""
)
WANTS = _words("need needs want wants require requires requested")
PRONOUNS = _words("it them those these that this one ones")
SUBJECTS = _words("i we he she they you who customer owner homeowner client")
# What these will do is not asked of us; what they want or need is.
OTHERS = _words("they he she customer owner homeowner client tenant neighbor neighbour electrician plumber painter")
PROMISES = _words("will would can could may might shall")
DOUBTS = _words("maybe possibly perhaps might may could probably if optional optionally consider considering whether")
NEGATIONS = _words(
    """don't dont not no never without won't wouldn't shouldn't can't cannot doesn't didn't needn't isn't aren't skip
    except exclude excluding leave keep avoid"""
)
RESETS_NEGATION = _words("but instead just only however")

PREPOSITIONS = _words(
    """in on at around near behind under underneath above below for from to with into onto along across through
    over between against inside outside per beside throughout via within by next towards toward off up down"""
)
RELATIVES = _words("that which who where because since when while if so as than until before after whose although")
FINITE = _words(
    """is are was were has have had be been being am it's that's there there's here's he's she's they're i'm we've
    i've looks look looked seems seem says said told think thinks thought know knows knew lives live does did do
    got gets shows showed noticed saw see seen found feels sounds means loves likes bought came went worked"""
)
MODALS = _words("need needs should must will would can could shall may might ought want wants require requires")
ADVERBS = _words(
    """today tomorrow tonight now later again too also instead only just here there please already still yet
    currently immediately soon asap everywhere anyway together completely entirely maybe probably either both
    okay ok sorry actually thanks thank um uh each apiece"""
)
CONJUNCTIONS = _words("and or but then plus nor & +")
CORRECTING = _words("no sorry actually wait correction rather oops nope instead")

# Words of money and of talking to the machine: never an item, whatever verb stands before them.
META = _words(
    """price prices pricing total totals subtotal cost costs amount amounts tax taxes rate rates discount discounts
    markup margin estimate estimates quote quotes invoice invoices bill proposal instruction instructions prompt
    system rule rules quantity quantities number numbers money dollar dollars percent credit zero payment deposit
    contract line lines item items everything nothing anything something stuff thing things job work note notes"""
)
PLACES = _words(
    """house home room bedroom bathroom bath kitchen garage basement attic hall hallway building apartment story
    floor side address street visit customer owner dog cat kid people car truck"""
)
# Words for a part of the house that name no thing to work on.
ROOMS = PLACES | _words("living dining laundry guest master upstairs downstairs")
# "Both sides" of a door says how it is painted; alone it is no work.
QUALIFIERS = _words("side face end")
# "Upgrade to a 200 amp panel": the thing is what it becomes.
TAKES_TO = _words("upgrade convert")
# What a speech model writes for a number that stands before its thing: "paint to interior doors".
SOUNDS_LIKE = {"to": 2, "too": 2, "for": 4}
FORTY_BY_EAR = ("for", "the")  # before a unit: "for the feet of gutter"
AREA_NOUNS = _words(
    """deck patio floor flooring wall ceiling room bedroom bathroom kitchen roof driveway slab lawn yard area
    carpet tile subfloor closet porch basement garage attic hallway landing walkway sod turf bed backsplash
    drywall siding hardwood laminate vinyl linoleum concrete pad"""
)


# These end like a participle and are things.
ING_NOUNS = _words(
    """ceiling flooring siding railing decking roofing lighting plumbing framing casing molding moulding flashing
    fencing tubing piping wiring coping edging paneling shelving screening landing bed shed footing opening
    housing fitting topping coating lining bushing"""
)


def singular(word: str) -> str:
    """Fold a plural onto its singular, well enough to compare two mentions of one thing."""
    if word.endswith("ies") and len(word) > len("ties"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
