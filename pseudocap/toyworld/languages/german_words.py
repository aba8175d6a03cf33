"""Hold the German words: nouns with their gender, and for each event the phrases that people use.

In a phrase, [verb] is followed by its middle field; [hoch+heben] is separable, [sich drehen] reflexive, and in
[größer werden] or [geschoben werden] what comes before the verb is at the end of a main clause. {akk} and {dat} are the
patient in these cases, {by} the actor in the dative; {to} a colour, {Before} and {After} colours as nouns; the rest is
as in `lexicon`. A preposition with an accusative is a direction, with a dative where something is.
"""

from __future__ import annotations

from pseudocap.toyworld.languages.scene import Noun, Vocabulary, read_nouns
from pseudocap.toyworld.lexicon import Weighted

NOUNS = {  # noun, gender, plural; * has the plural's form in all other cases
    "car": "Auto n Autos|Wagen m Wagen", "truck": "Lastwagen m Lastwagen|LKW m LKWs",
    "bus": "Bus m Busse|Reisebus m Reisebusse", "train": "Zug m Züge|Lokomotive f Lokomotiven",
    "tractor": "Traktor m Traktoren", "boat": "Boot n Boote|Segelboot n Segelboote|Schiff n Schiffe",
    "plane": "Flugzeug n Flugzeuge|Flieger m Flieger",
    "helicopter": "Hubschrauber m Hubschrauber|Helikopter m Helikopter",
    "rocket": "Rakete f Raketen|Raumschiff n Raumschiffe", "fish": "Fisch m Fische",
    "bird": "Vogel m Vögel", "duck": "Ente f Enten",
    "cat": "Katze f Katzen|Kätzchen n Kätzchen", "dog": "Hund m Hunde|Welpe* m Welpen",
    "rabbit": "Hase* m Hasen|Kaninchen n Kaninchen", "elephant": "Elefant* m Elefanten",
    "snail": "Schnecke f Schnecken", "turtle": "Schildkröte f Schildkröten",
    "butterfly": "Schmetterling m Schmetterlinge", "spider": "Spinne f Spinnen", "penguin": "Pinguin m Pinguine",
    "man": "Mann m Männer|Kerl m Kerle|Person f Personen", "woman": "Frau f Frauen|Dame f Damen|Person f Personen",
    "robot": "Roboter m Roboter", "ghost": "Geist m Geister|Gespenst n Gespenster", "hand": "Hand f Hände",
    "crane": "Greifer m Greifer|Greifarm m Greifarme", "ball": "Ball m Bälle", "cube": "Würfel m Würfel|Klotz m Klötze",
    "star": "Stern m Sterne", "heart": "Herz n Herzen", "balloon": "Luftballon m Luftballons|Ballon m Ballons",
    "kite": "Drachen m Drachen", "drum": "Trommel f Trommeln", "snowman": "Schneemann m Schneemänner",
    "box": "Kiste f Kisten|Schachtel f Schachteln", "gift": "Geschenk n Geschenke|Päckchen n Päckchen",
    "chest": "Truhe f Truhen|Schatztruhe f Schatztruhen", "cup": "Tasse f Tassen|Becher m Becher",
    "bottle": "Flasche f Flaschen", "jug": "Krug m Krüge|Kanne f Kannen",
    "kettle": "Kessel m Kessel|Teekanne f Teekannen",
    "glass": "Glas n Gläser|Trinkglas n Trinkgläser", "jar": "Einmachglas n Einmachgläser",
    "lamp": "Lampe f Lampen|Leuchte f Leuchten", "chair": "Stuhl m Stühle",
    "table": "Tisch m Tische|Schreibtisch m Schreibtische", "clock": "Uhr f Uhren|Wecker m Wecker",
    "umbrella": "Regenschirm m Regenschirme|Schirm m Schirme",
    "key": "Schlüssel m Schlüssel", "hammer": "Hammer m Hämmer", "hat": "Hut m Hüte|Zylinder m Zylinder",
    "tree": "Baum m Bäume", "flower": "Blume f Blumen|Blüte f Blüten", "cactus": "Kaktus m Kakteen",
    "mushroom": "Pilz m Pilze|Fliegenpilz m Fliegenpilze", "apple": "Apfel m Äpfel", "pear": "Birne f Birnen",
    "carrot": "Karotte f Karotten|Möhre f Möhren", "cake": "Kuchen m Kuchen|Torte f Torten",
    "ice cream": "Eis n Eis|Eistüte f Eistüten", "house": "Haus n Häuser",
    "castle": "Schloss n Schlösser|Burg f Burgen", "sun": "Sonne f Sonnen", "moon": "Mond m Monde",
    "cloud": "Wolke f Wolken",
}  # fmt: skip
GROUPS = {
    "vehicle": "Fahrzeug n Fahrzeuge", "animal": "Tier n Tiere", "person": "Person f Personen",
    "machine": "Maschine f Maschinen", "figure": "Figur f Figuren", "hand": "Hand f Hände",
    "toy": "Spielzeug n Spielzeuge", "shape": "Form f Formen", "container": "Behälter m Behälter",
    "vessel": "Gefäß n Gefäße", "piece of furniture": "Möbelstück n Möbelstücke", "tool": "Werkzeug n Werkzeuge",
    "piece of clothing": "Kleidungsstück n Kleidungsstücke", "plant": "Pflanze f Pflanzen", "fruit": "Frucht f Früchte",
    "vegetable": "Gemüse n Gemüse", "dessert": "Nachtisch m Nachtische", "building": "Gebäude n Gebäude",
    "thing": "Ding n Dinge",
}  # fmt: skip
DATIVES = {"Herz": "Herzen"}  # as weak nouns, but in the dative alone
COLOURS = {  # before a noun, and after a verb where that differs
    "red": "rot", "orange": "orangefarben/orange", "yellow": "gelb", "green": "grün",
    "turquoise": "türkisfarben/türkis", "blue": "blau", "purple": "lila", "pink": "rosa", "brown": "braun",
    "white": "weiß", "grey": "grau", "black": "schwarz",
}  # fmt: skip
OTHER_COLOURS = {"violett": "purple", "pink": "pink", "orange": "orange", "türkis": "turquoise", "orangen": "orange"}
INVARIABLE = ("lila", "rosa")
MATERIALS = {
    "striped": "gestreift", "dotted": "gepunktet", "checked": "kariert", "shiny": "glänzend", "wooden": "hölzern",
}  # fmt: skip

GOES: dict[str, Weighted] = {
    "drive": ((6, "fahren"), (3, "sich bewegen"), (1, "rollen")),
    "sail": ((4, "segeln"), (3, "fahren"), (2, "sich bewegen")),
    "fly": ((6, "fliegen"), (2, "sich bewegen"), (1, "schweben")),
    "swim": ((6, "schwimmen"), (2, "sich bewegen"), (0.7, "gleiten")),
    "walk": ((5, "gehen"), (4, "laufen"), (2, "sich bewegen"), (0.8, "rennen")),
    "hop": ((4, "hoppeln"), (2, "laufen"), (2, "sich bewegen")),
    "crawl": ((6, "kriechen"), (3, "sich bewegen")),
    "roll": ((5, "sich bewegen"), (2, "gleiten"), (1, "rollen")),
    "slide": ((5, "sich bewegen"), (3, "gleiten"), (1, "rutschen")),
    "move": ((6, "sich bewegen"), (1, "gleiten")),
}
WAYS: dict[str, Weighted] = {
    "left": ((8, "nach links"), (2.5, "von rechts nach links"), (0.5, "auf die linke Seite")),
    "right": ((8, "nach rechts"), (2.5, "von links nach rechts"), (0.5, "auf die rechte Seite")),
    "up": ((7, "nach oben"), (1, "aufwärts"), (1, "von unten nach oben")),
    "down": ((7, "nach unten"), (1, "abwärts"), (1, "von oben nach unten")),
}
TURNS: dict[str, Weighted] = {
    "clockwise": ((7, "im Uhrzeigersinn"), (1, "rechtsherum")),
    "anticlockwise": ((7, "gegen den Uhrzeigersinn"), (1, "linksherum"), (0.5, "entgegen dem Uhrzeigersinn")),
}
LOCATIONS: dict[str, Weighted] = {
    "meadow": ((4, "auf einer Wiese"), (3, "auf der Wiese"), (1, "im Gras")),
    "beach": ((7, "am Strand"), (1, "am Meer"), (1, "im Sand")),
    "road": ((5, "auf der Straße"), (3, "auf einer Straße")),
    "room": ((6, "in einem Zimmer"), (2, "in einem Raum"), (1, "in einem Haus")),
    "table top": ((5, "auf einem Tisch"), (1, "auf einem Holztisch")),
    "snow": ((6, "im Schnee"), (1, "auf dem Schnee")),
    "night": ((5, "in der Nacht"), (2, "bei Nacht"), (1, "unter den Sternen")),
    "sea": ((4, "im Wasser"), (3, "im Meer")),
    "desert": ((6, "in der Wüste"), (1, "auf dem Sand")),
    "space": ((6, "im Weltraum"), (1, "zwischen den Sternen")),
    "wall": ((3, "vor einer Wand"), (1, "vor einer grauen Wand")),
}

EVENTS: dict[str, Weighted] = {
    "go": ((8, "[{goes}] {way}"), (1, "[{goes}] {way} über den Bildschirm")),
    "roll": ((8, "[rollen] {way}"), (1.5, "[kullern] {way}")),
    "leave": (
        (4, "[verlassen] das Bild nach {side}"), (3, "[{goes}] nach {side} aus dem Bild"),
        (2, "[verschwinden] nach {side}"),
    ),
    "enter": (
        (4, "[{goes}] von {side} ins Bild"), (3, "[kommen] von {side} ins Bild"), (2, "[herein+kommen] von {side}"),
        (1, "[auf+tauchen] von {side}"),
    ),
    "stop": ((5, "[{goes}] {way} und [an+halten]"), (2, "[{goes}] {way} und [stehen bleiben]")),
    "start": ((4, "[sich in Bewegung setzen] {way}"), (3, "[stehen] still und [{goes}] dann {way}")),
    "return": ((4, "[{goes}] {way} und [zurück+kommen]"), (2, "[{goes}] {way} und wieder zurück")),
    "come closer": (
        (4, "[näher kommen]"), (3, "[zu+kommen] auf die Kamera"), (1.5, "[sich nähern] der Kamera"),
        (1, "[zu+kommen] auf uns"),
    ),
    "go away": (
        (4, "[sich entfernen]"), (3, "[sich entfernen] von der Kamera"), (1, "[verschwinden] in der Ferne"),
    ),
    "grow": ((5, "[größer werden]"), (3, "[wachsen]"), (1, "[sich vergrößern]")),
    "shrink": ((5, "[kleiner werden]"), (3, "[schrumpfen]"), (1, "[sich verkleinern]")),
    "spin": ((6, "[sich drehen] {turn}"), (2, "[sich drehen] um sich selbst"), (2, "[rotieren] {turn}")),
    "fall over": ((5, "[um+fallen]"), (3, "[um+kippen]"), (1, "[fallen] auf die Seite")),
    "stand up": ((4, "[auf+stehen]"), (3, "[sich auf+richten]"), (1, "[auf+stehen] wieder")),
    "bounce": ((7, "[hüpfen] {way}"), (1, "[hüpfen] mehrmals {way}"), (1, "[springen] {way}")),
    "jump": ((5, "[springen] auf und ab"), (2, "[springen] zweimal"), (1, "[hüpfen] auf und ab"),
        (1, "[springen] in die Luft")),
    "drop": ((5, "[herunter+fallen]"), (3, "[fallen] auf den Boden"), (1, "[fallen] von oben"),
        (1, "[zu Boden fallen]")),
    "shoot up": ((4, "[auf+steigen]"), (3, "[fliegen] nach oben"), (2, "[steigen] in die Luft"), (1, "[ab+heben]")),
    "split": ((5, "[sich teilen]"), (3, "[sich teilen] in zwei Teile"), (2, "[zerbrechen] in zwei Teile")),
    "join": ((5, "[sich vereinigen]"), (2, "[verschmelzen]"), (1, "[sich verbinden]")),
    "vanish": ((5, "[verschwinden]"), (3, "[sich auf+lösen]"), (1, "[verblassen]"), (1, "[unsichtbar werden]")),
    "appear": ((4, "[erscheinen]"), (3, "[auf+tauchen]"), (2, "[sichtbar werden]"),
        (1, "[auf+tauchen] aus dem Nichts")),
    "turn colour": (
        (5, "[{to} werden]"), (3, "[sich {to} färben]"), (2, "[wechseln] die Farbe von {Before} zu {After}"),
    ),
    "open": ((6, "[sich öffnen]"), (2, "[auf+gehen]"), (1, "[öffnen] den Deckel"), (1, "[heben] den Deckel")),
    "close": ((6, "[sich schließen]"), (2, "[zu+gehen]"), (1, "[schließen] den Deckel"), (1, "[senken] den Deckel")),
    "light up": ((5, "[auf+leuchten]"), (2, "[an+gehen]"), (2, "[zu leuchten beginnen]")),
    "go dark": ((4, "[aus+gehen]"), (3, "[dunkel werden]"), (1, "[erlöschen]")),
    "shake": ((5, "[wackeln]"), (3, "[zittern]"), (2, "[wackeln] hin und her"), (1, "[schwanken]")),
    "circle": ((4, "[sich bewegen] {turn} im Kreis"), (2, "[{goes}] im Kreis"), (2, "[kreisen] {turn}")),
    "orbit": (
        (4, "[kreisen] {turn} um {akk}"), (3, "[{goes}] {turn} um {akk} herum"), (2, "[{goes}] um {akk} herum"),
    ),
    "pass behind": (
        (4, "[vorbei+{goes}] {way} hinter {dat}"), (3, "[vorbei+{goes}] hinter {dat}"),
    ),
    "pass in front": (
        (4, "[vorbei+{goes}] {way} vor {dat}"), (3, "[vorbei+{goes}] vor {dat}"), (2, "[vorbei+{goes}] an {dat}"),
    ),
    "hide": ((5, "[sich verstecken] hinter {dat}"), (3, "[{goes}] hinter {akk}"), (2, "[verschwinden] hinter {dat}")),
    "come out": ((5, "[hervor+kommen] hinter {dat}"), (2, "[auf+tauchen] hinter {dat}")),
    "chase": (
        (5, "[verfolgen] {akk} {way}"), (2, "[jagen] {akk} {way}"), (2, "[folgen] {dat} {way}"),
        (2, "[verfolgen] {akk}"), (1, "of other: [verfolgt werden] von {by} {way}"),
    ),
    "push": (
        (6, "[schieben] {akk} {way}"), (2, "[schieben] {akk} vor sich her"), (1, "[schubsen] {akk} {way}"),
        (1, "of other: [geschoben werden] von {by} {way}"),
    ),
    "pull": (
        (6, "[ziehen] {akk} {way}"), (2, "[ziehen] {akk} hinter sich her"), (1, "[schleppen] {akk} {way}"),
        (1, "of other: [gezogen werden] von {by} {way}"),
    ),
    "carry": (
        (5, "[tragen] {akk} {way}"), (2, "[transportieren] {akk} {way}"), (2, "[tragen] {akk}"),
        (1.5, "of other: [getragen werden] von {by} {way}"),
    ),
    "hit": (
        (4, "[stoßen] gegen {akk}"), (3, "[an+stoßen] {akk}"), (2, "[weg+stoßen] {akk} {way}"),
        (1, "of other: [weggestoßen werden] von {by} {way}"),
    ),
    "pick up": (
        (5, "[hoch+heben] {akk}"), (3, "[auf+heben] {akk}"), (2, "[greifen] {akk}"),
        (2, "of other: [hochgehoben werden] von {by}"), (1, "of other: [aufgehoben werden] von {by}"),
    ),
    "put down": (
        (5, "[ab+setzen] {akk}"), (3, "[ab+stellen] {akk}"), (2, "[stellen] {akk} auf den Boden"),
        (1.5, "of other: [abgesetzt werden] von {by}"), (1, "of other: [abgestellt werden] von {by}"),
    ),
    "pour": (
        (5, "[gießen] Wasser in {akk}"), (3, "[füllen] {akk} mit Wasser"), (2, "[schütten] Wasser in {akk}"),
        (1.5, "of other: [mit Wasser gefüllt werden] von {by}"),
    ),
    "suck out": (
        (4, "[saugen] das Wasser aus {dat}"), (3, "[leeren] {akk}"), (2, "[holen] das Wasser aus {dat}"),
        (1.5, "of other: [geleert werden] von {by}"),
    ),
    "meet": ((4, "[sich zu+bewegen] aufeinander"), (3, "[sich treffen] in der Mitte"), (1, "[sich nähern] einander")),
    "part": ((5, "[sich entfernen] voneinander"), (3, "[sich trennen]"), (1, "[sich weg+bewegen] voneinander")),
    "swap": ((5, "[tauschen] die Plätze"), (2, "[wechseln] die Plätze")),
    "jump over": ((4, "[springen] {way} über {akk}"), (3, "[springen] über {akk}"), (1, "[hüpfen] über {akk}")),
    "eat": ((5, "[{eats}] {akk}"), (2, "[verschlucken] {akk}"), (1, "[auf+{eats}] {akk}"),
        (1, "of other: [verschluckt werden] von {by}")),
    "spit out": ((5, "[aus+spucken] {akk}"), (1.5, "of other: [heraus+kommen] aus {by}"),
        (1, "of other: [ausgespuckt werden] von {by}")),
}  # fmt: skip

IRREGULAR = {
    "fahren": "fährt", "halten": "hält", "laufen": "läuft", "fallen": "fällt", "verlassen": "verlässt",
    "stoßen": "stößt", "tragen": "trägt", "fressen": "frisst", "essen": "isst", "werden": "wird", "wachsen": "wächst",
    "treffen": "trifft", "zerbrechen": "zerbricht", "erlöschen": "erlischt", "öffnen": "öffnet",
}  # fmt: skip


def inflect(verb: str, many: bool) -> str:
    """Return the finite form of a verb: it does, or they do."""
    if many or verb in IRREGULAR:
        return verb if many else IRREGULAR[verb]
    stem = verb.removesuffix("n").removesuffix("e") if verb.endswith("en") else verb.removesuffix("n")
    return f"{stem}{'et' if stem[-1] in 'dt' else 't'}"


def _noun(entry: str) -> Noun:
    word, gender, plural = entry.split()
    text = word.removesuffix("*")
    return Noun(text=text, gender=gender, plural=plural, oblique=plural if text != word else "")


WORDS = Vocabulary(
    nouns=read_nouns(NOUNS, _noun),
    groups={group: _noun(entry) for group, entry in GROUPS.items()},
    goes=GOES,
    events=EVENTS,
    ways=WAYS,
    turns=TURNS,
    sides={"left": "links", "right": "rechts"},
    locations=LOCATIONS,
    up_and_down="auf und ab",
    eats=("fressen", "essen"),
)
