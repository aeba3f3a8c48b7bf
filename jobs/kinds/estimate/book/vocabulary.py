"""How the trades abbreviate and name one thing in several ways. All words are lower case; matching alone uses them."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _pairs(text: str) -> dict[str, str]:
    """Read lines of "meaning: spelling | spelling" into {spelling: meaning}."""
    found: dict[str, str] = {}
    for line in text.strip().splitlines():
        meaning, _, spellings = line.strip().partition(": ")
        found |= {spelling.strip(): meaning for spelling in spellings.split("|")}
    return found


# Spellings of one or two words, and what they mean in the words of a price book.
MEANINGS = _pairs(
    """
    water heater: wh | hwh | hwt | hot water | water heater | hot water heater | water tank
    ice water shield: i&w | iws | ice water
    toilet: commode | wc | water closet | inodoro
    outlet: receptacle | recep | receps | recept | plug | plugs | outlet | enchufe | enchufes
    gfci outlet: gfi | gfci | gfcis | gfis
    drywall: sheetrock | gyp | gypsum | gwb | sheet rock | dry wall | gyp board | gypsum board | wallboard | rock
    replace: r&r | repl | rplc | swap | swap out | change out | changeout | replacement | reemplazar | cambiar
    remove: rem | rmv | removal | demo | demolish | demolition | tear | tear out | tear off | tear down | tearoff
    remove: rip | rip out | rip up | bust | bust out | pull out | pull up
    remove: knock down | knock out | break out | strip off | dispose | quitar
    remove: tear up | haul off | take out | take down | comes down
    install: put in | put up | put | inst | instl | mount | set | furnish | lay | hook up | instalar | poner
    ceiling: clg | clngs | clgs | clngs
    insulation: insul | insulate | batts | insulating
    double hung: dh | dbl hung
    single hung: sh | sgl hung
    variable speed: vs | vari speed
    mold resistant: mold tuff | moldtuff | mold tough | purple board | purpleboard
    board: bd | brd | bds
    green board: greenboard | moisture board
    service: svc | serv
    expansion tank: exp tank | exp tk | expansion tank
    architectural: arch | dimensional | architect
    aluminum: alum | aluminium
    double: dbl
    single: sgl
    exterior: ext | outside
    interior: int | inside
    smoke detector: smokes | smoke alarm | smoke alarms | smokie | smoke detector | smoke detectors
    carbon monoxide detector: co detector | co alarm | carbon monoxide alarm | co det | carbon monoxide detector
    recessed light: can | cans | can light | can lights | pot light | pot lights | recessed | recessed can | downlight
    recessed light: recessed light | recessed lights | wafer | wafer light | wafers | downlights
    panel: pnl | load center | breaker box
    subpanel: sub panel | sub-panel
    breaker: brkr | brk
    circuit: ckt | cir
    thermostat: tstat | t-stat | stat
    condenser: cond | condensing unit | ac condenser | outdoor unit
    air handler: ahu | a/h
    evaporator: evap | a coil
    refrigerant: freon
    exhaust fan: bath fan | exhaust fan | vent fan
    faucet: tap | faucets | grifo
    bathtub: tub | bath tub
    garbage disposal: disposal | disposer | disp | insinkerator | garbage disposal
    vanity sink: lav | lavatory
    angle stop: supply stop | shutoff stop | angle valve | angle stop | angle stops
    hose bib: hosebib | hose bibb | spigot | sillcock | hydrant | hose bib
    pressure reducing valve: prv
    snake: auger | cable out | rooter | rod | rod out
    camera: scope
    sewer: sewer main
    dishwasher: d/w
    deck board: decking board
    sliding: slider | slide | slding
    window: wndw | wdw | win | windows | ventana | ventanas
    door: dr | drs | puerta | puertas
    baseboard: bb | baseboards | base board | base molding | base moulding
    molding: moulding | mldg
    t-molding: t molding | t moldings | t mold | tmold
    saw cut: sawcut | saw-cut | sawcutting
    casing: door trim | window trim
    wainscot: wainscoting
    hardwood: hdwd | hrdwd | wood floor | wood floors
    luxury vinyl plank: lvp | vinyl plank | lvt
    floor: flr | flooring | piso
    self leveling: slc | self leveler | selfleveler | leveler | selfleveling
    underlayment: underlay | felt | ul
    shingle: shgl | shngl | shing
    gutter: gtr | gutr
    downspout: dwnspt | dnspt | leader | downspt
    sidewalk: walkway
    foundation: fdn | fndn
    concrete: conc | crete | cement
    rebar: re-bar | reinforcing
    block: cmu
    concrete board: backer board | backerboard | backer | cbu | durock | hardie backer | hardiebacker | wonderboard
    video doorbell: doorbell cam | doorbell camera | ring doorbell | camera doorbell
    insulated glass unit: igu | igus
    under cabinet light: uc light | undercab light | under cab light | undercabinet light | uc lights
    under cabinet: undercab | under cab | undercabinet
    repoint: tuckpoint | tuck point | tuckpointing | repointing | tuck pointing
    chimney: chim
    asphalt: blacktop | black top
    sealcoat: seal coat | sealcoating | seal coating
    restripe: stripe | striping | restriping | re-stripe
    polish: buff
    carpet: crpt
    furniture: furn
    pressure wash: power wash | powerwash | pw | pressurewash | power washing | pressure washing
    paint: repaint | pnt | painting | painted | repainting | pintar | coat | coats | pinta
    prime: primer
    level4: l4 | lvl 4 | lev 4 | level 4 | level four
    level5: l5 | lvl 5 | lev 5 | level 5 | level five
    texture: txtr | retexture
    repair: fix | mend | reparar | arreglar
    patch: patching
    landscape: lndscp
    irrigation: sprinkler system
    shrub: bush | bushes
    dumpster: roll off | rolloff | roll-off | container
    haul debris: haul everything | haul trash | haul junk | haul all
    debris: trash | junk
    tree: maple | elm | birch | palm | cypress | crape myrtle | myrtle | dogwood | redbud | spruce | juniper | ash
    tree: cottonwood | poplar | willow | magnolia | pecan | sycamore
    flood remove: flood cut | floodcut
    permit: permits
    hour: hr | hrs
    bath: bathroom | ba | bth | bano
    bedroom: br | bdrm | bdrms | recamara
    kitchen: kit | cocina
    living dining room: lr / dr
    living room: lr | lvg
    p-trap: p trap | ptrap
    dining room: dining
    laundry: lndry
    basement: bsmt
    closet: clst
    cabinet: cab | cabs | gabinete | gabinetes
    countertop: ctop | counter top | counter
    backsplash: bksplash
    refrigerator: fridge
    mechanical: mech
    electrical: elec | electric
    generator: genny | gen
    electric vehicle charger: ev charger | car charger | evse
    romex: nm cable
    light fixture: light fixt | fixt
    light: lt | lts | lite
    ceiling fan: ceiling fans | paddle fan | clg fan | ventilador
    dimmer: dim
    switch: sw | swt
    galvanized: galv
    pressure treated: pt
    plywood: ply
    customer supplied: owner supplied | client supplied | homeowner supplied
    stainless: ss | s/s
    pool: pileta
    hip ridge: h & r
    dishwasher hookup: dw hookup | dw hook up
    wall: pared | paredes
    living room: sala
    dining room: comedor
    fence: cerca
    tile: azulejo | azulejos
    light: luz | luces
    labor: labour | man hours
    """
)

# Words that tell nothing of which item is meant.
FLUFF = _words(
    """a an the of and or with to in on at for from by up off out into onto over under per is are it its this
    that these those there all each every both some any more new existing old also please just then so we need
    needs needed want wants should would will can could has have gets get got do does be been as well our my
    your their his her install installed supplied furnish provide add additional extra standard regular basic
    general final down typical inch foot size same away complete including include incl total approx about around
    roughly say
    maybe one two w/ ea each qty put set r&r replac replace owner customer client homeowner only them them it
    we i he she they was were not but if into here there el la los las de en con y un una para por""",
)
# These say where; an item that has them still means them.
PLACES = _words(
    """kitchen bath bathroom bedroom hall hallway living dining room laundry garage basement attic upstairs downstairs
    master guest front back side rear north south east west yard house home closet den office foyer porch
    stairwell corner unit whole entire area throughout behind near lot building crawl space
    crawlspace utility powder half primary first second third left right middle story"""
)
# They may stand behind the thing they describe: "toilets, elongated".
ADJECTIVES = _words(
    """black white brown bronze gray grey tan beige almond red green blue satin matte gloss primed prefinished
    elongated round standard deluxe tall wide deep long high low heavy dead damaged broken rotten rotted old
    bad loose missing stuck match exterior interior matching existing size color style brand grade type per
    too smooth only plus spread planted wifi smart soft noisy semi flat eggshell wht blk choice lower upper"""
)
# Verbs that say of nearly any thing that it is worked on; an item seldom has the same one.
PLAIN_VERBS = _words(
    """add run pull hook drop swap put get do bring build make mount hang set lay place tie wire connect cut drill core
    change bolt fasten attach secure supply provide furnish feed route stub blow blown spray sprayed apply dig
    pour lift raise jack
    reset rehang rebuild program test check adjust move relocate extend treat service swing weld fab fabricate fit"""
)
# The kinds of work that never share a price; what is not listed is new work.
KINDS = {
    "remove": _words("remove haul"),
    "repair": _words("repair patch restore fix unclog leak"),
    "paint": _words("paint stain prime seal sealcoat refinish varnish"),
    "reset": _words("reset reinstall relocate rehang adjust reuse move detach"),
    "clean": _words("clean wash tune test inspect inspection diagnostic"),
}
LABOR_ONLY = re.compile(
    r"\b(?:owner|customer|client|homeowner|ho|cust|they|he|she)(?:'s|s|'re|'ve)?(?: will| is|'ll| are| have| has)?"
    r"(?: already| just)? ?(?:-| )?"
    r"(?:suppl(?:y|ies|ied|ying)|furnish(?:es|ed|ing)?|provid(?:es?|ed|ing)|bought|buys|buying|has (?:the|it|them))\b|"
    r"\((?:the )?(?:owner|customer|client|homeowner)'s\)|"
    r"\bby (?:the )?(?:owner|customer|client|homeowner|tenant|others)\b(?=\W+(?:we|i|us)\b)|"
    r"\b(?:labor|install)(?:ation)? only\b|\bsupplied by (?:the )?(?:owner|customer|client|others|homeowner)\b",
    re.IGNORECASE,
)
