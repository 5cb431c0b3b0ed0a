"""Draws the course's face style: writes `anime-face.json` (DiceBear) and `anime-face-words.json` beside this file.

Run `python data/build_style.py` after a change, then follow CONTRIBUTING.md ("The faces"): the bundled faces, and
all that is trained on them, depend on every number here.

The canvas is 256 × 256; at the course's 64 pixels one pixel is four units, so what a caption names is at least twelve
units wide. Anime's look is a handful of rules: eyes a quarter of the face's width, iris dark above and light below,
two highlights, a thick upper lash; hair in pointed clumps that throw a shadow on the forehead, with a band of shine;
outlines in a darker shade of their own fill. A style may only use fixed colours and palettes, so every darker or
lighter shade is the palette's colour under a translucent layer of INK or of white.
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
SIZE = 256
INK = "#2b0f3a"  # a warm near-black: over any fill it gives a darker shade of that fill
BLUSH = "#f0506e"

# --- palettes: name -> (colour, English, Chinese) -------------------------------------------------------------------
HAIR = {
    "black": ("#3a3545", ["black"], ["黑"]),
    "brown": ("#7d4b2c", ["brown"], ["棕", "褐"]),
    "blonde": ("#f6d365", ["blonde", "golden"], ["金"]),
    "orange": ("#f28a2e", ["orange"], ["橙"]),
    "red": ("#cc2536", ["red"], ["红"]),
    "pink": ("#f79cc4", ["pink"], ["粉"]),
    "purple": ("#8b55cf", ["purple", "violet"], ["紫"]),
    "blue": ("#2f62d9", ["blue"], ["蓝"]),
    "aqua": ("#4fd3dd", ["aqua", "turquoise"], ["青", "青绿"]),
    "green": ("#45ad55", ["green"], ["绿"]),
    "silver": ("#a3aabb", ["silver"], ["银"]),
    "white": ("#f6f3f7", ["white"], ["白"]),
}
EYE = {
    "brown": ("#8a4a22", ["brown"], ["棕", "褐"]),
    "red": ("#e01f30", ["red"], ["红"]),
    "orange": ("#fb8417", ["orange"], ["橙"]),
    "yellow": ("#f7d21c", ["yellow"], ["黄"]),
    "green": ("#2fb44c", ["green"], ["绿"]),
    "aqua": ("#1fcfdb", ["aqua", "turquoise"], ["青", "青绿"]),
    "blue": ("#2560ee", ["blue"], ["蓝"]),
    "purple": ("#8a35dc", ["purple", "violet"], ["紫"]),
    "pink": ("#fb57a8", ["pink"], ["粉"]),
    "gray": ("#8d94a6", ["gray"], ["灰"]),
}
SKIN = {
    "fair": ("#ffe9dc", ["fair skin", "pale skin"], ["白皙皮肤"]),
    "peach": ("#fbd0ae", ["light skin"], ["浅色皮肤"]),
    "tan": ("#dba272", ["tan skin", "tanned skin"], ["小麦色皮肤"]),
    "brown": ("#9c643f", ["brown skin", "dark skin"], ["棕色皮肤", "深色皮肤"]),
}
BACKGROUND = {
    "blue": ("#b9dcf6", ["blue"], ["蓝"]),
    "pink": ("#fbcbd9", ["pink"], ["粉"]),
    "yellow": ("#fbe7a3", ["yellow"], ["黄"]),
    "green": ("#c3ebc9", ["green"], ["绿"]),
    "purple": ("#d8c9f3", ["purple"], ["紫"]),
    "navy": ("#3d4a7c", ["navy blue"], ["深蓝"]),
}
CLOTHES = {
    "red": ("#d8404f", ["red"], ["红"]),
    "blue": ("#4474c9", ["blue"], ["蓝"]),
    "green": ("#4d9a6a", ["green"], ["绿"]),
    "yellow": ("#f0c04a", ["yellow"], ["黄"]),
    "white": ("#f4f1ee", ["white"], ["白"]),
    "black": ("#46424f", ["black"], ["黑"]),
}
RIBBON = {
    "red": ("#e8303f", ["red"], ["红"]),
    "blue": ("#3f7be8", ["blue"], ["蓝"]),
    "yellow": ("#fbc92e", ["yellow"], ["黄"]),
}
PALETTES = {
    "hair": HAIR,
    "eye": EYE,
    "skin": SKIN,
    "background": BACKGROUND,
    "clothes": CLOTHES,
    "ribbon": RIBBON,
}


# --- a small vocabulary of SVG --------------------------------------------------------------------------------------
def color(palette: str) -> dict:
    return {"type": "color", "name": palette}


def tag(name: str, *children: dict, **attributes: object) -> dict:
    """One SVG element; `stroke_width=3` becomes `stroke-width="3"`."""
    values = {
        k.replace("_", "-"): v if isinstance(v, dict) else str(v) for k, v in attributes.items()
    }
    element = {"type": "element", "name": name, "attributes": values}
    return element | ({"children": list(children)} if children else {})


def path(d: str, **attributes: object) -> dict:
    return tag("path", d=d, **({"fill": "none"} | attributes))


def line(d: str, width: float = 3, ink: object = INK, opacity: float = 1) -> dict:
    return path(
        d,
        stroke=ink,
        stroke_width=width,
        stroke_opacity=opacity,
        stroke_linecap="round",
        stroke_linejoin="round",
    )


def shade(d: str, opacity: float = 0.2, ink: object = INK) -> dict:
    return path(d, fill=ink, fill_opacity=opacity)


def component(name: str) -> dict:
    return {"type": "component", "name": name}


def mirrored(*elements: dict) -> list[dict]:
    """The elements and their mirror image about the middle of the face."""
    return [*elements, tag("g", *elements, transform=f"translate({SIZE} 0) scale(-1 1)")]


def outline(d: str, fill: object, width: float = 3.6, depth: float = 0.62) -> list[dict]:
    """A contour in a darker shade of `fill`: the fill's own colour, then ink over it."""
    return [line(d, width, fill), line(d, width, INK, depth)]


def shape(
    name: str, d: str, fill: object, *inside: dict, width: float = 3.6, depth: float = 0.62
) -> dict:
    """A filled form with shading that stays inside it, and its outline. `name` makes the clip path's id unique."""
    layers = [path(d, fill=fill)]
    if inside:
        clip = tag("defs", tag("clipPath", path(d, fill="#000"), id=f"clip-{name}"))
        layers += [clip, tag("g", *inside, clip_path=f"url(#clip-{name})")]
    return tag("g", *layers, *outline(d, fill, width, depth))


def gradient(name: str, *stops: tuple[float, object, float]) -> dict:
    """A vertical gradient of (offset, colour, opacity), to be filled with `url(#name)`."""
    return tag(
        "defs",
        tag(
            "linearGradient",
            *[tag("stop", offset=offset, stop_color=ink, stop_opacity=opacity) for offset, ink, opacity in stops],
            id=name, x1=0, y1=0, x2=0, y2=1,
        ),
    )  # fmt: skip


# --- hair -----------------------------------------------------------------------------------------------------------
CROWN = (128, 34)  # where all strands come from
Point = tuple[float, float]


def clump(start: Point, tip: Point, end: Point, bend: float = 0.0) -> str:
    """A lock of hair: from the gap `start` to a pointed `tip` and back to the gap `end`, with full sides."""
    (x0, y0), (x1, y1), (x2, y2) = start, tip, end
    a = (x0 + 0.10 * (x1 - x0) + bend, y0 + 0.62 * (y1 - y0))
    b = (x2 + 0.10 * (x1 - x2) + bend, y2 + 0.62 * (y1 - y2))
    return f"Q{a[0]:.1f},{a[1]:.1f} {x1},{y1} Q{b[0]:.1f},{b[1]:.1f} {x2},{y2} "


def edge(points: list[Point], bend: float = 0.0) -> str:
    """Locks side by side: gap, tip, gap, tip, …, gap."""
    return "".join(clump(*points[i : i + 3], bend=bend) for i in range(0, len(points) - 2, 2))


def strands(points: list[Point], reach: float = 0.5, crown: Point = CROWN) -> list[dict]:
    """Fine lines that run from the gaps between locks towards the crown."""
    lines = []
    for x, y in points[2:-1:2]:
        x1, y1 = x + reach * (crown[0] - x), y + reach * (crown[1] - y)
        bow = 0.18 * (x - crown[0])
        lines.append(
            line(
                f"M{x},{y} Q{(x + x1) / 2 + bow:.1f},{(y + y1) / 2:.1f} {x1:.1f},{y1:.1f}",
                2.6,
                opacity=0.38,
            )
        )
    return lines


SHINE = (  # the "angel ring": a smooth band above, with the strands' teeth below
    "M70,86 Q86,56 128,51 Q170,56 188,86 L181,79 L176,91 L167,73 L158,85 L148,68 L138,81 L128,65 L118,81 L108,68 "
    "L99,85 L90,73 L81,91 L77,79 Z"
)


def fringe(
    name: str, points: list[Point], bend: float = 0.0, crown: Point = CROWN, spikes: str = ""
) -> list[dict]:
    """The hair over the forehead and the top of the head, with the shadow that it throws on the face.

    points: its lower edge from the right temple to the left one: gap, tip, gap, …  spikes: the upper contour, if it
    is not the smooth one.
    """
    top = spikes or "C46,84 70,22 128,21 C186,22 210,84 207,136 "
    left, right = points[-1], points[0]
    d = (
        f"M{left[0]},{left[1]} Q52,158 49,136 {top}Q204,158 {right[0]},{right[1]} "
        + edge(points, bend)
        + "Z"
    )
    shadow = tag("g", shade(d, 0.30, "#8c2f3c"), transform="translate(0 9)")
    return [
        tag("g", shadow, clip_path="url(#clip-face)"),
        shape(
            f"fringe-{name}",
            d,
            color("hair"),
            path(d, fill="url(#hair-depth)"),
            shade(
                "M44,150 Q56,80 92,38 Q66,96 66,160 Z M212,150 Q200,80 164,38 Q190,96 190,160 Z",
                0.13,
            ),
            *strands(points, crown=crown),
            path(SHINE, fill="#ffffff", fill_opacity=0.34),
        ),
    ]


def mirror_points(half: list[Point]) -> list[Point]:
    """A symmetric edge from its right half, which ends on the middle line."""
    return half + [(SIZE - x, y) for x, y in half[-2::-1]]


FRINGES = {
    # name: (points, options)
    "blunt": (
        mirror_points(
            [(197, 136), (194, 176), (186, 112), (181, 121), (172, 117), (163, 123), (151, 116), (140, 122), (128, 114)]
        ),
        {},
    ),
    "swept": (
        [(197, 128), (196, 174), (188, 112), (184, 136), (163, 62), (126, 134), (116, 106), (96, 142), (90, 112),
         (74, 148), (70, 118), (60, 178), (58, 136)],
        {"bend": 5, "crown": (166, 40)},
    ),
    "parted": (
        mirror_points([(197, 140), (196, 182), (187, 124), (180, 142), (170, 104), (150, 112), (128, 60)]),
        {"crown": (128, 30)},
    ),
    "spiky": (
        [(198, 124), (200, 172), (186, 104), (180, 142), (168, 94), (157, 130), (147, 90), (133, 138), (120, 90),
         (106, 128), (95, 92), (80, 140), (72, 102), (58, 172), (58, 124)],
        {"spikes": "C44,112 44,88 56,66 L42,60 Q64,52 76,40 L70,22 Q92,32 104,22 L118,4 Q128,14 134,20 "
                   "L160,8 Q166,22 176,34 L204,34 Q198,48 200,62 L218,72 Q206,84 207,136 "},
    ),
    "between": (
        [(197, 130), (198, 178), (186, 108), (176, 130), (164, 98), (152, 116), (140, 88), (128, 158), (116, 88),
         (104, 116), (92, 98), (80, 130), (70, 108), (58, 178), (59, 130)],
        {},
    ),
    "wispy": (
        [(197, 128), (192, 166), (184, 106), (174, 134), (166, 100), (162, 120), (154, 98), (140, 136), (136, 96),
         (122, 118), (112, 94), (92, 134), (88, 100), (78, 124), (72, 104), (62, 166), (59, 128)],
        {"bend": -5, "crown": (112, 34),
         "spikes": "C46,84 70,22 112,22 Q110,4 132,0 Q124,10 130,21 C188,22 210,84 207,136 "},
    ),
}  # fmt: skip


def back(name: str, d: str, *inside: dict, extra: tuple[dict, ...] = ()) -> list[dict]:
    """Hair behind the head: the same colour, one shade darker, because it lies in the head's shadow."""
    dark = shade(d, 0.20)
    depth = shade("M52,96 Q128,60 204,96 L204,226 Q128,256 52,226 Z", 0.22)
    return [shape(f"back-{name}", d, color("hair"), dark, depth, *inside), *extra]


HEAD = "C38,80 66,22 128,22 C190,22 218,80 "  # from the left of the head over its top to the right


def tail(name: str, d: str, *lines: str) -> dict:
    gloss = [line(x, 2.6, opacity=0.34) for x in lines]
    return shape(name, d, color("hair"), path(d, fill="url(#hair-depth)"), *gloss)


def tie(x: float, y: float, turn: float = 0) -> dict:
    return tag(
        "g",
        tag("rect", x=x - 11, y=y - 7, width=22, height=14, rx=6, fill=color("ribbon")),
        tag("rect", x=x - 11, y=y - 7, width=22, height=14, rx=6, fill="none", stroke=INK, stroke_opacity=0.6, stroke_width=3),
        transform=f"rotate({turn} {x} {y})",
    )  # fmt: skip


def back_hairs() -> dict[str, list[dict]]:
    short = f"M46,140 {HEAD}210,140 Q214,172 200,196 L196,180 Q190,200 176,208 L80,208 Q66,200 60,180 L56,196 Q42,172 46,140 Z"
    bob = (
        f"M44,140 {HEAD}212,140 Q222,184 206,214 Q192,226 172,222 Q180,214 178,206 L78,206 Q76,214 84,222 "
        "Q64,226 50,214 Q34,184 44,140 Z"
    )
    long = f"M42,140 {HEAD}214,140 Q224,200 226,270 L30,270 Q32,200 42,140 Z"
    wavy = (
        f"M40,128 {HEAD}216,128 Q236,150 224,172 Q246,194 228,216 Q250,240 236,272 L20,272 Q6,240 28,216 "
        "Q10,194 32,172 Q20,150 40,128 Z"
    )
    twintail = "M58,74 Q22,66 12,112 Q2,166 16,206 Q18,226 10,240 Q34,236 40,212 Q46,228 42,240 Q62,222 58,190 Q56,140 62,108 Z"
    pony = "M176,44 Q208,4 236,34 Q262,76 248,140 Q246,178 228,204 Q230,184 224,170 Q216,190 206,196 Q216,150 208,112 Q202,76 176,64 Z"
    braid = "M50,150 Q34,160 36,180 Q28,192 38,206 Q28,222 40,236 Q36,252 44,270 L72,270 Q78,252 70,236 Q78,220 68,206 Q76,190 66,178 Q68,160 62,150 Z"
    bun = "M62,64 m-32,-14 a30,29 0 1,0 60,0 a30,29 0 1,0 -60,0 Z"
    return {
        "short": back("short", short),
        "bob": back("bob", bob, line("M60,150 Q52,184 62,212 M196,150 Q204,184 194,212", 2.6, opacity=0.35)),
        "long": back(
            "long", long,
            line("M56,150 Q46,210 50,266 M200,150 Q210,210 206,266 M68,190 Q64,230 68,266 M188,190 Q192,230 188,266", 2.6, opacity=0.35),
        ),
        "wavy": back(
            "wavy", wavy,
            line("M52,150 Q36,172 50,192 Q34,216 48,238 Q38,254 42,270 M204,150 Q220,172 206,192 Q222,216 208,238 Q218,254 214,270", 2.6, opacity=0.35),
        ),
        "twintails": [
            *mirrored(tail("twintail", twintail, "M52,88 Q26,104 24,150 Q22,184 28,206", "M58,104 Q42,130 44,206"), tie(56, 84, -50)),
            *back("twin", short),
        ],
        "ponytail": [
            tail("pony", pony, "M196,46 Q226,56 232,112 Q234,150 222,176", "M190,52 Q214,72 220,120 Q222,150 212,180"),
            tie(184, 50, 48),
            *back("pony-head", short),
        ],
        "braids": [
            *mirrored(
                tail("braid", braid, "M36,180 Q52,178 64,194", "M66,178 Q54,190 38,206", "M38,206 Q54,206 68,222", "M68,206 Q54,222 40,236", "M40,236 Q56,236 70,250"),
            ),
            *back("braid-head", short),
        ],
        "buns": [*mirrored(tail("bun", bun, "M42,58 Q40,34 62,30", "M52,64 Q48,44 70,38")), *back("bun-head", short)],
    }  # fmt: skip


SIDELOCKS = {
    "short": ("M52,118 Q42,150 52,190 Q62,176 66,150 Q66,130 70,112 Z", "M58,124 Q52,150 56,172"),
    "long": (
        "M52,112 Q38,148 44,184 Q46,200 38,214 Q58,208 64,186 Q70,160 72,110 Z",
        "M58,126 Q49,156 54,190",
    ),
}


# --- the face -------------------------------------------------------------------------------------------------------
FACE = "M57,118 C56,160 76,190 108,209 Q128,220 148,209 C180,190 200,160 199,118 C199,66 170,46 128,46 C86,46 57,66 57,118 Z"
EAR = "M60,140 Q42,132 44,150 Q48,170 66,172 Z"


def face() -> list[dict]:
    neck = "M108,190 L108,226 Q128,244 148,226 L148,190 Z"
    return [
        shape("neck", neck, color("skin"), shade("M100,190 L156,190 L156,216 Q128,238 100,216 Z", 0.30, "#8c2f3c")),
        *mirrored(shape("ear", EAR, color("skin"), shade("M54,144 Q50,154 60,164 Q62,152 54,144 Z", 0.3, "#8c2f3c"))),
        shape(
            "face", FACE, color("skin"),
            shade("M199,118 C200,160 180,190 148,209 Q128,220 108,209 C160,196 182,160 184,108 Z", 0.10, "#8c2f3c"),
        ),
    ]  # fmt: skip


BROWS = {
    "neutral": "M74,108 Q92,98 112,106",
    "worried": "M74,112 Q90,100 110,100",
    "stern": "M76,100 Q94,100 114,112",
}

# One eye, the left one as we see it, centred on (94, 146): the opening, the upper lash, the lower lash.
EYES = {
    "round": (
        "M72,150 Q74,122 95,121 Q116,122 117,150 Q112,170 94,171 Q77,170 72,150 Z",
        "M66,146 Q74,116 96,116 Q116,117 121,144 Q112,126 95,126 Q80,127 76,148 Q72,142 66,146 Z",
        "M80,169 Q94,176 109,168",
    ),
    "sharp": (
        "M70,138 Q84,122 102,126 Q118,132 118,152 Q112,168 96,168 Q76,166 70,138 Z",
        "M58,126 Q64,130 72,128 Q90,114 108,122 Q120,130 121,146 Q112,134 100,132 Q84,130 76,146 Q66,140 58,126 Z",
        "M80,163 Q96,173 111,165",
    ),
    "droopy": (
        "M72,154 Q72,136 86,128 Q104,120 117,140 Q118,164 98,169 Q78,170 72,154 Z",
        "M64,164 Q64,136 84,123 Q106,113 121,140 Q106,125 90,131 Q78,138 76,158 Q72,166 64,164 Z",
        "M78,167 Q94,176 111,164",
    ),
    "sleepy": (
        "M70,146 Q94,134 118,144 Q116,168 95,170 Q76,169 70,146 Z",
        "M62,144 Q94,126 122,143 L119,151 Q94,138 73,153 Z",
        "M80,168 Q94,175 109,167",
    ),
}
ARC = "M70,154 Q94,126 118,154"  # a happily closed eye


def iris(name: str, opening: str) -> dict:
    return tag(
        "g",
        path(opening, fill="#ffffff"),
        tag("defs", tag("clipPath", path(opening, fill="#000"), id=f"clip-{name}")),
        tag(
            "g",
            tag("ellipse", cx=95, cy=148, rx=18, ry=24, fill=color("eye")),
            tag("ellipse", cx=95, cy=148, rx=18, ry=24, fill="url(#iris-depth)"),
            tag("ellipse", cx=95, cy=148, rx=17, ry=23, fill="none", stroke=INK, stroke_opacity=0.55, stroke_width=2.6),
            tag("ellipse", cx=95, cy=144, rx=6.5, ry=9.5, fill=INK, fill_opacity=0.82),
            tag("ellipse", cx=95, cy=164, rx=10, ry=5, fill="#ffffff", fill_opacity=0.35),
            shade("M66,112 L122,112 L122,132 Q95,122 66,138 Z", 0.28),
            clip_path=f"url(#clip-{name})",
        ),
    )  # fmt: skip


def sparkle(x: float, drop: float = 0) -> list[dict]:
    """Highlights sit on the same side of both eyes, since the light does. drop: lower, under a heavy lid."""
    return [
        tag("ellipse", cx=x - 7, cy=139 + drop, rx=6, ry=7 - drop / 4, fill="#ffffff"),
        tag("circle", cx=x + 7, cy=157 + drop / 4, r=3.6, fill="#ffffff", fill_opacity=0.92),
    ]


def lashes(upper: str, lower: str) -> list[dict]:
    return [
        path(upper, fill=INK, stroke=INK, stroke_width=1.6, stroke_linejoin="round"),
        line(lower, 2.2, opacity=0.55),
    ]


def eyes() -> dict[str, list[dict]]:
    variants = {}
    for name, (opening, upper, lower) in EYES.items():
        drop = 10 if name == "sleepy" else 0
        both = mirrored(iris(f"eye-{name}", opening), *lashes(upper, lower))
        variants[name] = [*both, *sparkle(95, drop), *sparkle(161, drop)]
    closed = [line(ARC, 6), line("M72,154 L64,150", 4.5)]
    variants["closed"] = mirrored(*closed)
    opening, upper, lower = EYES["round"]
    wink = tag("g", *closed, transform=f"translate({SIZE} 0) scale(-1 1)")
    variants["wink"] = [iris("eye-wink", opening), *lashes(upper, lower), *sparkle(95), wink]
    return variants


LIP = "#a3283a"
MOUTHS = {
    "smile": [line("M112,184 Q128,200 144,184", 4.6, "#8d2436")],
    "open": [
        shape(
            "mouth-open", "M108,180 Q128,187 148,180 Q146,206 128,206 Q110,206 108,180 Z", LIP,
            shade("M112,196 Q128,186 144,196 L144,210 L112,210 Z", 0.9, "#f58a94"),
            path("M108,178 L148,178 L146,186 Q128,191 110,186 Z", fill="#ffffff"),
        ),
    ],
    "flat": [line("M116,190 L140,190", 4.8, "#8d2436")],
    "frown": [line("M113,196 Q128,182 143,196", 4.6, "#8d2436")],
    "cat": [line("M108,184 Q112,197 121,195 Q128,193 128,185 Q128,193 135,195 Q144,197 148,184", 4.4, "#8d2436")],
    "surprised": [shape("mouth-o", "M128,180 Q140,180 140,192 Q140,205 128,205 Q116,205 116,192 Q116,180 128,180 Z", LIP,
                        shade("M118,198 Q128,190 138,198 L138,208 L118,208 Z", 0.8, "#f58a94"))],
}  # fmt: skip

CHEEK = [
    tag("ellipse", cx=76, cy=178, rx=15, ry=8.5, fill=BLUSH, fill_opacity=0.42),
    line("M68,181 L72,174 M75,182 L79,175 M82,182 L86,175", 2.4, "#d8304f", 0.55),
]

GLASSES = {
    "round": [
        *mirrored(
            tag("circle", cx=94, cy=147, r=32, fill="#ffffff", fill_opacity=0.10),
            tag("circle", cx=94, cy=147, r=32, fill="none", stroke="#3a2a30", stroke_width=5),
            line("M62,144 L50,140", 4.5, "#3a2a30"),
        ),
        line("M125,142 Q128,139 131,142", 4.5, "#3a2a30"),
    ],
    "square": [
        *mirrored(
            tag("rect", x=59, y=119, width=66, height=56, rx=10, fill="#ffffff", fill_opacity=0.10),
            tag(
                "rect",
                x=59,
                y=119,
                width=66,
                height=56,
                rx=10,
                fill="none",
                stroke="#b3262f",
                stroke_width=5,
            ),
            line("M59,138 L49,136", 4.5, "#b3262f"),
        ),
        line("M125,138 L131,138", 4.5, "#b3262f"),
    ],
}

CAT_EAR = "M56,86 Q40,40 48,6 Q84,16 108,46 Q76,54 56,86 Z"
CAT_EAR_INSIDE = "M60,66 Q52,38 56,20 Q76,28 92,44 Q72,50 60,66 Z"

BOW = "M190,56 Q168,30 154,38 Q150,58 162,78 Q176,78 190,64 Q204,78 220,76 Q232,56 226,36 Q210,30 190,56 Z"

BODY = (
    "M26,262 Q34,232 84,222 L108,214 Q128,236 148,214 L172,222 Q222,232 230,262 L230,300 L26,300 Z"
)


def clothes() -> dict[str, list[dict]]:
    fabric = color("clothes")
    fold = line("M60,244 Q56,256 58,270 M196,244 Q200,256 198,270", 2.6, opacity=0.4)
    collar = "M104,212 L84,222 Q92,246 124,262 L128,256 L132,262 Q164,246 172,222 L152,212 Q148,238 128,252 Q108,238 104,212 Z"
    hood = "M100,208 Q66,216 68,236 Q96,262 128,262 Q160,262 188,236 Q190,216 156,208 Q150,238 128,244 Q106,238 100,208 Z"
    return {
        "sailor": [
            shape("sailor", BODY, "#f8f6f4", shade("M26,262 L26,300 L230,300 L230,262 Q128,244 26,262 Z", 0.08), fold),
            shape("collar", collar, fabric, line("M94,222 Q102,242 126,256 M162,222 Q154,242 130,256", 3, "#ffffff", 0.9)),
            shape("scarf", "M128,250 L112,268 L144,268 Z", "#e8384a"),
        ],
        "hoodie": [
            shape("hoodie", BODY, fabric, shade("M26,266 L26,300 L230,300 L230,266 Q128,240 26,266 Z", 0.12), fold),
            shape("hood", hood, fabric, shade("M100,208 Q106,238 128,244 Q150,238 156,208 L150,232 Q128,256 106,232 Z", 0.25)),
            line("M112,250 L110,270 M144,250 L146,270", 4, "#ffffff", 0.95),
        ],
        "shirt": [
            shape("shirt", BODY, "#f8f6f4", shade("M26,264 L26,300 L230,300 L230,264 Q128,246 26,264 Z", 0.08), fold),
            shape("tie", "M118,240 L138,240 L146,272 L110,272 Z", fabric),
            *mirrored(shape("lapel", "M104,210 L96,224 L112,246 L128,240 Q108,232 104,210 Z", "#ffffff")),
        ],
        "sweater": [
            shape("sweater", BODY, fabric, shade("M26,266 L26,300 L230,300 L230,266 Q128,240 26,266 Z", 0.12), fold),
            shape("roll", "M104,206 Q98,222 102,236 Q128,252 154,236 Q158,222 152,206 Q128,230 104,206 Z", fabric,
                  line("M112,222 L113,238 M124,228 L124,244 M135,228 L135,243 M146,220 L145,238", 2.4, opacity=0.35)),
        ],
    }  # fmt: skip


def backdrops() -> dict[str, list[dict]]:
    """Larger than the canvas, because the figure's small tilt and shift move them too."""
    white = {"fill": "#ffffff"}
    dots = [
        tag("circle", cx=x * 52 + (26 if y % 2 else 0), cy=y * 46, r=9, fill_opacity=0.5, **white)
        for x in range(-1, 7)
        for y in range(-1, 8)
    ]
    stripes = [
        path(f"M{x},-60 l40,0 l-160,400 l-40,0 Z", fill_opacity=0.38, **white)
        for x in range(-40, 500, 84)
    ]
    return {
        "plain": [tag("rect", x=0, y=0, width=1, height=1, fill="#ffffff", fill_opacity=0)],
        "sun": [tag("circle", cx=128, cy=122, r=112, fill_opacity=0.5, **white)],
        "stripes": [tag("g", *stripes)],
        "dots": [tag("g", *dots)],
    }


# --- the style ------------------------------------------------------------------------------------------------------
def variants(drawings: dict[str, list[dict]], **weights: float) -> dict:
    return {
        name: {"elements": elements} | ({"weight": weights[name]} if name in weights else {})
        for name, elements in drawings.items()
    }


def part(
    drawings: dict[str, list[dict]], probability: float | None = None, **weights: float
) -> dict:
    made = {"width": SIZE, "height": SIZE, "variants": variants(drawings, **weights)}
    return made if probability is None else made | {"probability": probability}


def style() -> dict:
    fringes = {name: fringe(name, points, **options) for name, (points, options) in FRINGES.items()}
    locks = {
        name: mirrored(tail(f"lock-{name}", d, strand)) for name, (d, strand) in SIDELOCKS.items()
    }
    ear = [
        shape("cat-ear", CAT_EAR, color("hair"), shade(CAT_EAR, 0.06)),
        path(CAT_EAR_INSIDE, fill="#ff9fb2"),
        shade(CAT_EAR_INSIDE, 0.10),
    ]
    bow = shape(
        "bow", BOW, color("ribbon"),
        shade("M190,58 Q178,52 160,46 L164,70 Q176,68 190,62 Q204,68 218,68 L222,44 Q204,50 190,58 Z", 0.16),
        tag("circle", cx=190, cy=60, r=9, fill=INK, fill_opacity=0.25),
    )  # fmt: skip
    components = {
        "backdrop": part(backdrops(), plain=3, sun=2),
        "backHair": part(back_hairs()),
        "clothes": part(clothes()),
        "blush": part({"yes": mirrored(*CHEEK)}, 40),
        "mouth": part(MOUTHS),
        "brows": part(
            {name: mirrored(line(d, 4.6, opacity=0.78)) for name, d in BROWS.items()}, neutral=2
        ),
        "eyes": part(eyes(), round=3, sharp=2, droopy=2, sleepy=1, closed=1, wink=1),
        "glasses": part(GLASSES, 18),
        "sidelocks": part(locks, 45),
        "fringe": part(fringes),
        "catEars": part({"yes": mirrored(*ear)}, 15),
        "bow": part({"yes": [bow]}, 22),
    }
    elements = [
        gradient(
            "hair-depth",
            (0, "#ffffff", 0.12),
            (0.45, "#ffffff", 0.0),
            (0.5, INK, 0.0),
            (1, INK, 0.26),
        ),
        gradient(
            "iris-depth",
            (0, INK, 0.62),
            (0.5, INK, 0.12),
            (0.62, "#ffffff", 0.0),
            (1, "#ffffff", 0.5),
        ),
        component("backdrop"),
        component("backHair"),
        component("clothes"),
        *face(),
        component("blush"),
        line("M126,172 Q131,173 130,176", 3.2, "#8c2f3c", 0.75),  # nose
        component("mouth"),
        component("sidelocks"),
        component("catEars"),
        component("fringe"),
        component("brows"),
        component("eyes"),
        component("glasses"),
        component("bow"),
    ]
    return {
        "$schema": "https://www.dicebear.com/schema/definition.json",
        "meta": {
            "license": {
                "name": "CC0 1.0",
                "url": "https://creativecommons.org/publicdomain/zero/1.0/",
            },
            "creator": {"name": "The AI painting course"},
        },
        "canvas": {"width": SIZE, "height": SIZE, "elements": elements},
        "components": components,
        "colors": {
            name: {"values": [c for c, _, _ in entries.values()]}
            for name, entries in PALETTES.items()
        },
    }


# --- the words ------------------------------------------------------------------------------------------------------
def colour_words(palette: str) -> dict:
    return {
        name: {"key": key, "en": en, "zh": zh} for name, (key, en, zh) in PALETTES[palette].items()
    }


def variant_words(**words: tuple[list[str], list[str]]) -> dict:
    return {name: {"key": name, "en": en, "zh": zh} for name, (en, zh) in words.items()}


def present_or_not(en: list[str], zh: list[str]) -> dict:
    return {"yes": {"key": "yes", "en": en, "zh": zh}, "no": {"key": None, "en": [], "zh": []}}


def words() -> dict:
    """What each choice of the style is called. `key` is the style's own value: a colour, or a variant's name."""
    attributes = {
        "hair_color": {"source": {"color": "hair"}, "values": colour_words("hair")},
        "eye_color": {
            "source": {"color": "eye"}, "values": colour_words("eye"), "hidden_when": {"eye_shape": ["closed"]},
        },
        "back_hair": {
            "source": {"component": "backHair"},
            "values": variant_words(
                short=(["short {} hair"], ["{}短发"]),
                bob=(["a {} bob"], ["{}波波头"]),
                long=(["long {} hair", "long straight {} hair"], ["{}长发", "{}长直发"]),
                wavy=(["wavy {} hair", "long wavy {} hair"], ["{}卷发", "{}长卷发"]),
                twintails=(["{} twintails", "{} pigtails"], ["{}双马尾"]),
                ponytail=(["a {} ponytail", "a {} side ponytail"], ["{}马尾", "{}侧马尾"]),
                braids=(["{} braids", "two {} braids"], ["{}麻花辫"]),
                buns=(["{} hair buns", "two {} hair buns"], ["{}丸子头"]),
            ),
        },
        "fringe": {
            "source": {"component": "fringe"},
            "values": variant_words(
                blunt=(["straight bangs", "a blunt fringe"], ["齐刘海"]),
                swept=(["side-swept bangs", "a side-swept fringe"], ["斜刘海"]),
                parted=(["parted bangs", "a centre parting"], ["中分刘海"]),
                spiky=(["spiky bangs", "a spiky fringe"], ["尖尖的刘海"]),
                between=(["a lock of hair between the eyes"], ["眉间一缕刘海"]),
                wispy=(["wispy bangs", "a stray lock on top"], ["碎刘海", "头顶一根呆毛"]),
            ),
        },
        "eye_shape": {
            "source": {"component": "eyes"},
            "values": variant_words(
                round=(["round {} eyes", "big round {} eyes"], ["圆圆的{}眼睛", "又大又圆的{}眼睛"]),
                sharp=(["sharp {} eyes", "upturned {} eyes"], ["上挑的{}眼睛"]),
                droopy=(["droopy {} eyes"], ["下垂的{}眼睛"]),
                sleepy=(["sleepy {} eyes", "half-closed {} eyes"], ["困倦的{}眼睛", "半闭的{}眼睛"]),
                closed=(["closed eyes"], ["闭着眼睛", "闭着双眼"]),
                wink=(["winking"], ["眨着一只眼", "闭着一只眼"]),
            ),
        },
        "mouth": {
            "source": {"component": "mouth"},
            "values": variant_words(
                smile=(["smiling", "with a smile"], ["微笑"]),
                open=(["laughing", "with an open mouth"], ["大笑", "张着嘴笑"]),
                flat=(["expressionless", "with a straight face"], ["面无表情"]),
                frown=(["frowning", "looking sad"], ["撇着嘴", "闷闷不乐"]),
                cat=(["with a cat smile"], ["带着猫咪般的微笑"]),
                surprised=(["surprised", "looking surprised"], ["一脸惊讶"]),
            ),
        },
        "skin": {"source": {"color": "skin"}, "values": colour_words("skin")},
        "glasses": {
            "source": {"component": "glasses"},
            "values": variant_words(
                round=(["round glasses"], ["圆框眼镜"]),
                square=(["red square glasses", "square glasses"], ["红色方框眼镜", "方框眼镜"]),
            ) | {"no": {"key": None, "en": [], "zh": []}},
        },
        "ribbon": {
            "source": {"component": "bow"}, "values": present_or_not(["a {} ribbon", "a {} bow"], ["{}蝴蝶结"]),
        },
        "ribbon_color": {
            "source": {"color": "ribbon"}, "values": colour_words("ribbon"), "hidden_when": {"ribbon": ["no"]},
        },
        "cat_ears": {"source": {"component": "catEars"}, "values": present_or_not(["cat ears"], ["猫耳"])},
        "blush": {"source": {"component": "blush"}, "values": present_or_not(["blushing"], ["脸红"])},
        "clothes": {
            "source": {"component": "clothes"},
            "values": variant_words(
                sailor=(["a sailor uniform"], ["水手服"]),
                hoodie=(["a {} hoodie"], ["{}连帽衫"]),
                shirt=(["a white shirt with a tie", "a shirt with a tie"], ["系领带的白衬衫", "系领带的衬衫"]),
                sweater=(["a {} sweater", "a {} turtleneck"], ["{}毛衣", "{}高领毛衣"]),
            ),
        },
        "clothes_color": {
            "source": {"color": "clothes"}, "values": colour_words("clothes"),
            "hidden_when": {"clothes": ["sailor", "shirt"]},
        },
        "background": {"source": {"color": "background"}, "values": colour_words("background")},
    }  # fmt: skip
    # Options that DiceBear draws from for each face; percentages of the canvas for the shifts, degrees for the tilt.
    options = {
        "scale": [0.95, 1.06],
        "rotate": [-6, 6],
        "translateX": [-3, 3],
        "translateY": [-2, 3],
    }
    return {"options": options, "attributes": attributes}


def write(name: str, content: dict) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write("anime-face.json", style())
    write("anime-face-words.json", words())
