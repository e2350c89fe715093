"""Scenes: what a training picture shows, said as data, and the captions that say it in words."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from vocabulary import (
    COLOURS,
    COUNTS,
    OBJECTS,
    PLACES,
    POSITIONS,
    RELATIONS,
    SIZES,
    SKIES,
    STYLES,
)


@dataclass(frozen=True)
class Thing:
    """One object: `None` means that the caption does not say, so the default is drawn."""

    kind: str
    colour: str | None = None
    size: str | None = None

    @property
    def shown_colour(self) -> str:
        return self.colour or OBJECTS[self.kind]


@dataclass(frozen=True)
class Scene:
    """A picture in words; `background` is a colour and then stands for place and sky."""

    things: tuple[Thing, ...]
    count: int = 1
    relation: str | None = None
    position: str | None = None
    place: str | None = None
    sky: str | None = None
    background: str | None = None
    style: str | None = None

    @property
    def combination(self) -> tuple[str, str, str]:
        """What is held out together: object, its colour, surroundings."""
        if not self.things:
            return "nothing", "", self.surroundings
        return self.things[0].kind, self.things[0].shown_colour, self.surroundings

    @property
    def surroundings(self) -> str:
        if self.background:
            return f"plain {self.background}"
        return f"{self.place or 'hills'} {self.sky or 'day'}"


def held_out(scene: Scene) -> bool:
    """One combination in eight is never trained on: chosen by its names, so for ever the same."""
    kind, colour, surroundings = scene.combination
    return sum(f"{kind}|{colour}|{surroundings}".encode()) % 8 == 0


def random_scene(rng: Random) -> Scene:
    """Any scene of the grammar, parts left unsaid as people leave them."""
    form = rng.choices(("one", "many", "pair", "empty"), (0.70, 0.10, 0.17, 0.03))[0]
    things = [] if form == "empty" else [_random_thing(rng)]
    if form == "pair":
        things.append(_random_thing(rng, unlike=things[0].kind))
    background, place, sky = _random_surroundings(rng)
    things = [_visible(rng, thing, background) for thing in things]
    style = rng.choice(STYLES) if rng.random() < 0.45 else None
    if form != "one" or style == "pixel":  # small objects are lost in coarse pixels
        things = [Thing(thing.kind, thing.colour) for thing in things]
    return Scene(
        things=tuple(things),
        count=rng.choice((2, 3)) if form == "many" else 1,
        relation=rng.choice(RELATIONS) if form == "pair" else None,
        position=rng.choice(tuple(POSITIONS))
        if form == "one" and rng.random() < 0.5
        else None,
        place=place,
        sky=sky,
        background=background,
        style=style,
    )


def training_scene(rng: Random) -> Scene:
    while held_out(scene := random_scene(rng)):
        pass
    return scene


def _random_thing(rng: Random, unlike: str | None = None) -> Thing:
    kind = rng.choice([name for name in OBJECTS if name != unlike])
    colour = rng.choice(tuple(COLOURS)) if rng.random() < 0.75 else None
    return Thing(kind, colour, rng.choice(tuple(SIZES)) if rng.random() < 0.5 else None)


def _random_surroundings(rng: Random) -> tuple[str | None, str | None, str | None]:
    if rng.random() < 0.22:
        return rng.choice(tuple(COLOURS)), None, None
    place = rng.choice(PLACES[1:]) if rng.random() < 0.75 else None
    sky = rng.choice(SKIES) if rng.random() < 0.6 else None
    return None, place, sky


def _visible(rng: Random, thing: Thing, background: str | None) -> Thing:
    """Nobody asks for a red heart on a red background: give it another colour."""
    if thing.shown_colour != background:
        return thing
    others = [colour for colour in COLOURS if colour != background]
    return Thing(thing.kind, rng.choice(others), thing.size)


def caption(scene: Scene, rng: Random) -> str:
    """One of the many ways to say the scene."""
    parts = [_subject(scene, rng)]
    if scene.position:
        parts.append(_position(scene.position, rng))
    parts.append(_surroundings(scene, rng))
    text = " ".join(part for part in parts if part)
    if scene.style is None:
        return text
    named = {
        "pixel": "pixel art",
        "photo": "photo",
        "sketch": "sketch",
        "flat": "flat",
    }[scene.style]
    forms = (f"{text}, {named}", f"{named} of {text}", f"{text}, {named} style")
    return rng.choice(forms)


def _subject(scene: Scene, rng: Random) -> str:
    if not scene.things:
        return ""
    first = _noun(scene.things[0])
    if scene.relation:
        joint = {"leftof": "left of", "rightof": "right of"}.get(
            scene.relation, scene.relation
        )
        return f"a {first} {joint} a {_noun(scene.things[1])}"
    if scene.count > 1:
        return f"{COUNTS[scene.count]} {first}s".replace("fishs", "fish")
    return f"{rng.choice(('a', 'a', 'one'))} {first}"


def _noun(thing: Thing) -> str:
    return " ".join(word for word in (thing.size, thing.colour, thing.kind) if word)


def _position(position: str, rng: Random) -> str:
    forms = (f"on the {position}", f"at the {position}", f"in the {position}")
    return rng.choice(forms)


def _surroundings(scene: Scene, rng: Random) -> str:
    if scene.background:
        return f"on a {scene.background} background"
    if scene.place and scene.sky:
        forms = (f"on a {scene.sky} {scene.place}", f"{scene.place} at {scene.sky}")
        return rng.choice((*forms, f"{scene.sky}, {scene.place}"))
    if scene.place:
        return rng.choice((f"in the {scene.place}", f"on a {scene.place}", scene.place))
    return rng.choice((f"at {scene.sky}", f"{scene.sky} sky")) if scene.sky else ""
