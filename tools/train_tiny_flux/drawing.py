"""Draws a scene with Pillow: the training pictures of the embedded FLUX."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from scenes import Scene, Thing
from vocabulary import COLOURS, POSITIONS, RGB, SIZES

SIDE = 128  # pixels of a finished picture
SUPER = 2  # drawn this many times larger, then averaged: anti-aliasing
CANVAS = SIDE * SUPER

Point = tuple[float, float]
WHITE, DARK, LAMP = (250, 250, 250), (45, 42, 50), (255, 226, 120)


def shade(colour: RGB, factor: float) -> RGB:
    """Darker below 1, towards white above."""
    if factor <= 1:
        return tuple(round(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(round(c + (255 - c) * (factor - 1)) for c in colour)  # type: ignore[return-value]


class Brush:
    """Draws in an object's own coordinates: x right, y down, both -1…1, on a canvas in pixels."""

    def __init__(
        self, layer: Image.Image, centre: Point, radius: float, colour: RGB, rng: Random
    ):
        self.draw = ImageDraw.Draw(layer)
        self.centre, self.radius, self.colour, self.rng = centre, radius, colour, rng
        self.dark, self.light = shade(colour, 0.62), shade(colour, 1.45)
        self.outline: RGB | None = shade(colour, 0.5)
        self.width = 3
        self.stretch = rng.uniform(0.95, 1.05)
        self.tilt = math.radians(rng.uniform(-2.5, 2.5))

    def at(self, point: Point) -> Point:
        x, y = point[0] * self.stretch, point[1] / self.stretch
        cos, sin = math.cos(self.tilt), math.sin(self.tilt)
        cx, cy = self.centre
        return cx + self.radius * (x * cos - y * sin), cy + self.radius * (
            x * sin + y * cos
        )

    def near(self, value: float, share: float = 0.08) -> float:
        """The value, varied a little: no two houses are alike."""
        return value * self.rng.uniform(1 - share, 1 + share)

    def poly(
        self, points: Sequence[Point], fill: RGB | None = None, *, line: bool = True
    ) -> None:
        outline = self.outline if line else None
        self.draw.polygon(
            [self.at(p) for p in points],
            fill or self.colour,
            outline,
            self.width if outline else 0,
        )

    def oval(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        fill: RGB | None = None,
        *,
        line: bool = True,
    ) -> None:
        self.poly(arc(x, y, rx, ry), fill, line=line)

    def box(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        fill: RGB | None = None,
        *,
        line: bool = True,
    ) -> None:
        self.poly(
            [(left, top), (right, top), (right, bottom), (left, bottom)],
            fill,
            line=line,
        )

    def stroke(
        self, points: Sequence[Point], width: float, fill: RGB | None = None
    ) -> None:
        pixels = max(2, round(width * self.radius))
        self.draw.line(
            [self.at(p) for p in points], fill or self.dark, pixels, joint="curve"
        )


def arc(
    x: float,
    y: float,
    rx: float,
    ry: float,
    start: float = 0,
    end: float = 360,
    n: int = 36,
) -> list[Point]:
    """Points of an elliptic arc, degrees clockwise from the right."""
    angles = [math.radians(start + (end - start) * i / n) for i in range(n + 1)]
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def star_points(points: int, inner: float, outer: float = 1.0) -> list[Point]:
    angles = [math.pi * i / points - math.pi / 2 for i in range(2 * points)]
    radii = [outer if i % 2 == 0 else inner for i in range(2 * points)]
    return [
        (r * math.cos(a), r * math.sin(a)) for r, a in zip(radii, angles, strict=True)
    ]


def lighthouse(b: Brush) -> None:
    top, foot = b.near(0.24), b.near(0.4)
    b.poly([(-foot, 1), (-top, -0.42), (top, -0.42), (foot, 1)])
    for y in (-0.1, 0.5):
        wide = [top + (foot - top) * (v + 0.42) / 1.42 for v in (y, y + 0.26)]
        b.poly(
            [(-wide[0], y), (wide[0], y), (wide[1], y + 0.26), (-wide[1], y + 0.26)],
            WHITE,
        )
    b.box(-top - 0.1, -0.54, top + 0.1, -0.42, b.dark)
    b.box(-top + 0.04, -0.8, top - 0.04, -0.54, LAMP)
    b.poly([(-top - 0.06, -0.78), (0, -1.05), (top + 0.06, -0.78)], b.dark)


def house(b: Brush) -> None:
    wide = b.near(0.78, 0.08)
    b.box(-wide, -0.12, wide, 0.9)
    b.poly([(-wide - 0.2, -0.1), (0, b.near(-0.92, 0.06)), (wide + 0.2, -0.1)], b.dark)
    b.box(-0.17, 0.36, 0.17, 0.9, shade(b.colour, 0.4))
    for x in (-0.5, 0.5):
        b.box(x - 0.16, 0.12, x + 0.16, 0.42, LAMP)


def tree(b: Brush) -> None:
    b.box(-0.14, 0.3, 0.14, 1, (112, 74, 44))
    for x, y, r in ((-0.42, 0.02, 0.44), (0.42, 0.02, 0.44), (0, -0.45, 0.54)):
        b.oval(x, y, b.near(r, 0.06), b.near(r, 0.06))
    b.oval(0, -0.1, 0.55, 0.5, line=False)


def boat(b: Brush) -> None:
    b.poly([(-0.95, 0.42), (0.95, 0.42), (0.62, 0.9), (-0.62, 0.9)])
    b.box(-0.05, -0.95, 0.05, 0.42, b.dark, line=False)
    b.poly([(0.1, b.near(-0.9, 0.05)), (0.1, 0.3), (b.near(0.74), 0.3)], WHITE)
    b.poly([(-0.1, -0.7), (-0.1, 0.3), (-0.58, 0.3)], b.light)


def mountain(b: Brush) -> None:
    peak = b.rng.uniform(-0.12, 0.12)
    b.poly([(-1.05, 0.85), (peak, -0.9), (1.05, 0.85)])
    b.poly(
        [
            (peak, -0.9),
            (peak + 0.36, -0.28),
            (0.12, -0.42),
            (-0.08, -0.2),
            (peak - 0.36, -0.28),
        ],
        WHITE,
    )
    b.poly([(peak + 0.36, -0.28), (1.05, 0.85), (0.2, 0.85)], b.dark, line=False)


def moon(b: Brush) -> None:
    outer = arc(0, 0, 0.95, 0.95, 60, 300)
    inner = arc(0.42, 0, 0.72, 0.8, 290, 70)
    b.poly(outer + inner)


def sun(b: Brush) -> None:
    for angle in range(0, 360, 45):
        a, half = math.radians(angle), 0.2
        tip = (1.1 * math.cos(a), 1.1 * math.sin(a))
        feet = [(0.62 * math.cos(a + s), 0.62 * math.sin(a + s)) for s in (-half, half)]
        b.poly([tip, *feet])
    b.oval(0, 0, 0.58, 0.58)


def star(b: Brush) -> None:
    b.poly(star_points(5, b.near(0.42, 0.06), 1.02))


def heart(b: Brush) -> None:
    angles = [2 * math.pi * i / 48 for i in range(48)]
    xs = [16 * math.sin(a) ** 3 / 17 for a in angles]
    ys = [
        -(
            13 * math.cos(a)
            - 5 * math.cos(2 * a)
            - 2 * math.cos(3 * a)
            - math.cos(4 * a)
        )
        / 16
        for a in angles
    ]
    b.poly(list(zip(xs, ys, strict=True)))


def circle(b: Brush) -> None:
    b.oval(0, 0, 0.88, 0.88)


def square(b: Brush) -> None:
    b.box(-0.8, -0.8, 0.8, 0.8)


def triangle(b: Brush) -> None:
    b.poly([(0, -0.9), (0.98, 0.8), (-0.98, 0.8)])


def ring(b: Brush) -> None:
    outer, inner = arc(0, 0, 0.95, 0.95), arc(0, 0, 0.5, 0.5, 360, 0)
    b.poly(outer + inner, line=False)
    for edge in (outer, inner):
        b.draw.line([b.at(p) for p in edge], b.outline, b.width, joint="curve")


def flower(b: Brush) -> None:
    b.stroke([(0, 0), (b.rng.uniform(-0.08, 0.08), 1)], 0.12, (50, 130, 60))
    b.poly(arc(0.28, 0.68, 0.26, 0.12), (60, 150, 70))
    for i in range(6):
        a = math.radians(60 * i + 30)
        b.oval(0.4 * math.cos(a), -0.35 + 0.4 * math.sin(a), 0.3, 0.3)
    b.oval(0, -0.35, 0.24, 0.24, LAMP)


def cat(b: Brush) -> None:
    b.stroke([(0.5, 0.75), (0.85, 0.55), (0.85, 0.1)], 0.17, b.colour)
    b.oval(0, 0.55, 0.52, 0.46)
    for x in (-1, 1):
        b.poly([(x * 0.55, -0.28), (x * 0.5, -0.98), (x * 0.08, -0.6)])
    b.oval(0, -0.22, 0.58, 0.48)
    for x in (-0.22, 0.22):
        b.oval(x, -0.26, 0.11, 0.14, WHITE, line=False)
        b.oval(x, -0.26, 0.05, 0.1, DARK, line=False)
    b.poly([(-0.08, -0.06), (0.08, -0.06), (0, 0.04)], (240, 140, 150), line=False)


def fish(b: Brush) -> None:
    b.poly([(0.45, 0), (1, -0.5), (1, 0.5)], b.dark)
    b.poly([(-0.2, -0.4), (0.15, -0.75), (0.3, -0.3)], b.dark)
    b.oval(-0.2, 0, b.near(0.76, 0.05), b.near(0.46, 0.1))
    b.oval(-0.6, -0.1, 0.12, 0.12, WHITE, line=False)
    b.oval(-0.62, -0.1, 0.06, 0.06, DARK, line=False)


def bird(b: Brush) -> None:
    b.poly([(0.35, 0.1), (1, -0.15), (0.95, 0.3)], b.dark)
    b.poly([(-0.7, -0.42), (-1.05, -0.26), (-0.7, -0.14)], (250, 170, 40))
    b.oval(0, 0.15, 0.6, 0.46)
    b.oval(-0.46, -0.3, 0.34, 0.33)
    b.poly([(-0.2, 0.05), (0.45, 0.0), (0.15, b.near(0.55))], b.dark)
    b.oval(-0.54, -0.36, 0.08, 0.08, DARK, line=False)
    for x in (-0.1, 0.15):
        b.stroke([(x, 0.6), (x, 0.92)], 0.07, (230, 150, 40))


def car(b: Brush) -> None:
    b.poly([(-0.55, -0.05), (-0.36, -0.5), (0.32, -0.5), (0.58, -0.05)])
    b.poly(
        [(-0.42, -0.06), (-0.29, -0.4), (-0.03, -0.4), (-0.03, -0.06)], (205, 232, 245)
    )
    b.poly([(0.05, -0.06), (0.05, -0.4), (0.27, -0.4), (0.44, -0.06)], (205, 232, 245))
    b.box(-1, -0.05, 1, 0.42)
    for x in (-0.55, 0.55):
        b.oval(x, 0.44, 0.25, 0.25, DARK)
        b.oval(x, 0.44, 0.1, 0.1, (200, 200, 205), line=False)


def rocket(b: Brush) -> None:
    b.poly(
        [(-0.2, 0.68), (0, b.near(1.08, 0.05)), (0.2, 0.68)], (255, 160, 40), line=False
    )
    for x in (-1, 1):
        b.poly([(x * 0.28, 0.2), (x * 0.66, 0.74), (x * 0.28, 0.66)], b.dark)
    b.poly([(-0.32, 0.7), *arc(0, -0.2, 0.34, 0.85, 180, 360), (0.32, 0.7)])
    b.oval(0, -0.25, 0.17, 0.17, (170, 220, 250))


def cactus(b: Brush) -> None:
    for x in (-1, 1):
        y = b.rng.uniform(-0.1, 0.1)
        b.stroke(
            [(0, 0.3 + y), (x * 0.56, 0.3 + y), (x * 0.56, -0.25 + y)], 0.34, b.outline
        )
        b.stroke(
            [(0, 0.3 + y), (x * 0.56, 0.3 + y), (x * 0.56, -0.23 + y)], 0.26, b.colour
        )
    b.poly([(-0.26, 1), *arc(0, -0.7, 0.26, 0.3, 180, 360), (0.26, 1)])
    for x in (-0.1, 0.1):
        b.stroke([(x, -0.7), (x, 0.95)], 0.04, b.dark)


def snowman(b: Brush) -> None:
    b.oval(0, 0.5, 0.56, 0.5)
    b.oval(0, -0.18, 0.4, 0.36)
    b.oval(0, -0.66, 0.3, 0.28)
    b.box(-0.36, -0.95, 0.36, -0.84, DARK, line=False)
    b.box(-0.22, -1.12, 0.22, -0.9, DARK, line=False)
    b.poly([(0, -0.68), (0.36, -0.6), (0, -0.56)], (245, 130, 30), line=False)
    for y in (-0.2, 0.1, 0.45):
        b.oval(0, y, 0.06, 0.06, DARK, line=False)


def balloon(b: Brush) -> None:
    b.stroke([(0, 0.4), (b.rng.uniform(-0.15, 0.15), 0.75), (0, 1.08)], 0.06, DARK)
    b.poly([(-0.14, 0.58), (0, 0.36), (0.14, 0.58)])
    b.oval(0, -0.3, 0.62, 0.74)
    b.oval(-0.22, -0.55, 0.13, 0.2, b.light, line=False)


def mushroom(b: Brush) -> None:
    b.poly([(-0.24, 0), (0.24, 0), (0.34, 0.92), (-0.34, 0.92)], (244, 232, 210))
    b.poly([*arc(0, 0.1, 0.95, b.near(0.95, 0.06), 180, 360)])
    for x, y, r in ((-0.46, -0.2, 0.14), (0.08, -0.52, 0.16), (0.5, -0.14, 0.13)):
        b.oval(x, y, r, r, WHITE, line=False)


def castle(b: Brush) -> None:
    b.box(-0.62, -0.1, 0.62, 0.9)
    for x in (-0.7, 0.7):
        b.box(x - 0.26, -0.5, x + 0.26, 0.9)
        for tooth in (-0.26, -0.07, 0.12):
            b.box(x + tooth, -0.68, x + tooth + 0.14, -0.48)
    for x in (-0.32, -0.07, 0.18):
        b.box(x, -0.28, x + 0.14, -0.08)
    b.poly(
        [(-0.2, 0.9), *arc(0, 0.45, 0.2, 0.22, 180, 360), (0.2, 0.9)],
        shade(b.colour, 0.35),
    )


DRAW: dict[str, Callable[[Brush], None]] = {
    f.__name__: f
    for f in (
        lighthouse,
        house,
        tree,
        boat,
        mountain,
        moon,
        sun,
        star,
        heart,
        circle,
        square,
        triangle,
        ring,
        flower,
        cat,
        fish,
        bird,
        car,
        rocket,
        cactus,
        snowman,
        balloon,
        mushroom,
        castle,
    )
}

SKY: dict[str, tuple[RGB, RGB]] = {  # at the top, at the horizon
    "day": ((112, 178, 240), (214, 236, 250)),
    "night": ((14, 18, 52), (44, 52, 104)),
    "storm": ((58, 64, 76), (128, 134, 142)),
    "sunset": ((92, 62, 132), (255, 158, 84)),
}
LIGHT = {"day": 1.0, "night": 0.5, "storm": 0.68, "sunset": 0.82}  # of the ground
GROUND: dict[str, RGB] = {
    "hills": (150, 182, 120),
    "sea": (34, 108, 168),
    "meadow": (92, 176, 62),
    "snow": (236, 242, 250),
    "desert": (232, 196, 124),
    "city": (112, 114, 122),
    "cliff": (116, 100, 90),
}


def placed(scene: Scene, rng: Random) -> list[tuple[Thing, Point, float]]:
    """Each object with its centre and radius, in picture widths."""
    jitter = [(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.02)) for _ in range(3)]
    if not scene.things:
        return []
    first = scene.things[0]
    if scene.relation:
        spots = {
            "leftof": ((0.27, 0.52), (0.73, 0.52)),
            "rightof": ((0.73, 0.52), (0.27, 0.52)),
            "above": ((0.5, 0.27), (0.5, 0.74)),
            "below": ((0.5, 0.74), (0.5, 0.27)),
        }[scene.relation]
        objects = list(zip(scene.things, spots, (0.18, 0.18), strict=True))
    elif scene.count > 1:
        xs = {2: (0.28, 0.72), 3: (0.19, 0.5, 0.81)}[scene.count]
        radius = {2: 0.18, 3: 0.14}[scene.count]
        objects = [(first, (x, 0.55), radius) for x in xs]
    else:
        objects = [
            (
                first,
                POSITIONS[scene.position or "center"],
                SIZES[first.size or "medium"],
            )
        ]
    moved = zip(objects, jitter[: len(objects)], strict=True)
    return [
        (t, _inside(x + dx, y + dy, r), r * rng.uniform(0.94, 1.06))
        for (t, (x, y), r), (dx, dy) in moved
    ]


def _inside(x: float, y: float, radius: float) -> Point:
    """Large objects near the rim move in until almost all of them shows."""
    low = min(0.5, radius * 0.92)
    return min(max(x, low), 1 - low), min(max(y, low), 1 - low)


def vary(colour: RGB, rng: Random, amount: int = 6) -> RGB:
    level = rng.uniform(0.95, 1.04)
    return tuple(  # type: ignore[return-value]
        min(255, max(0, round(c * level + rng.uniform(-amount, amount))))
        for c in colour
    )


def gradient(top: RGB, bottom: RGB, height: int) -> Image.Image:
    share = np.linspace(0, 1, max(1, height))[:, None, None]
    rows = np.array(top) * (1 - share) + np.array(bottom) * share
    column = Image.fromarray(rows.astype(np.uint8))
    return column.resize((CANVAS, max(1, height)))


def surroundings(scene: Scene, ground_y: float, rng: Random) -> Image.Image:
    """Sky and ground (or a plain colour), without the objects."""
    if scene.background:
        base = vary(COLOURS[scene.background], rng)
        return gradient(shade(base, 1.06), shade(base, 0.94), CANVAS)
    place, sky = scene.place or "hills", scene.sky or "day"
    top, bottom = (vary(colour, rng) for colour in SKY[sky])
    horizon = round(CANVAS * rng.uniform(0.56, 0.64))
    picture = gradient(top, bottom, CANVAS)
    picture.paste(gradient(top, bottom, horizon), (0, 0))
    draw = ImageDraw.Draw(picture)
    _weather(draw, sky, horizon, rng)
    ground = vary(shade(GROUND[place], LIGHT[sky]), rng)
    _place(picture, draw, place, ground, horizon, ground_y * CANVAS, rng)
    return picture


def _weather(draw: ImageDraw.ImageDraw, sky: str, horizon: int, rng: Random) -> None:
    if sky == "night":
        for _ in range(rng.randint(10, 16)):
            x, y, r = (
                rng.uniform(0, CANVAS),
                rng.uniform(0, horizon * 0.85),
                rng.uniform(2, 3.4),
            )
            draw.ellipse((x - r, y - r, x + r, y + r), (250, 246, 214))
    elif sky == "storm":
        for _ in range(5):
            x, y = rng.uniform(0, CANVAS), rng.uniform(0, 36)
            draw.ellipse((x - 56, y - 24, x + 56, y + 24), vary((42, 46, 58), rng))
        x = rng.choice((0.12, 0.86)) * CANVAS + rng.uniform(-10, 10)
        bolt = [
            (x, 40),
            (x - 12, 84),
            (x + 4, 82),
            (x - 10, 130),
            (x + 22, 70),
            (x + 6, 72),
            (x + 16, 40),
        ]
        draw.polygon(bolt, (255, 240, 150))
    elif sky == "day":
        for x in (0.15, 0.82):
            x, y = (x + rng.uniform(-0.08, 0.08)) * CANVAS, rng.uniform(18, 62)
            for dx, r in ((-22, 13), (0, 18), (22, 13)):
                draw.ellipse(
                    (x + dx - r, y - r * 0.7, x + dx + r, y + r * 0.7), (252, 253, 255)
                )


def _place(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    place: str,
    ground: RGB,
    horizon: int,
    stand: float,
    rng: Random,
) -> None:
    """The ground: `stand` is the y in pixels on which the object stands."""
    if place == "city":
        _skyline(draw, ground, horizon, rng)
    if place == "cliff":
        return _cliff(draw, ground, horizon, stand, rng)
    if place in ("hills", "meadow", "desert", "snow"):
        for x, rise in ((0.2, 26), (0.85, 34)):
            cx, w = (x + rng.uniform(-0.08, 0.08)) * CANVAS, rng.uniform(90, 130)
            draw.ellipse(
                (cx - w, horizon - rise, cx + w, horizon + rise * 2),
                shade(ground, 0.86),
            )
    picture.paste(gradient(ground, shade(ground, 0.8), CANVAS - horizon), (0, horizon))
    for _ in range({"sea": 9, "meadow": 14, "desert": 5, "city": 4}.get(place, 0)):
        x, y = rng.uniform(0, CANVAS), rng.uniform(horizon + 10, CANVAS - 8)
        if place == "sea":
            draw.line(
                [(x - 20, y), (x, y - 5), (x + 20, y)],
                shade(ground, 1.4),
                4,
                joint="curve",
            )
        elif place == "meadow":
            draw.line([(x - 5, y - 9), (x, y), (x + 5, y - 9)], shade(ground, 0.62), 4)
        elif place == "desert":
            draw.arc((x - 40, y - 8, x + 40, y + 14), 190, 350, shade(ground, 0.84), 4)
        else:
            draw.rectangle((x - 16, y - 2, x + 16, y + 2), shade(ground, 1.5))
    return None


def _skyline(draw: ImageDraw.ImageDraw, ground: RGB, horizon: int, rng: Random) -> None:
    x = -10.0
    while x < CANVAS:
        wide, high = rng.uniform(30, 46), rng.uniform(40, 104)
        wall = shade(ground, rng.uniform(0.55, 0.8))
        draw.rectangle((x, horizon - high, x + wide, horizon), wall)
        for wx in (x + 7, x + wide - 15):
            for wy in range(round(horizon - high) + 8, horizon - 12, 20):
                draw.rectangle((wx, wy, wx + 8, wy + 9), LAMP)
        x += wide + 3


def _cliff(
    draw: ImageDraw.ImageDraw, ground: RGB, horizon: int, stand: float, rng: Random
) -> None:
    sea = (52, 96, 132)
    light = sum(ground) / sum(GROUND["cliff"])
    draw.rectangle((0, horizon + 24, CANVAS, CANVAS), shade(sea, min(1, light)))
    top, edge = (
        min(max(stand, horizon - 8), CANVAS - 30),
        rng.uniform(0.84, 0.94) * CANVAS,
    )
    outline = [
        (-2, top + 6),
        (edge * 0.4, top),
        (edge, top + 4),
        (edge - 18, top + 34),
        (edge + 4, top + 62),
        (edge - 14, CANVAS),
        (-2, CANVAS),
    ]
    draw.polygon(outline, ground)
    draw.line(outline[:3], (86, 140, 70), 9)
    for x in (0.2, 0.5, 0.72):
        draw.line(
            [(x * edge, top + 16), (x * edge - 12, top + 52), (x * edge, CANVAS)],
            shade(ground, 0.7),
            4,
        )


def picture(scene: Scene, rng: Random) -> Image.Image:
    """The scene as an RGB picture of SIDE × SIDE pixels."""
    return picture_and_coverage(scene, rng)[0]


def picture_and_coverage(scene: Scene, rng: Random) -> tuple[Image.Image, np.ndarray]:
    """The picture, and how much of each 16 × 16 pixel patch the objects cover: (8, 8), 0…1."""
    objects = placed(scene, rng)
    stand = max(
        y + radius * 0.9 for _, (_, y), radius in objects or [(None, (0.5, 0.55), 0.2)]
    )
    canvas = surroundings(scene, stand, rng)
    layer = Image.new("RGBA", (CANVAS, CANVAS))
    for thing, (x, y), radius in objects:
        colour = vary(COLOURS[thing.shown_colour], rng)
        brush = Brush(layer, (x * CANVAS, y * CANVAS), radius * CANVAS, colour, rng)
        if scene.style == "sketch":
            brush.outline, brush.width = DARK, 6
        elif thing.shown_colour == "black":
            brush.outline = (120, 120, 128)
        DRAW[thing.kind](brush)
    coverage = (
        np.asarray(layer.getchannel("A").reduce(16 * SUPER), dtype=np.float32) / 255
    )
    return FINISH[scene.style or "flat"](canvas, layer), coverage


def _flat(canvas: Image.Image, layer: Image.Image) -> Image.Image:
    canvas.paste(layer, (0, 0), layer)
    return canvas.reduce(SUPER)


def _sketch(canvas: Image.Image, layer: Image.Image) -> Image.Image:
    paper = Image.new("RGB", canvas.size, (250, 248, 240))
    return _flat(Image.blend(canvas, paper, 0.42), layer)


def _pixel(canvas: Image.Image, layer: Image.Image) -> Image.Image:
    blocks = _flat(canvas, layer).reduce(4)
    return blocks.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def _photo(canvas: Image.Image, layer: Image.Image) -> Image.Image:
    """Light from the upper left on the objects, a soft shadow under them, darker corners."""
    alpha = layer.getchannel("A").reduce(4)
    shadow = Image.new("L", alpha.size)
    shadow.paste(alpha, (3, 4))
    shadow = shadow.filter(ImageFilter.BoxBlur(2)).resize(
        canvas.size, Image.Resampling.BILINEAR
    )
    canvas.paste(
        Image.new("RGB", canvas.size, (20, 20, 30)),
        (0, 0),
        shadow.point(lambda v: v * 2 // 5),
    )
    solid = np.asarray(layer, dtype=np.float32)
    lit = solid[..., :3] * LIGHTING[..., None]
    layer = Image.fromarray(
        np.dstack([lit.clip(0, 255), solid[..., 3]]).astype(np.uint8), "RGBA"
    )
    canvas.paste(layer, (0, 0), layer)
    return Image.fromarray(
        (np.asarray(canvas) * VIGNETTE[..., None]).astype(np.uint8)
    ).reduce(SUPER)


_axis = np.linspace(-1, 1, CANVAS, dtype=np.float32)
LIGHTING = 1.0 - 0.28 * (_axis[None, :] * 0.7 + _axis[:, None] * 0.7)
VIGNETTE = 1.0 - 0.16 * (_axis[None, :] ** 2 + _axis[:, None] ** 2)

FINISH = {"flat": _flat, "sketch": _sketch, "pixel": _pixel, "photo": _photo}
