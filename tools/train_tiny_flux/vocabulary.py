"""The words the embedded FLUX knows: what each means, and which other words mean the same."""

from __future__ import annotations

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (218, 36, 36),
    "orange": (246, 130, 28),
    "yellow": (250, 214, 50),
    "green": (44, 158, 70),
    "blue": (40, 92, 222),
    "purple": (128, 52, 178),
    "pink": (247, 138, 188),
    "brown": (122, 72, 36),
    "black": (30, 30, 36),
    "white": (246, 246, 246),
    "gray": (142, 145, 150),
    "cyan": (44, 204, 208),
}

# Each object with the colour it has when the prompt names none.
OBJECTS: dict[str, str] = {
    "lighthouse": "red",
    "house": "orange",
    "tree": "green",
    "boat": "brown",
    "mountain": "gray",
    "moon": "yellow",
    "sun": "yellow",
    "star": "yellow",
    "heart": "red",
    "circle": "blue",
    "square": "green",
    "triangle": "purple",
    "ring": "orange",
    "flower": "pink",
    "cat": "gray",
    "fish": "orange",
    "bird": "blue",
    "car": "red",
    "rocket": "white",
    "cactus": "green",
    "snowman": "white",
    "balloon": "red",
    "mushroom": "red",
    "castle": "gray",
}

SIZES = {"small": 0.155, "medium": 0.235, "large": 0.335}  # radius, in picture widths
POSITIONS = {  # centre, in picture widths and heights
    "center": (0.5, 0.52),
    "left": (0.25, 0.52),
    "right": (0.75, 0.52),
    "top": (0.5, 0.27),
    "bottom": (0.5, 0.75),
    "top left": (0.25, 0.27),
    "top right": (0.75, 0.27),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}
PLACES = (
    "hills",
    "sea",
    "meadow",
    "snow",
    "desert",
    "city",
    "cliff",
)  # hills: when none is named
SKIES = ("day", "night", "storm", "sunset")
STYLES = ("flat", "sketch", "pixel", "photo")
COUNTS = {1: "one", 2: "two", 3: "three"}
RELATIONS = ("leftof", "rightof", "above", "below")

# What people write -> the word the model was trained on. Longer phrases stand before their parts.
SYNONYMS: dict[str, str] = {
    r"(to the )?left of": "leftof",
    r"(to the )?right of": "rightof",
    r"on top of|above|over": "above",
    r"below|under|underneath|beneath": "below",
    r"pixel[ -]?art|pixelated|8[ -]?bit": "pixel",
    r"photo[ -]?realistic|photograph(y|s)?|photos|realistic": "photo",
    r"sketch(ed|y)|pencil|drawing|drawn|crayon": "sketch",
    r"vector|minimal(ist)?|simple|icon": "flat",
    r"backdrop": "background",
    r"tiny|little|mini|miniature": "small",
    r"big|huge|giant|enormous|great": "large",
    r"medium[ -]sized": "medium",
    r"crimson|scarlet|ruby": "red",
    r"golden|gold": "yellow",
    r"emerald|lime": "green",
    r"navy|azure": "blue",
    r"violet|lilac": "purple",
    r"rosy|magenta|fuchsia": "pink",
    r"chestnut": "brown",
    r"grey|silver": "gray",
    r"turquoise|teal|aqua": "cyan",
    r"middle|centre|centered|central": "center",
    r"upper|uppermost": "top",
    r"lower": "bottom",
    r"pair": "two",
    r"2": "two",
    r"3": "three",
    r"1|single": "one",
    r"stormy|thunderstorm|thunder|lightning|rainy|rain|tempest": "storm",
    r"nighttime|nightly|midnight|starry|moonlit": "night",
    r"dusk|dawn|sunrise|evening": "sunset",
    r"daytime|sunny|daylight|noon": "day",
    r"ocean|seaside|waves|water|lake": "sea",
    r"grass|grassy|field|meadows|lawn": "meadow",
    r"snowy|winter|wintry|ice|icy": "snow",
    r"sand|sandy|dunes|dune": "desert",
    r"town|street|skyline|urban": "city",
    r"cliffs|rock|rocky|rocks": "cliff",
    r"hill|hilly|countryside": "hills",
    r"lighthouses": "lighthouse",
    r"houses|home|hut|cottage": "house",
    r"trees": "tree",
    r"boats|ships?|sailboats?": "boat",
    r"mountains|peaks?": "mountain",
    r"moons|crescent": "moon",
    r"suns": "sun",
    r"stars": "star",
    r"hearts": "heart",
    r"circles|discs?|disks?|balls?": "circle",
    r"squares|box(es)?": "square",
    r"triangles": "triangle",
    r"rings|donuts?|doughnuts?": "ring",
    r"flowers|blossoms?|daisy|daisies|roses?|tulips?": "flower",
    r"cats|kittens?|kitty": "cat",
    r"fishes": "fish",
    r"birds": "bird",
    r"cars|automobiles?": "car",
    r"rockets|spaceships?": "rocket",
    r"cacti|cactuses": "cactus",
    r"snowmen": "snowman",
    r"balloons": "balloon",
    r"mushrooms|toadstools?": "mushroom",
    r"castles|fortress": "castle",
}

WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        [
            *OBJECTS,
            *COLOURS,
            *SIZES,
            *(word for position in POSITIONS for word in position.split()),
            *PLACES,
            *SKIES,
            *STYLES,
            *COUNTS.values(),
            *RELATIONS,
            "background",
        ]
    )
)
