from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_packs import made_pack, recipe_text
from matplotlib.figure import Figure
from matplotlib.text import Text

from mien.errors import BadCheckpoint
from mien.images import load
from mien.training import plots
from mien.training.plots import plot_run
from mien.training.recipe import train
from mien.training.settings_files import read_settings


def test_a_run_is_drawn_from_its_log_and_its_centers(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text(made_pack(tmp_path / "pack"), 2), encoding="utf-8")
    train(read_settings(file), tmp_path / "run")
    made = plot_run(tmp_path / "run")
    assert [picture.name for picture in made] == ["loss.png", "margin.png", "centers.png"]
    assert all(load(picture).std() > 5 for picture in made)


def test_each_data_set_has_a_curve_of_its_own_and_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The legends are looked up in the figures themselves, as they are saved."""
    packs = [
        made_pack(tmp_path / name / "faces", people=3, images=3, seed=k) for k, name in enumerate(("ours", "theirs"))
    ]
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_text(packs[0], 2, loss='name = "magface"'), encoding="utf-8")
    train(read_settings(file, [f'data.packs=["{packs[0]}", "{packs[1]}"]']), tmp_path / "run")
    figures: dict[str, Figure] = {}
    saved = Figure.savefig

    def keep(figure: Figure, path: Path, **more: Any) -> None:
        figures[path.name] = figure
        saved(figure, path, **more)

    monkeypatch.setattr(Figure, "savefig", keep)
    plot_run(tmp_path / "run")
    margin, centers = figures["margin.png"], figures["centers.png"]
    names = ["ours/faces", "theirs/faces"]
    # Both packs' folders are called the same; what tells them apart is the folder above.
    assert [text.get_text() for text in margin.legends[0].get_texts()] == names
    for axis in margin.axes:
        colors = {line.get_label(): line.get_color() for line in axis.get_lines()}
        assert len(set(colors.values())) == 2
        assert set(colors) == set(names)
    told = [text.get_text().partition(":")[0] for text in centers.legends[0].get_texts()]
    assert told == names
    # Nothing that is written lies on something else that is.
    for figure in figures.values():
        figure.draw_without_rendering()
        written = [text for legend in figure.legends for text in legend.get_texts()]
        for axis in figure.axes:
            titles = [child for child in axis.get_children() if isinstance(child, Text)]
            written += [*titles, axis.xaxis.label, axis.yaxis.label]
        places = [text.get_window_extent() for text in written if text.get_text()]
        assert len(places) > 2
        assert not any(one.overlaps(other) for one, other in itertools.combinations(places, 2))


def test_what_is_drawn_over_the_values_is_their_average() -> None:
    averaged = plots._averaged(np.asarray([4.0, 0.0, 0.0]))
    np.testing.assert_allclose(averaged, [4, 4 * 0.9 / 1.9, 4 * 0.81 / 2.71])
    np.testing.assert_allclose(plots._averaged(np.full(50, 3.0)), 3)


def test_a_folder_without_a_run_is_left_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="expected the folder of a run"):
        plot_run(tmp_path)
    assert not list(tmp_path.iterdir())
