"""Hold the Spanish words: nouns with their gender, and for each event the phrases that people use.

In a phrase, [verb] is inflected with its sentence; {a} is the patient as the object of a verb that marks animals and
people by "a", {other} the patient after anything else, {by} the actor; {o} is the ending that agrees with the subject;
{to} a colour that agrees with it, {Before} and {After} colours by name; the rest is as in `lexicon`.
"""

from __future__ import annotations

from pseudocap.toyworld.languages.scene import Noun, Vocabulary, read_nouns
from pseudocap.toyworld.lexicon import Weighted

PLURALS = {
    "muñeco de nieve": "muñecos de nieve", "nave espacial": "naves espaciales", "paraguas": "paraguas",
    "cactus": "cactus", "robot": "robots", "sombrero de copa": "sombreros de copa",
    "prenda de ropa": "prendas de ropa",
}  # fmt: skip
UNACCENTED = str.maketrans("áéíóú", "aeiou")


def plural(noun: str) -> str:
    """Return the plural of a noun or an adjective: avión, aviones; pez, peces; azul, azules."""
    if noun in PLURALS:
        return PLURALS[noun]
    if noun[-1] in "aeiou":
        return f"{noun}s"
    if noun.endswith("z"):
        return f"{noun[:-1]}ces"
    stressed_last = noun[-1] in "ns" and noun[-2] in "áéíóú"
    return f"{noun[:-2]}{noun[-2].translate(UNACCENTED)}{noun[-1]}es" if stressed_last else f"{noun}es"


def _noun(entry: str) -> Noun:
    word, gender = entry.rsplit(" ", 1)
    return Noun(text=word, gender=gender, plural=plural(word))


NOUNS = {
    "car": "coche m|auto m|automóvil m", "truck": "camión m", "bus": "autobús m", "train": "tren m|locomotora f",
    "tractor": "tractor m", "boat": "barco m|velero m|bote m", "plane": "avión m", "helicopter": "helicóptero m",
    "rocket": "cohete m|nave espacial f", "fish": "pez m", "bird": "pájaro m", "duck": "pato m",
    "cat": "gato m|gatito m", "dog": "perro m|cachorro m", "rabbit": "conejo m|conejito m",
    "elephant": "elefante m", "snail": "caracol m", "turtle": "tortuga f", "butterfly": "mariposa f",
    "spider": "araña f", "penguin": "pingüino m", "man": "hombre m|señor m|persona f",
    "woman": "mujer f|señora f|persona f", "robot": "robot m", "ghost": "fantasma m", "hand": "mano f",
    "crane": "garra f|pinza f", "ball": "pelota f|bola f|balón m", "cube": "cubo m|bloque m", "star": "estrella f",
    "heart": "corazón m", "balloon": "globo m", "kite": "cometa f", "drum": "tambor m",
    "snowman": "muñeco de nieve m", "box": "caja f|cajón m", "gift": "regalo m", "chest": "cofre m|baúl m",
    "cup": "taza f", "bottle": "botella f", "jug": "jarra f", "kettle": "tetera f|hervidor m", "glass": "vaso m",
    "jar": "tarro m|frasco m", "lamp": "lámpara f", "chair": "silla f", "table": "mesa f|escritorio m",
    "clock": "reloj m|despertador m", "umbrella": "paraguas m|sombrilla f", "key": "llave f",
    "hammer": "martillo m", "hat": "sombrero m|sombrero de copa m", "tree": "árbol m", "flower": "flor f",
    "cactus": "cactus m", "mushroom": "seta f|hongo m", "apple": "manzana f", "pear": "pera f",
    "carrot": "zanahoria f", "cake": "pastel m|tarta f", "ice cream": "helado m", "house": "casa f",
    "castle": "castillo m", "sun": "sol m", "moon": "luna f", "cloud": "nube f",
}  # fmt: skip
GROUPS = {
    "vehicle": "vehículo m", "animal": "animal m", "person": "persona f", "machine": "máquina f",
    "figure": "figura f", "hand": "mano f", "toy": "juguete m", "shape": "forma f", "container": "recipiente m",
    "vessel": "recipiente m", "piece of furniture": "mueble m", "tool": "herramienta f",
    "piece of clothing": "prenda de ropa f", "plant": "planta f", "fruit": "fruta f", "vegetable": "verdura f",
    "dessert": "postre m", "building": "edificio m", "thing": "cosa f",
}  # fmt: skip
COLOURS = {  # a word in -o has four forms, those of INVARIABLE one, the others two
    "red": "rojo", "orange": "naranja", "yellow": "amarillo", "green": "verde", "turquoise": "turquesa",
    "blue": "azul", "purple": "morado", "pink": "rosa", "brown": "marrón", "white": "blanco", "grey": "gris",
    "black": "negro",
}  # fmt: skip
OTHER_COLOURS = {  # that the grammar does not choose, and others do
    "púrpura": "purple", "violeta": "purple", "lila": "purple", "rosado": "pink", "anaranjado": "orange",
    "café": "brown", "castaño": "brown", "colorado": "red",
}  # fmt: skip
INVARIABLE = ("naranja", "turquesa", "rosa", "púrpura", "violeta", "lila")
MATERIALS = {
    "striped": "a rayas", "dotted": "de lunares", "checked": "a cuadros", "shiny": "brillante", "wooden": "de madera",
}  # fmt: skip

GOES: dict[str, Weighted] = {
    "drive": ((5, "moverse"), (2, "ir"), (2, "avanzar"), (1, "circular")),
    "sail": ((6, "navegar"), (2, "moverse"), (1, "flotar")),
    "fly": ((6, "volar"), (2, "moverse"), (0.7, "planear")),
    "swim": ((6, "nadar"), (2, "moverse"), (0.7, "ir")),
    "walk": ((5, "caminar"), (2, "andar"), (2, "moverse"), (0.8, "correr")),
    "hop": ((4, "moverse"), (2, "correr"), (1, "avanzar")),
    "crawl": ((5, "arrastrarse"), (3, "moverse"), (1, "avanzar")),
    "roll": ((5, "moverse"), (2, "deslizarse"), (1, "rodar")),
    "slide": ((5, "moverse"), (3, "deslizarse"), (1, "desplazarse")),
    "move": ((6, "moverse"), (2, "desplazarse"), (1, "ir")),
}
WAYS: dict[str, Weighted] = {
    "left": ((7, "hacia la izquierda"), (2, "a la izquierda"), (2, "de derecha a izquierda")),
    "right": ((7, "hacia la derecha"), (2, "a la derecha"), (2, "de izquierda a derecha")),
    "up": ((7, "hacia arriba"), (1, "de abajo arriba")),
    "down": ((7, "hacia abajo"), (1, "de arriba abajo")),
}
TURNS: dict[str, Weighted] = {
    "clockwise": (
        (5, "en el sentido de las agujas del reloj"), (3, "en sentido horario"), (1, "hacia la derecha"),
    ),
    "anticlockwise": (
        (4, "en sentido antihorario"), (3, "en sentido contrario a las agujas del reloj"), (1, "hacia la izquierda"),
    ),
}  # fmt: skip
LOCATIONS: dict[str, Weighted] = {
    "meadow": ((4, "en la hierba"), (3, "en un prado"), (1, "en un campo verde")),
    "beach": ((7, "en la playa"), (1, "junto al mar"), (1, "sobre la arena")),
    "road": ((5, "en la carretera"), (3, "en una calle")),
    "room": ((6, "en una habitación"), (1, "dentro de una casa")),
    "table top": ((5, "sobre una mesa"), (2, "encima de una mesa"), (1, "sobre una mesa de madera")),
    "snow": ((6, "en la nieve"), (1, "sobre la nieve")),
    "night": ((5, "de noche"), (2, "bajo las estrellas")),
    "sea": ((4, "en el agua"), (3, "en el mar")),
    "desert": ((6, "en el desierto"), (2, "sobre la arena")),
    "space": ((6, "en el espacio"), (1, "entre las estrellas")),
    "wall": ((3, "delante de una pared"), (1, "frente a una pared gris")),
}

EVENTS: dict[str, Weighted] = {
    "go": ((8, "[{goes}] {way}"), (1, "[cruzar] la pantalla {way}"), (0.8, "[desplazarse] {way}")),
    "roll": ((8, "[rodar] {way}"), (1.5, "[rodar] por el suelo {way}")),
    "leave": (
        (4, "[salir] de la pantalla por la {side}"), (2, "[salir] de la imagen por la {side}"),
        (2, "[desaparecer] por la {side}"), (1, "[irse] por la {side}"),
    ),
    "enter": (
        (4, "[entrar] en la pantalla por la {side}"), (2, "[entrar] en la imagen por la {side}"),
        (2, "[aparecer] por la {side}"), (1, "[llegar] por la {side}"),
    ),
    "stop": (
        (5, "[{goes}] {way} y [detenerse]"), (2, "[{goes}] {way} y luego [pararse]"),
        (1, "[detenerse] después de moverse {way}"),
    ),
    "start": (
        (4, "[empezar] a moverse {way}"), (2, "[quedarse] quiet{o} y luego [{goes}] {way}"),
        (2, "[ponerse] en marcha {way}"),
    ),
    "return": ((4, "[{goes}] {way} y [volver]"), (2, "[{goes}] {way} y [regresar]"), (1, "[ir] y [venir]")),
    "come closer": (
        (4, "[acercarse]"), (3, "[acercarse] a la cámara"), (1.5, "[venir] hacia la cámara"),
        (1, "[venir] hacia nosotros"),
    ),
    "go away": ((4, "[alejarse]"), (3, "[alejarse] de la cámara"), (1, "[alejarse] en la distancia")),
    "grow": ((5, "[hacerse] más grande"), (3, "[crecer]"), (1, "[agrandarse]")),
    "shrink": ((5, "[hacerse] más pequeñ{o}"), (3, "[encogerse]"), (1, "[achicarse]")),
    "spin": (
        (5, "[girar] {turn}"), (2, "[girar] sobre sí mism{o}"), (2, "[rotar] {turn}"), (2, "[dar] vueltas {turn}"),
    ),
    "fall over": ((5, "[caerse]"), (2, "[volcar]"), (1, "[caerse] de lado")),
    "stand up": ((5, "[levantarse]"), (2, "[ponerse] de pie"), (1, "[enderezarse]")),
    "bounce": ((7, "[botar] {way}"), (2, "[rebotar] {way}"), (1, "[dar] botes {way}")),
    "jump": (
        (5, "[saltar] arriba y abajo"), (2, "[saltar] dos veces"), (1, "[dar] saltos"), (1, "[saltar] en el aire"),
    ),
    "drop": ((5, "[caer] al suelo"), (3, "[caer]"), (1, "[caer] hacia abajo"), (1, "[caer] desde arriba")),
    "shoot up": ((5, "[elevarse]"), (2, "[subir] por el aire"), (1, "[despegar]"), (1, "[elevarse] en el aire")),
    "split": ((5, "[dividirse] en dos"), (2, "[partirse] en dos"), (1, "[separarse] en dos")),
    "join": ((5, "[unirse]"), (2, "[juntarse]"), (1, "[fundirse]")),
    "vanish": ((5, "[desaparecer]"), (3, "[desvanecerse]"), (1, "[esfumarse]"), (1, "[hacerse] invisible")),
    "appear": ((5, "[aparecer]"), (2, "[hacerse] visible"), (1, "[aparecer] de la nada")),
    "turn colour": (
        (5, "[ponerse] {to}"), (2, "[volverse] {to}"), (2, "[cambiar] de {Before} a {After}"),
        (1, "[cambiar] su color a {After}"),
    ),
    "open": ((6, "[abrirse]"), (2, "[abrir] su tapa"), (1, "[levantar] su tapa")),
    "close": ((6, "[cerrarse]"), (2, "[cerrar] su tapa"), (1, "[bajar] su tapa")),
    "light up": ((5, "[encenderse]"), (2, "[iluminarse]"), (2, "[empezar] a brillar")),
    "go dark": ((5, "[apagarse]"), (2, "[oscurecerse]"), (2, "[dejar] de brillar")),
    "shake": ((5, "[temblar]"), (3, "[agitarse]"), (2, "[tambalearse]"), (1, "[sacudirse]")),
    "circle": ((4, "[moverse] en círculo {turn}"), (2, "[{goes}] en círculo"), (2, "[dar] una vuelta {turn}")),
    "orbit": (
        (4, "[{goes}] alrededor de {other} {turn}"), (3, "[girar] alrededor de {other} {turn}"),
        (2, "[dar] una vuelta alrededor de {other}"),
    ),
    "pass behind": (
        (4, "[pasar] por detrás de {other} {way}"), (3, "[{goes}] por detrás de {other} {way}"),
        (2, "[pasar] por detrás de {other}"),
    ),
    "pass in front": (
        (4, "[pasar] por delante de {other} {way}"), (3, "[{goes}] por delante de {other} {way}"),
        (2, "[pasar] por delante de {other}"),
    ),
    "hide": ((5, "[esconderse] detrás de {other}"), (3, "[ocultarse] detrás de {other}"),
        (1.5, "[desaparecer] detrás de {other}")),
    "come out": ((5, "[salir] de detrás de {other}"), (2, "[aparecer] por detrás de {other}"),
        (1.5, "[asomar] por detrás de {other}")),
    "chase": (
        (5, "[perseguir] {a} {way}"), (2, "[seguir] {a} {way}"), (2, "[perseguir] {a}"),
        (1, "[correr] detrás de {other}"), (1, "of other: [ser] perseguid{o} por {by} {way}"),
    ),
    "push": (
        (6, "[empujar] {other} {way}"), (2, "[empujar] {other}"), (1, "of other: [ser] empujad{o} {way} por {by}"),
    ),
    "pull": (
        (6, "[arrastrar] {other} {way}"), (2, "[tirar] de {other}"), (1, "[tirar] de {other} {way}"),
        (1, "of other: [ser] arrastrad{o} {way} por {by}"),
    ),
    "carry": (
        (5, "[llevar] {other} {way}"), (2, "[transportar] {other} {way}"), (2, "[llevar] {other}"),
        (1, "of other: [ser] transportad{o} {way} por {by}"), (1, "of other: [viajar] encima de {by} {way}"),
    ),
    "hit": (
        (4, "[golpear] {a}"), (3, "[chocar] con {other}"), (2, "[golpear] {a} {way}"), (1, "[chocar] contra {other}"),
        (1, "of other: [ser] golpead{o} {way} por {by}"),
    ),
    "pick up": (
        (5, "[recoger] {other}"), (3, "[levantar] {other}"), (2, "[coger] {other}"), (1, "[agarrar] {other}"),
        (1.5, "of other: [ser] recogid{o} por {by}"), (1, "of other: [ser] levantad{o} por {by}"),
    ),
    "put down": (
        (5, "[dejar] {other} en el suelo"), (3, "[bajar] {other}"), (2, "[depositar] {other}"),
        (1, "of other: [ser] depositad{o} en el suelo por {by}"), (1, "of other: [ser] bajad{o} por {by}"),
    ),
    "pour": (
        (5, "[verter] agua en {other}"), (3, "[llenar] {other} de agua"), (2, "[echar] agua en {other}"),
        (1.5, "of other: [ser] llenad{o} de agua por {by}"), (1, "[llenar] {other}"),
    ),
    "suck out": (
        (4, "[sacar] el agua de {other}"), (3, "[vaciar] {other}"), (2, "[absorber] el agua de {other}"),
        (1.5, "of other: [ser] vaciad{o} por {by}"),
    ),
    "meet": ((4, "[acercarse] entre sí"), (3, "[encontrarse] en el centro"), (1, "[juntarse]")),
    "part": ((5, "[separarse]"), (2, "[apartarse]"), (1, "[alejarse] entre sí")),
    "swap": ((5, "[intercambiar] sus posiciones"), (2, "[cambiar] de sitio"), (1, "[intercambiar] sus lugares")),
    "jump over": ((4, "[saltar] por encima de {other} {way}"), (3, "[saltar] por encima de {other}"),
        (1, "[brincar] por encima de {other}")),
    "eat": ((5, "[comerse] {other}"), (2, "[tragarse] {other}"), (1, "[comer] {other}"),
        (1, "of other: [ser] devorad{o} por {by}")),
    "spit out": ((5, "[escupir] {other}"), (2, "[expulsar] {other}"), (1.5, "of other: [salir] de {by}")),
}  # fmt: skip

VERBS = {  # it does, they do, doing, it did, they did
    "mover": "mueve mueven moviendo movió movieron", "ir": "va van yendo fue fueron",
    "volar": "vuela vuelan volando voló volaron", "rodar": "rueda ruedan rodando rodó rodaron",
    "caer": "cae caen cayendo cayó cayeron", "hacer": "hace hacen haciendo hizo hicieron",
    "volver": "vuelve vuelven volviendo volvió volvieron", "volcar": "vuelca vuelcan volcando volcó volcaron",
    "poner": "pone ponen poniendo puso pusieron", "empezar": "empieza empiezan empezando empezó empezaron",
    "detener": "detiene detienen deteniendo detuvo detuvieron", "cerrar": "cierra cierran cerrando cerró cerraron",
    "encender": "enciende encienden encendiendo encendió encendieron",
    "temblar": "tiembla tiemblan temblando tembló temblaron",
    "perseguir": "persigue persiguen persiguiendo persiguió persiguieron",
    "seguir": "sigue siguen siguiendo siguió siguieron", "verter": "vierte vierten vertiendo vertió vertieron",
    "vaciar": "vacía vacían vaciando vació vaciaron",
    "encontrar": "encuentra encuentran encontrando encontró encontraron", "dar": "da dan dando dio dieron",
    "ser": "es son siendo fue fueron", "venir": "viene vienen viniendo vino vinieron",
    "recoger": "recoge recogen recogiendo recogió recogieron",
    "desvanecer": "desvanece desvanecen desvaneciendo desvaneció desvanecieron",
}  # fmt: skip
REGULAR = {"ar": "a an ando ó aron", "er": "e en iendo ió ieron", "ir": "e en iendo ió ieron"}
FORMS = ("it does", "they do", "doing", "it did", "they did")


def inflect(verb: str, form: str) -> str:
    """Inflect a verb without its "se": `form` is one of FORMS."""
    index = FORMS.index(form)
    if verb in VERBS:
        return VERBS[verb].split()[index]
    return verb[:-2] + REGULAR[verb[-2:]].split()[index]


def adjective(word: str, gender: str, many: bool) -> str:
    """Let an adjective agree: rojo, roja, rojos, rojas; azul, azules; naranja."""
    if not word or word in INVARIABLE or " " in word:
        return word
    agreed = f"{word[:-1]}a" if gender == "f" and word.endswith("o") else word
    return plural(agreed) if many else agreed


WORDS = Vocabulary(
    nouns=read_nouns(NOUNS, _noun),
    groups={group: _noun(entry) for group, entry in GROUPS.items()},
    goes=GOES,
    events=EVENTS,
    ways=WAYS,
    turns=TURNS,
    sides={"left": "izquierda", "right": "derecha"},
    locations=LOCATIONS,
    up_and_down="arriba y abajo",
    eats=("comer", "comer"),
)
