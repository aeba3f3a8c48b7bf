"""Words of the building trades, for the ear: a speech model that has just read them hears them.

A sentence or two in the style that is wanted back; a bare list of words makes small models end in ". . .". No numbers:
a prompt must never put one into a transcript.
"""

GLOSSARY = (
    "Contractor's site notes. Install, replace, repair, paint, remove: GFCI outlets, switches, downspouts, linear feet "
    "of gutter, squares of shingles, square feet of drywall, soffit, fascia, flashing, subfloor, joists, deck boards, "
    "baseboard, PEX, HVAC, backsplash, toilets, faucets, vanity, water heater, deck, doors, windows, tile, carpet."
)
