"""Hold the words for events: for each the phrases that people use, with how often they do.

In a phrase, [verb] is inflected with its sentence; {way} is a direction, {side} a side of the picture, {turn} a sense
of rotation, {other} the patient, {goes} the actor's own verb of motion, {to} and {from} colours. A phrase that begins
with `of other:` has the patient as its subject, and {by} is the actor.
"""

from __future__ import annotations

Weighted = tuple[tuple[float, str], ...]

GOES: dict[str, Weighted] = {
    "drive": ((6, "drive"), (2, "move"), (1.5, "go"), (0.7, "travel")),
    "sail": ((6, "sail"), (2, "move"), (1, "float"), (0.7, "go")),
    "fly": ((6, "fly"), (2, "move"), (1, "float"), (0.7, "glide")),
    "swim": ((6, "swim"), (2, "move"), (0.8, "glide"), (0.7, "go")),
    "walk": ((6, "walk"), (2, "move"), (1, "go"), (0.8, "run")),
    "hop": ((5, "hop"), (2, "move"), (1, "run"), (0.8, "go")),
    "crawl": ((6, "crawl"), (2, "move"), (1, "creep"), (0.5, "go")),
    "roll": ((5, "move"), (2, "slide"), (1, "roll"), (0.8, "glide")),
    "slide": ((5, "move"), (3, "slide"), (1, "glide"), (0.8, "go")),
    "move": ((6, "move"), (2, "go"), (1, "glide")),
}

WAYS: dict[str, Weighted] = {
    "left": (
        (8, "to the left"), (2, "left"), (2.5, "from right to left"), (1, "toward the left"), (0.5, "leftwards"),
        (0.7, "to the left side of the screen"),
    ),
    "right": (
        (8, "to the right"), (2, "right"), (2.5, "from left to right"), (1, "toward the right"), (0.5, "rightwards"),
        (0.7, "to the right side of the screen"),
    ),
    "up": ((7, "up"), (3, "upwards"), (1, "from bottom to top"), (0.7, "to the top")),
    "down": ((7, "down"), (3, "downwards"), (1, "from top to bottom"), (0.7, "to the bottom")),
}  # fmt: skip
TURNS: dict[str, Weighted] = {
    "clockwise": ((7, "clockwise"), (1, "to the right"), (0.7, "in a clockwise direction")),
    "anticlockwise": ((5, "counterclockwise"), (3, "anticlockwise"), (1, "to the left")),
}
LOCATIONS: dict[str, Weighted] = {
    "meadow": ((4, "on the grass"), (3, "in a field"), (1, "in a green meadow")),
    "beach": ((5, "on the beach"), (2, "on a beach"), (1, "by the sea"), (1, "on the sand")),
    "road": ((4, "on the road"), (3, "on a street"), (1, "in the street")),
    "room": ((6, "in a room"), (1, "inside a house"), (1, "by a window")),
    "table top": ((5, "on a table"), (1, "on a wooden table"), (1, "on top of a table")),
    "snow": ((6, "in the snow"), (1, "on the snow"), (1, "in winter")),
    "night": ((5, "at night"), (2, "under the stars"), (1, "in the dark")),
    "sea": ((4, "in the water"), (3, "in the sea"), (1, "on the ocean")),
    "desert": ((6, "in the desert"), (2, "on the sand"), (1, "on a dune")),
    "space": ((6, "in space"), (1, "among the stars"), (1, "in outer space")),
    "wall": ((3, "in front of a wall"), (1, "against a grey wall")),
}

HEARD: dict[str, Weighted] = {  # of each sound
    "engine": ((3, "an engine"), (2, "a running engine"), (1, "a motor")),
    "train": ((3, "a train"), (2, "a chugging train")),
    "jet": ((3, "a jet engine"), (2, "a roaring jet")),
    "rotor": ((3, "rotor blades"), (2, "a spinning rotor")),
    "footsteps": ((4, "footsteps"), (1, "steps")),
    "beeping": ((3, "beeping"), (2, "beeps")),
    "rustling": ((3, "rustling"), (1, "a rustle")),
    "flapping": ((3, "flapping wings"), (2, "flapping")),
    "splashing": ((3, "splashing water"), (2, "splashing")),
    "rolling": ((3, "rolling"), (1, "something rolling")),
    "scraping": ((3, "scraping"), (1, "something scraping")),
    "thumping": ((3, "thumps"), (2, "dull thumps")),
    "springing": ((3, "a spring"), (2, "a bouncy spring")),
    "crash": ((3, "a crash"), (2, "a loud crash")),
    "whoosh": ((3, "a whoosh"), (1, "rushing air")),
    "whirring": ((3, "whirring"), (1, "a whir")),
    "rising": ((3, "a rising tone"), (2, "a rising whistle")),
    "falling": ((3, "a falling tone"), (2, "a falling whistle")),
    "chime": ((3, "a chime"), (2, "chimes")),
    "creaking": ((3, "creaking"), (2, "a creak")),
    "clicking": ((3, "a click"), (2, "clicking")),
    "rattling": ((3, "rattling"), (2, "a rattle")),
    "popping": ((3, "pops"), (2, "popping")),
    "knocking": ((3, "a knock"), (2, "knocking")),
    "pouring": ((3, "pouring water"), (2, "running water")),
    "crunching": ((3, "crunching"), (2, "chewing")),
    "barking": ((3, "a barking dog"), (2, "barking")),
    "mewing": ((3, "a meowing cat"), (2, "meowing")),
    "chirping": ((3, "chirping birds"), (2, "chirping")),
    "quacking": ((3, "a quacking duck"), (2, "quacking")),
    "ticking": ((3, "a ticking clock"), (2, "ticking")),
    "bell": ((3, "a bell"), (2, "a ringing bell")),
    "siren": ((3, "a siren"), (2, "a wailing siren")),
    "thunder": ((3, "thunder"), (1, "rumbling thunder")),
    "rain": ((3, "rain"), (2, "falling rain")),
    "honking": ((3, "a horn"), (2, "a honking horn")),
    "music": ((3, "music"), (1, "a melody")),
}
HEARING: Weighted = (  # what is heard, after what is seen
    (5, "{} with the sound of {}"), (2, "{} while {} can be heard"), (1.5, "{} to the sound of {}"),
    (1.5, "{} and {} can be heard"),
)  # fmt: skip
LISTENING: Weighted = ((4, "{}"), (2, "the sound of {}"), (1.5, "{} can be heard"))  # what is heard alone
AFTER: Weighted = ((3, "{} followed by {}"), (2, "{} and then {}"))  # two sounds one after the other
AT_ONCE: Weighted = ((3, "{} and {}"), (1, "{} together with {}"))

EVENTS: dict[str, Weighted] = {
    "go": ((8, "[{goes}] {way}"), (1, "[{goes}] across the screen {way}"), (0.8, "[make] its way {way}")),
    "roll": ((8, "[roll] {way}"), (1.5, "[roll] along {way}"), (1, "[turn] over and over {way}")),
    "leave": (
        (4, "[leave] the screen on the {side}"), (2, "[{goes}] out of the picture on the {side}"),
        (2, "[disappear] to the {side}"),
        (1, "[exit] on the {side}"),
    ),
    "enter": (
        (4, "[enter] the screen from the {side}"), (2, "[{goes}] into the picture from the {side}"),
        (2, "[come] in from the {side}"),
        (1, "[arrive] from the {side}"),
    ),
    "stop": (
        (5, "[{goes}] {way} and [stop]"), (2, "[{goes}] {way} and then [stand] still"),
        (1, "[come] to a stop after moving {way}"),
    ),
    "start": (
        (4, "[start] moving {way}"), (3, "[stand] still and then [{goes}] {way}"),
        (1, "[wait] and then [set] off {way}"),
    ),
    "return": (
        (4, "[{goes}] {way} and [come] back"), (2, "[{goes}] {way} and back again"), (1, "[{goes}] back and forth"),
    ),
    "come closer": (
        (4, "[come] closer"), (3, "[come] toward the camera"), (1.5, "[approach] the camera"), (1, "[move] toward us"),
    ),
    "go away": (
        (4, "[move] away"), (3, "[go] away from the camera"), (1.5, "[move] into the distance"),
        (1, "[get] farther away"),
    ),
    "grow": ((5, "[get] bigger"), (3, "[grow]"), (1.5, "[become] larger"), (1, "[grow] to twice its size")),
    "shrink": ((5, "[get] smaller"), (3, "[shrink]"), (1.5, "[become] smaller"), (1, "[shrink] to half its size")),
    "spin": ((5, "[spin] {turn}"), (2, "[spin] around"), (2, "[rotate] {turn}"), (2, "[turn] {turn}")),
    "fall over": ((5, "[fall] over"), (2, "[tip] over"), (1, "[topple] over"), (1, "[fall] on its side")),
    "stand up": ((5, "[stand] up"), (2, "[get] up"), (1, "[rise] from its side"), (1, "[tip] back up")),
    "bounce": ((7, "[bounce] {way}"), (1, "[bounce] along {way}"), (1, "[bounce] several times {way}")),
    "jump": ((5, "[jump] up and down"), (2, "[jump] twice"), (1, "[hop] up and down"), (1, "[leap] into the air")),
    "drop": ((5, "[fall] down"), (3, "[drop] to the ground"), (1, "[fall] from above"), (1, "[fall] to the floor")),
    "shoot up": ((5, "[fly] up"), (3, "[rise] into the air"), (1, "[shoot] up"), (1, "[take] off")),
    "split": ((5, "[split] in two"), (2, "[divide] into two"), (1, "[break] into two small ones"), (1, "[become] two")),
    "join": ((5, "[join] into one"), (2, "[merge] into one"), (1, "[come] together as a big one"), (1, "[become] one")),
    "vanish": ((5, "[disappear]"), (3, "[fade] away"), (1, "[vanish]"), (1, "[become] invisible")),
    "appear": ((5, "[appear]"), (2, "[fade] in"), (1, "[appear] out of nowhere"), (1, "[become] visible")),
    "turn colour": ((6, "[turn] {to}"), (2, "[change] from {from} to {to}"), (2, "[become] {to}"),
        (1, "[change] its color to {to}")),
    "open": ((6, "[open]"), (2, "[open] its lid"), (1, "[open] up"), (1, "[lift] its lid")),
    "close": ((6, "[close]"), (2, "[close] its lid"), (1, "[shut]"), (1, "[lower] its lid")),
    "light up": ((5, "[light] up"), (2, "[turn] on"), (2, "[start] glowing"), (1, "[switch] on")),
    "go dark": ((5, "[go] dark"), (2, "[turn] off"), (2, "[stop] glowing"), (1, "[switch] off")),
    "shake": ((5, "[shake]"), (3, "[wobble]"), (2, "[shake] from side to side"), (1, "[wiggle]")),
    "circle": ((4, "[move] in a circle {turn}"), (2, "[{goes}] in a circle"), (2, "[circle] {turn}"),
        (1, "[go] around {turn}")),
    "orbit": ((4, "[{goes}] around {other} {turn}"), (3, "[circle] {other} {turn}"), (2, "[go] around {other}")),
    "pass behind": (
        (4, "[pass] behind {other} {way}"), (3, "[{goes}] behind {other} {way}"), (2, "[pass] behind {other}"),
    ),
    "pass in front": (
        (4, "[pass] in front of {other} {way}"), (3, "[{goes}] past {other} {way}"), (2, "[pass] in front of {other}"),
    ),
    "hide": ((5, "[hide] behind {other}"), (3, "[{goes}] behind {other}"), (1.5, "[disappear] behind {other}")),
    "come out": (
        (5, "[come] out from behind {other}"), (2, "[appear] from behind {other}"),
        (1.5, "[emerge] from behind {other}"),
    ),
    "chase": (
        (5, "[chase] {other} {way}"), (2, "[follow] {other} {way}"), (2, "[chase] {other}"), (1, "[run] after {other}"),
        (1, "of other: {is} chased by {by} {way}"),
    ),
    "push": (
        (6, "[push] {other} {way}"), (2, "[push] {other}"), (1, "[shove] {other} {way}"),
        (1, "of other: {is} pushed {way} by {by}"),
    ),
    "pull": (
        (6, "[pull] {other} {way}"), (2, "[pull] {other}"), (1, "[drag] {other} {way}"),
        (1, "of other: {is} pulled {way} by {by}"),
    ),
    "carry": (
        (5, "[carry] {other} {way}"), (2, "[carry] {other}"), (1, "[transport] {other} {way}"),
        (1.5, "of other: [ride] on {by} {way}"),
    ),
    "hit": (
        (4, "[hit] {other} and [knock] it {way}"), (3, "[bump] into {other}"), (2, "[push] {other} away {way}"),
        (1, "of other: {is} knocked {way} by {by}"),
    ),
    "pick up": (
        (5, "[pick] up {other}"), (3, "[lift] {other}"), (2, "[pick] {other} up"), (1, "[grab] {other} and [lift] it"),
        (1.5, "of other: {is} picked up by {by}"), (1, "of other: {is} lifted by {by}"),
    ),
    "put down": (
        (5, "[put] down {other}"), (2, "[lower] {other}"), (3, "[put] {other} down"),
        (1, "[set] {other} on the ground"),
        (1.5, "of other: {is} put down by {by}"), (1, "of other: {is} lowered by {by}"),
    ),
    "pour": (
        (5, "[pour] water into {other}"), (3, "[fill] {other} with water"),
        (1.5, "of other: {is} filled with water by {by}"),
        (1, "[fill] {other}"),
    ),
    "suck out": (
        (4, "[suck] the water out of {other}"), (3, "[empty] {other}"), (2, "[take] the water out of {other}"),
        (1.5, "of other: {is} emptied by {by}"),
    ),
    "meet": ((5, "[move] toward each other"), (3, "[meet] in the middle"), (1, "[come] together"),
        (1, "[approach] each other")),
    "part": ((5, "[move] away from each other"), (3, "[move] apart"), (1, "[separate]"), (1, "[leave] each other")),
    "swap": ((5, "[swap] places"), (2, "[trade] places"), (2, "[switch] places"), (1, "[change] positions")),
    "jump over": ((4, "[jump] over {other} {way}"), (3, "[jump] over {other}"), (2, "[leap] over {other}"),
        (1, "[hop] over {other}")),
    "eat": ((5, "[eat] {other}"), (2, "[swallow] {other}"), (1, "[eat] up {other}"),
        (1, "of other: {is} eaten by {by}")),
    "spit out": ((5, "[spit] out {other}"), (2, "[spit] {other} out"), (1.5, "of other: [come] out of {by}")),
}  # fmt: skip
PLURAL = frozenset({"join", "meet", "part", "swap"})  # of two things together

PAST = {
    "drive": "drove", "fly": "flew", "swim": "swam", "go": "went", "come": "came", "get": "got", "grow": "grew",
    "shrink": "shrank", "spin": "spun", "fall": "fell", "stand": "stood", "leave": "left", "become": "became",
    "rise": "rose", "shoot": "shot", "take": "took", "split": "split", "break": "broke", "shut": "shut", "run": "ran",
    "put": "put", "set": "set", "hit": "hit", "ride": "rode", "meet": "met", "eat": "ate", "spit": "spat",
    "make": "made", "light": "lit", "creep": "crept", "slide": "slid", "hide": "hid", "leap": "leapt",
}  # fmt: skip
DOUBLED = frozenset({
    "swim", "get", "run", "stop", "drop", "split", "shut", "put", "set", "hit", "swap", "wobbl", "hop", "spin", "tip",
    "grab", "drag", "knit", "spit", "skip", "bat", "step", "trip",
})  # fmt: skip


def inflect(verb: str, form: str) -> str:
    """Inflect a verb: `form` is "base", "s" (drives), "ing" (driving) or "past" (drove)."""
    if form == "base":
        return verb
    if form == "ing":
        if verb in DOUBLED:
            return f"{verb}{verb[-1]}ing"
        return f"{verb[:-1]}ing" if verb.endswith("e") and not verb.endswith(("ee", "ye")) else f"{verb}ing"
    if form == "past":
        if verb in PAST:
            return PAST[verb]
        if verb in DOUBLED:
            return f"{verb}{verb[-1]}ed"
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return f"{verb[:-1]}ied"
        return f"{verb}d" if verb.endswith("e") else f"{verb}ed"
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        return f"{verb}es"
    return f"{verb[:-1]}ies" if verb.endswith("y") and verb[-2] not in "aeiou" else f"{verb}s"


IRREGULAR_PLURALS = {"man": "men", "woman": "women", "fish": "fish", "aircraft": "aircraft", "person": "people"}


def plural(noun: str) -> str:
    """Return the plural of a noun, whose last word carries it."""
    if noun in IRREGULAR_PLURALS:
        return IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "sh", "ch", "x")):
        return f"{noun}es"
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeiou" else f"{noun}s"


def article(words: str) -> str:
    """Return the indefinite article before these words."""
    return "an" if words[0] in "aeiou" else "a"
