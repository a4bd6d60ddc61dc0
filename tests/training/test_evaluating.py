from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from made_packs import made_pack, recipe_text

from made_faces import pairs_table
from mien.errors import BadInput, BadSettings
from mien.evaluation.protocols import read_pairs
from mien.training.backbones import build_backbone
from mien.training.evaluating import Watched, evaluate_backbone, protocol_figures
from mien.training.logs import read_log
from mien.training.recipe import train
from mien.training.runs import read_run
from mien.training.settings_files import read_settings

LFW = Path(os.environ.get("MIEN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "lfw"


def test_figures_of_known_scores(tmp_path: Path) -> None:
    protocol = read_pairs(pairs_table(tmp_path, people=4))
    people = protocol.identities
    vectors = np.eye(len(np.unique(people)), dtype=np.float32)[people]
    found = np.ones(len(people), np.bool_)
    perfect = protocol_figures(protocol, vectors, found)
    assert perfect["accuracy"] == 1
    assert perfect["eer"] == 0
    assert perfect["auc"] == 1
    assert perfect["not_acquired"] == 0
    # One sample of person 0 is missing: its mated pair, one of two in its fold, is decided wrongly.
    found[0] = False
    missing = protocol_figures(protocol, vectors, found)
    assert missing["not_acquired"] == pytest.approx(1 / len(people))
    assert missing["accuracy"] < 1
    assert missing["eer"] == 0


def test_other_weights_are_evaluated_and_the_networks_own_come_back(tmp_path: Path) -> None:
    protocol = read_pairs(pairs_table(tmp_path, people=4))
    chips = np.random.default_rng(0).integers(0, 255, (len(protocol.samples), 112, 112, 3), np.uint8)
    watched = [Watched("made", protocol, chips, np.ones(len(chips), np.bool_))]
    backbone = build_backbone("mobilefacenet", dimension=8).train()
    own = {name: value.clone() for name, value in backbone.state_dict().items()}
    other = build_backbone("mobilefacenet", dimension=8).state_dict()
    device = torch.device("cpu")
    first = evaluate_backbone(backbone, other, watched, device)
    assert first == evaluate_backbone(backbone, other, watched, device)
    assert first != evaluate_backbone(backbone, own, watched, device)
    assert backbone.training
    assert all(torch.equal(value, own[name]) for name, value in backbone.state_dict().items())


def test_a_set_that_cannot_be_read_stops_the_run_before_its_first_step(tmp_path: Path) -> None:
    pack = made_pack(tmp_path / "pack")
    file = tmp_path / "recipe.toml"
    for path, kind, error in (("none", "lfw", BadInput), ("pack", "ijb", BadSettings)):
        protocols = f'[[evaluation.protocols]]\npath = "{path}"\nkind = "{kind}"\n'
        file.write_text(recipe_text(pack) + protocols, encoding="utf-8")
        with pytest.raises(error):
            train(read_settings(file), tmp_path / f"run-{path}")
        assert read_log(tmp_path / f"run-{path}") == []


@pytest.mark.data
@pytest.mark.skipif(not LFW.is_dir(), reason="needs the measuring data's LFW")
def test_a_run_is_evaluated_keeps_its_best_weights_and_stops_without_better_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    several = [person for person in sorted((LFW / "images").iterdir()) if len(list(person.iterdir())) > 1][:6]
    first = [sorted(person.iterdir())[:2] for person in several]
    with (tmp_path / "pairs.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["a", "b", "same", "fold"])
        table.writerows([a, b, 1, k % 2] for k, (a, b) in enumerate(first))
        table.writerows([first[k][0], first[k - 1][1], 0, k % 2] for k in range(len(first)))
    pack = made_pack(tmp_path / "pack")
    file = tmp_path / "recipe.toml"
    # A rate of nearly nothing: no evaluation is better than the first one.
    text = recipe_text(pack, 8, optimizer="rate = 1e-12", evaluation="every = 1\npatience = 2")
    file.write_text(f'{text}[[evaluation.protocols]]\npath = "pairs.csv"\nkind = "csv"\n', encoding="utf-8")
    result = train(read_settings(file), tmp_path / "run")
    assert (result.reason, result.steps) == ("patience", 3)
    assert result.best["step"] == 1
    figures = result.evaluation["pairs-csv"]
    assert 0 <= figures["accuracy"] <= 1
    assert figures["not_acquired"] == 0
    lines = [line for line in read_log(tmp_path / "run") if line["kind"] == "evaluation"]
    assert [line["step"] for line in lines] == [1, 2, 3]
    best = read_run(tmp_path / "run")
    assert best.step == 1
    assert best.figures["pairs-csv"]["accuracy"] == result.best["accuracy"]
    assert len(list((tmp_path / "cache" / "chips").iterdir())) == 1
    again = train(read_settings(file, ["evaluation.patience=3"]), tmp_path / "run", resume=True)
    assert again.steps == 4
    assert again.best == {**result.best, "since": 3}
