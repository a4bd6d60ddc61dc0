"""How fast training is: the whole loop over the bare network, the loader alone, heads by their number of classes.

    python benchmarks/training.py --pack PACK [--backbone mobilefacenet] [--batch 64] [--rounds 5] [--device cpu]
    python benchmarks/training.py --heads-only [--classes 10000 100000 1000000]

Without `--pack` a pack of made images is used: what is in them does not change the time. Rounds of the bare network
(forward and backward on one batch in memory, no loss, no optimizer) and of the whole loop (loader, augmentation, head,
optimizer, log) take turns, and medians are compared. Targets: loop over bare >= 0.9, loader over bare >= 3. The exit
code is 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LOOP_TARGET, LOADER_TARGET = 0.9, 3.0
_HEAD = "--one-head"


def main() -> int:
    """Run what was asked for; 0 if every target is met."""
    parser = argparse.ArgumentParser(description="how fast training is")
    parser.add_argument("--pack", type=Path, help="a pack of aligned images; made ones by default")
    parser.add_argument("--backbone", default="mobilefacenet")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="of each round")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--heads-only", action="store_true")
    parser.add_argument("--no-heads", action="store_true")
    parser.add_argument("--classes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(_HEAD, nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_head:
        classes, rate, batch, device = options.one_head
        print(json.dumps(one_head(int(classes), float(rate), int(batch), device)))
        return 0
    met = True
    if not options.heads_only:
        met = loop(options)
    if not options.no_heads:
        heads(options)
    return 0 if met else 1


def loop(options: argparse.Namespace) -> bool:
    """Bare network, whole loop and loader in turns; whether both targets are met."""
    with tempfile.TemporaryDirectory() as folder:
        pack = made_pack(Path(folder) / "pack") if options.pack is None else options.pack
        bare, whole, waits, loaders = [], [], [], []
        for number in range(options.rounds):
            bare.append(bare_pace(options))
            pace, wait = loop_pace(options, pack, Path(folder) / f"run-{number}")
            whole.append(pace)
            waits.append(wait)
            loaders.append(loader_pace(options, pack))
    medians = [statistics.median(values) for values in (bare, whole, loaders)]
    ratios = [medians[1] / medians[0], medians[2] / medians[0]]
    rounds = [here / alone for here, alone in zip(whole, bare, strict=True)]
    what = f"{options.backbone}, batch {options.batch}, {options.device}, {options.precision}"
    print(f"{what}: medians of {options.rounds} rounds of {options.steps} steps, images/s")
    print(f"  bare forward and backward   {medians[0]:9.1f}")
    print(
        f"  whole loop                  {medians[1]:9.1f}   {ratios[0]:.2f} of bare (rounds {min(rounds):.2f} to "
        f"{max(rounds):.2f}; target {LOOP_TARGET}), waiting for images {statistics.median(waits):.1%}"
    )
    print(f"  loader alone                {medians[2]:9.1f}   {ratios[1]:.1f} times bare (target {LOADER_TARGET:g})")
    return ratios[0] >= LOOP_TARGET and ratios[1] >= LOADER_TARGET


def bare_pace(options: argparse.Namespace) -> float:
    """Images a second of forward and backward on one batch in memory."""
    import torch

    from mien.training.backbones import build_backbone
    from mien.training.learner import channels_last

    torch.manual_seed(0)
    device = torch.device(options.device)
    backbone = build_backbone(options.backbone, dimension=512).to(device).train()
    # As the recipe lays its tensors out: the bare network gets what is best, too.
    channels_last(backbone)
    images = torch.randn(options.batch, 3, backbone.size, backbone.size, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.precision)

    def step() -> None:
        with torch.autocast(device.type, dtype=kind, enabled=kind is not None):
            features = backbone(images)
        features.float().square().sum().backward()

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    step()
    finish()
    begun = time.perf_counter()
    for _ in range(options.steps):
        step()
    finish()
    return float(options.steps * options.batch / (time.perf_counter() - begun))


def loop_pace(options: argparse.Namespace, pack: Path, run: Path) -> tuple[float, float]:
    """Images a second of the recipe, and the share of time it waits for images, from its own log."""
    from mien.training.logs import read_log
    from mien.training.recipe import train
    from mien.training.settings_files import settings_from

    steps = options.steps + 2
    tables: dict[str, Any] = {
        "log_every": 1,
        "device": options.device,
        "precision": options.precision,
        "data": {"packs": [str(pack)], "batch": options.batch, "workers": options.workers},
        "length": {"steps": steps},
        "backbone": {"name": options.backbone},
        "checkpoints": {"every": 1_000_000},
    }
    train(settings_from(tables), run)
    lines = [line for line in read_log(run) if line["kind"] == "step"][2:]
    seconds = sum(options.batch / line["images_per_second"] for line in lines)
    waited = sum(line["data_wait"] * options.batch / line["images_per_second"] for line in lines)
    return len(lines) * options.batch / seconds, waited / seconds


def loader_pace(options: argparse.Namespace, pack: Path) -> float:
    """Images a second of the loader with augmentation, when nobody else computes."""
    from mien.training.augmentation import Augmentation, AugmentationSettings
    from mien.training.data.index import read_index
    from mien.training.data.loader import Loader

    loader = Loader(
        [read_index(pack)],
        batch=options.batch,
        augmentation=Augmentation(AugmentationSettings()),
        workers=options.workers,
    )
    batches = loader.batches()
    for _ in range(4):
        next(batches)
    count = max(8, 1500 // options.batch)
    begun = time.perf_counter()
    for _ in range(count):
        next(batches)
    seconds = time.perf_counter() - begun
    loader.close()
    return float(count * options.batch / seconds)


def heads(options: argparse.Namespace) -> None:
    """Time of a step and memory of the full and the sampled head, each in a process of its own."""
    print(f"ArcFace head, 512-d, batch {options.batch}, {options.device}: forward, backward and SGD step")
    print(f"  {'classes':>9}  {'sampled':>8}  {'ms a step':>10}  {'memory MB':>10}  {'bytes a class':>13}")
    for classes in options.classes:
        for rate in (1.0, 0.1):
            command = [sys.executable, __file__, _HEAD, str(classes), str(rate), str(options.batch), options.device]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                last = done.stderr.strip().splitlines()[-1:] or ["no message"]
                print(f"  {classes:>9}  {rate:>8}  failed: {last[0]}")
                continue
            found = json.loads(done.stdout)
            each = found["bytes"] / classes
            print(
                f"  {classes:>9}  {rate:>8}  {found['milliseconds']:>10.1f}  "
                f"{found['bytes'] / 1e6:>10.0f}  {each:>13.0f}"
            )


def one_head(classes: int, rate: float, batch: int, device_name: str) -> dict[str, float]:
    """The median time of a step, and the most memory that the head took, in this process."""
    import resource

    import torch

    from mien.training.losses import ArcFaceSettings, make_objective
    from mien.training.ranks import join

    ranks = join("cuda" if device_name == "cuda" else "cpu")
    torch.manual_seed(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    head = make_objective(ArcFaceSettings(), classes=classes, dimension=512, ranks=ranks, sample_rate=rate).to(
        ranks.device
    )
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    head.attach(optimizer)
    features = torch.randn(batch, 512, device=ranks.device)
    random = np.random.default_rng(0)
    times = []
    for _ in range(6):
        labels = torch.from_numpy(random.integers(0, classes, batch)).to(ranks.device)
        own = features.clone().requires_grad_()
        begun = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        head(own, labels).loss.backward()
        optimizer.step()
        if ranks.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    if ranks.device.type == "cuda":
        used = float(torch.cuda.max_memory_allocated())
    else:
        used = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)
    return {"milliseconds": 1000 * statistics.median(times[1:]), "bytes": used}


def made_pack(folder: Path) -> Path:
    """A pack of 2,000 made images of 100 people."""
    import cv2

    from mien.training.data.packing import pack_images

    random = np.random.default_rng(0)
    source = folder.with_name("images")
    for person in range(100):
        (source / f"{person:03d}").mkdir(parents=True)
        for number in range(20):
            coarse = random.integers(0, 255, (14, 14, 3), np.uint8)
            cv2.imwrite(str(source / f"{person:03d}" / f"{number}.jpg"), cv2.resize(coarse, (112, 112)))
    pack_images(source, folder, aligned=112)
    return folder


if __name__ == "__main__":
    sys.exit(main())
