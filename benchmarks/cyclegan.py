"""CycleGANs on exact pairs that they never saw, beside a bound that did learn from pairs.

    python benchmarks/cyclegan.py train --run runs/cyclegan     # every preset, three seeds
    python benchmarks/cyclegan.py table --run runs/cyclegan     # errors, attributes, noise
    python benchmarks/cyclegan.py picture --run runs/cyclegan   # what each loss is for
    python benchmarks/cyclegan.py export --run runs/cyclegan    # keep seed 0's weights

The seed decides the first weights and the order of the pictures. Every training sees as many
pictures and gets one thread. What is done is not done again; an interrupted training goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from course_lib import cyclegan, faces, pixels, pretrained
from course_lib.files import atomic

KEPT = [name for name, preset in cyclegan.PRESETS.items() if preset.weights]
NOISES = (0, 1, 2, 4, 8, 16)  # levels of 255, on the middle picture


def folder_of(options: argparse.Namespace, preset: str, seed: int) -> Path:
    return options.run / f"{preset}-{seed}"


def train_one(options: argparse.Namespace, preset: str, seed: int) -> None:
    """One pair of generators, unless it is there; its weights and what they took stay there."""
    folder, known = folder_of(options, preset, seed), cyclegan.PRESETS[preset]
    if (folder / "took.json").exists():
        return
    recipe = known.recipe
    if options.through is not None:
        recipe = replace(recipe, through=options.through)
    plan = cyclegan.build(
        faces.load("train"), recipe, seed=seed, precision=options.precision, **known.sizes
    )
    images = options.images or known.images
    history = plan.fit(images, folder=folder, save_every=500, pictures_every=10**9)
    if history.stopped:
        raise SystemExit(f"{folder.name}: {history.stopped}; run it again, it goes on")
    with atomic(folder / "translators.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in plan.result().state_dict().items()}, temporary)
    took = plan.took(history)
    with atomic(folder / "took.json") as temporary:
        temporary.write_text(json.dumps(took))
    print(f"{folder.name}: {took['images']:,} in {took['minutes']:.1f} minutes", flush=True)


def trained(options: argparse.Namespace, preset: str, seed: int) -> cyclegan.Translators:
    network = cyclegan.Translators(**cyclegan.PRESETS[preset].sizes)
    network.load_state_dict(load_file(folder_of(options, preset, seed) / "translators.safetensors"))
    return network.eval()


def seeds_of(options: argparse.Namespace, preset: str) -> list[int]:
    """The seeds of which the training is finished."""
    return [
        one for one in options.seeds if (folder_of(options, preset, one) / "took.json").exists()
    ]


def cells(found: list[dict[str, float]]) -> list[str]:
    """Of each number the median, and where there are several the lowest and the highest."""
    text = []
    for name in found[0]:
        values = [one[name] for one in found]
        percent = name in ("hair", "kept", "edge", "way")
        low, middle, high = (
            f"{value:.1%}" if percent else f"{value:.2f}"
            for value in (min(values), statistics.median(values), max(values))
        )
        text.append(middle if len(values) == 1 else f"{middle} ({low}–{high})")
    return text


def table(options: argparse.Namespace) -> None:
    """For each task: copying, the bound, and every training, by how far it has come."""
    for domains in (cyclegan.AQUA_PURPLE, cyclegan.BLACK_BLONDE, cyclegan.COLOURS_BLACK):
        pairs = cyclegan.exact_pairs(options.pairs, domains)
        presets = [p for p in options.presets if cyclegan.PRESETS[p].recipe.domains == domains]
        copying = cyclegan.measure(None, pairs, domains)
        found = {
            preset: [
                cyclegan.measure(trained(options, preset, seed), pairs, domains)
                for seed in seeds_of(options, preset)
            ]
            for preset in presets
        }
        print(f"\n{' ↔ '.join(domains)}, {len(pairs)} pairs, both ways\n")
        print("| training | runs | " + " | ".join([*copying, "way", "outside / bound"]) + " |")
        print("|---" * (4 + len(copying)) + "|")
        print(f"| copying | | {' | '.join(cells([copying]))} | | |")
        for preset, rows in found.items():
            if rows:
                bounds = found.get(bound_of(preset))
                rows = [row | beside(row, copying, bounds) for row in rows]
                print(f"| {preset} | {len(rows)} | {' | '.join(cells(rows))} |")


def bound_of(preset: str) -> str:
    """The preset that learns the same task, with the same networks and as long, from pairs."""
    if preset.endswith("-paired") or preset in ("soft", "aqua-purple"):
        return preset.removesuffix("-paired") + "-paired"
    return "black-blonde-paired"


def beside(row: dict, copying: dict, bounds: list[dict] | None) -> dict[str, float]:
    """The part of the way from copying to the median bound inside, and the ratio outside."""
    if not bounds:
        return {}
    inside, outside = (statistics.median(one[k] for one in bounds) for k in ("inside", "outside"))
    return {
        "way": cyclegan.way(copying["inside"], row["inside"], inside),
        "outside / bound": row["outside"] / outside,
    }


def noise(options: argparse.Namespace) -> None:
    """How far from the originals the way back leads, by noise on the middle pictures."""
    print("\nThe way back: error in levels, and hair that has its own colour again\n")
    print("| noise on the middle picture, levels | " + " | ".join(map(str, NOISES)) + " |")
    print("|---" * (1 + len(NOISES)) + "|")
    for preset in ("aqua-purple", "black-blonde", "colours-black"):
        for seed in seeds_of(options, preset):
            domains = cyclegan.PRESETS[preset].recipe.domains
            pairs = cyclegan.exact_pairs(options.pairs, domains)
            both, originals = trained(options, preset, seed), pairs.first.tensor()
            colours = [face["hair_color"] for face in pairs.first.attributes]
            own = cyclegan.translate(both.there, originals)
            for name, middles in (("its own", own), ("the exact one", pairs.second.tensor())):
                ways = cyclegan.ways_back(both.back, middles, originals, NOISES)
                shares = cyclegan.remembered(both.back, middles, colours, NOISES)
                cells_ = [f"{a:.1f}, {b:.0%}" for a, b in zip(ways, shares, strict=True)]
                print(f"| {preset}, seed {seed}: {name} | {' | '.join(cells_)} |")


def picture(options: argparse.Namespace) -> None:
    """Black hair to blonde by each training of seed 0, under the faces and above the truth."""
    pairs = cyclegan.exact_pairs(8, cyclegan.BLACK_BLONDE)
    rows = [pairs.first.tensor()]
    for preset in options.presets:
        if cyclegan.PRESETS[preset].recipe.domains == cyclegan.BLACK_BLONDE:
            rows.append(cyclegan.translate(trained(options, preset, 0).there, rows[0]))
    rows.append(pairs.second.tensor())
    grid = pixels.image_grid(torch.cat(rows), columns=8).repeat(2, 0).repeat(2, 1)
    options.figures.mkdir(parents=True, exist_ok=True)
    with atomic(options.figures / "cyclegan.png") as temporary:
        pixels.in_few_colours(Image.fromarray(grid)).save(temporary, format="PNG", optimize=True)


def export(options: argparse.Namespace) -> None:
    """Seed 0's weights into the course's own, 16 bits a number."""
    for preset in options.presets:
        took = json.loads((folder_of(options, preset, 0) / "took.json").read_text())
        took["command"] = (
            f"course train cyclegan --preset {preset} --precision {took['precision']} "
            "--threads 1 --export"
        )
        network = trained(options, preset, 0)
        width = network.there.blocks[0].first.in_channels
        config = {"width": width} | dict(cyclegan.PRESETS[preset].sizes)
        name = cyclegan.PRESETS[preset].weights
        print(pretrained.save(name, network, config=config, training=took))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("train", "table", "picture", "export"))
    parser.add_argument("--run", type=Path, default=Path("runs/cyclegan"))
    parser.add_argument("--presets", nargs="+", choices=KEPT, default=KEPT)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, help="of each domain; default: the preset's")
    parser.add_argument("--through", type=float, help="another than the preset's; see cycle_step")
    parser.add_argument("--pairs", type=int, default=600, help="for the table")
    parser.add_argument("--precision", default="no", help="no, or bf16 where that is faster")
    parser.add_argument("--figures", type=Path, default=Path("benchmarks/figures"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.task == "table":
        table(options)
        noise(options)
    elif options.task != "train":
        {"picture": picture, "export": export}[options.task](options)
    else:
        for seed in options.seeds:
            for preset in options.presets:
                train_one(options, preset, seed)


if __name__ == "__main__":
    main()
