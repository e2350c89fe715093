"""What the embedder learns from: scenes of the embedded FLUX's world, and what they mean."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import scenes
from scenes import Scene, Thing
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

OPPOSITE = {"rightof": "leftof", "below": "above"}
SAID = {  # how a fact is said by itself
    "kind": ("{}", "a {}", "{}s"),
    "colour": ("{}", "something {}"),
    "object": ("{}", "a {}"),
    "count": ("{}s", "{}"),
    "place": ("{}", "at the {}", "in the {}"),
    "sky": ("{}", "at {}", "{} sky"),
    "background": ("{} background", "on a {} background"),
    "position": ("on the {}", "at the {}"),
    "style": ("{}", "{} style"),
}
FILLERS = ("beautiful", "an image of", "detailed", "cosy", "please", "some", "very")


def meaning(scene: Scene) -> tuple[object, ...]:
    """What is to be seen: equal for scenes that are drawn alike, however they are said."""
    things = [(t.kind, t.shown_colour, t.size or "medium") for t in scene.things]
    relation = scene.relation
    if relation in OPPOSITE:  # a boat below a sun is a sun above a boat
        things, relation = things[::-1], OPPOSITE[relation]
    if relation or scene.count > 1:  # drawn at one size and place, whatever is said
        things = [(kind, colour, "") for kind, colour, _ in things]
    position = scene.position or "center"
    return (
        tuple(things),
        scene.count,
        relation,
        position if len(things) == 1 and scene.count == 1 else "",
        scene.surroundings,
        scene.style or "flat",
    )


def sibling(scene: Scene, rng: Random) -> Scene:
    """A scene that means another thing, by one part: what is easily confused."""
    while True:
        other = rng.choice(CHANGES)(scene, rng)
        if meaning(other) != meaning(scene) and _is_drawable(other):
            return other


def training_sibling(scene: Scene, rng: Random) -> Scene:
    while scenes.held_out(other := sibling(scene, rng)):
        pass
    return other


def held_out_scenes(rng: Random, count: int) -> list[Scene]:
    """Scenes of combinations that no training saw, each of another meaning."""
    found: dict[tuple[object, ...], Scene] = {}
    while len(found) < count:
        scene = scenes.random_scene(rng)
        if scenes.held_out(scene):
            found.setdefault(meaning(scene), scene)
    return list(found.values())


def paraphrase(scene: Scene, rng: Random) -> str:
    """The scene in other words: parts in any order, what goes without saying said or not."""
    scene = _said_otherwise(scene, rng)
    text = _shuffled(scene, rng) if rng.random() < 0.4 else scenes.caption(scene, rng)
    return f"{rng.choice(FILLERS)} {text}" if rng.random() < 0.1 else text


def facts(scene: Scene) -> frozenset[tuple[str, str]]:
    """What is true of a scene, each by itself, like ("object", "red boat")."""
    found = {("style", scene.style or "flat")}
    for thing in scene.things:
        found |= {
            ("kind", thing.kind),
            ("colour", thing.shown_colour),
            ("object", f"{thing.shown_colour} {thing.kind}"),
        }
    if scene.background:
        found.add(("background", scene.background))
    else:
        found |= {("place", scene.place or "hills"), ("sky", scene.sky or "day")}
    if scene.count > 1:
        found.add(("count", f"{COUNTS[scene.count]} {scene.things[0].kind}"))
    elif len(scene.things) == 1:
        found.add(("position", scene.position or "center"))
    return frozenset(found)


def incomplete(scene: Scene, rng: Random) -> tuple[str, frozenset[tuple[str, str]]]:
    """A few words that say one or two facts, as people look for pictures, and these facts."""
    known = sorted(facts(scene))
    chosen = rng.sample(known, rng.choice((1, 1, 2)))
    words = [rng.choice(SAID[kind]).format(what) for kind, what in chosen]
    return " ".join(words), frozenset(chosen)


def _shuffled(scene: Scene, rng: Random) -> str:
    alone = replace(scene, place=None, sky=None, background=None, style=None)
    around = replace(
        Scene(()), place=scene.place, sky=scene.sky, background=scene.background
    )
    parts = [scenes.caption(alone, rng), scenes.caption(around, rng), scene.style or ""]
    parts = [part for part in parts if part]
    rng.shuffle(parts)
    return ", ".join(parts)


def _said_otherwise(scene: Scene, rng: Random) -> Scene:
    things = tuple(_thing_said_otherwise(thing, rng) for thing in scene.things)
    if scene.relation and rng.random() < 0.3:
        pairs = {"leftof": "rightof", "above": "below"}
        turned = OPPOSITE.get(scene.relation) or pairs[scene.relation]
        scene, things = replace(scene, relation=turned), things[::-1]
    changes: dict[str, str | None] = {}
    single = len(things) == 1 and scene.count == 1
    if single and scene.position in (None, "center"):
        changes["position"] = rng.choice((None, None, "center"))
    if scene.style in (None, "flat"):
        changes["style"] = rng.choice((None, None, "flat"))
    if not scene.background and scene.sky in (None, "day") and scene.place:
        changes["sky"] = rng.choice((None, "day"))
    if not scene.background and scene.place in (None, "hills"):
        changes["place"] = rng.choice((None, None, "hills"))
    return replace(scene, things=things, **changes)  # type: ignore[arg-type]


def _thing_said_otherwise(thing: Thing, rng: Random) -> Thing:
    colour, size = thing.colour, thing.size
    if thing.shown_colour == OBJECTS[thing.kind]:
        colour = rng.choice((None, thing.shown_colour))
    if size in (None, "medium"):
        size = rng.choice((None, None, "medium"))
    return Thing(thing.kind, colour, size)


def _is_drawable(scene: Scene) -> bool:
    kinds = [thing.kind for thing in scene.things]
    hidden = any(thing.shown_colour == scene.background for thing in scene.things)
    return not hidden and len(set(kinds)) == len(kinds)


def _with_thing(scene: Scene, rng: Random, **changes: str) -> Scene:
    if not scene.things:
        return scene
    place = rng.randrange(len(scene.things))
    things = list(scene.things)
    things[place] = replace(things[place], **changes)
    return replace(scene, things=tuple(things))


def _change_kind(scene: Scene, rng: Random) -> Scene:
    return _with_thing(scene, rng, kind=rng.choice(tuple(OBJECTS)))


def _change_colour(scene: Scene, rng: Random) -> Scene:
    return _with_thing(scene, rng, colour=rng.choice(tuple(COLOURS)))


def _change_size(scene: Scene, rng: Random) -> Scene:
    if scene.relation or scene.count > 1 or scene.style == "pixel":
        return scene
    return _with_thing(scene, rng, size=rng.choice(tuple(SIZES)))


def _change_position(scene: Scene, rng: Random) -> Scene:
    if scene.relation:
        return replace(scene, relation=rng.choice(RELATIONS))
    if scene.count > 1 or not scene.things:
        return scene
    return replace(scene, position=rng.choice(tuple(POSITIONS)))


def _change_place(scene: Scene, rng: Random) -> Scene:
    if scene.background:
        return replace(scene, background=rng.choice(tuple(COLOURS)))
    return replace(scene, place=rng.choice(PLACES))


def _change_sky(scene: Scene, rng: Random) -> Scene:
    return scene if scene.background else replace(scene, sky=rng.choice(SKIES))


def _change_style(scene: Scene, rng: Random) -> Scene:
    return replace(scene, style=rng.choice(STYLES))


def _change_count(scene: Scene, rng: Random) -> Scene:
    if len(scene.things) != 1 or scene.position:
        return scene
    things = tuple(replace(thing, size=None) for thing in scene.things)
    return replace(scene, things=things, count=rng.choice((1, 2, 3)))


def _swap_colours(scene: Scene, rng: Random) -> Scene:
    if not scene.relation:
        return scene
    first, second = scene.things
    swapped = (
        replace(first, colour=second.shown_colour),
        replace(second, colour=first.shown_colour),
    )
    return replace(scene, things=swapped)


CHANGES = (
    _change_kind,
    _change_colour,
    _change_size,
    _change_position,
    _change_place,
    _change_sky,
    _change_style,
    _change_count,
    _swap_colours,
)
