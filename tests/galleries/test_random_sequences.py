"""Long random sequences of calls against a dictionary, with two handles on one file and reopening."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from mien.errors import IdentityExists, IdentityNotFound, SpaceMismatch, TemplateNotFound
from mien.galleries import Gallery, SqlGallery, open_gallery
from mien.matching import paired_scores
from mien.types import Templates

NAMES = st.sampled_from(["Ada", "Bob", "Cleo", "Dora", "Zoë"])
SEEDS = st.integers(0, 12)
TAGS = st.sets(st.sampled_from(["staff", "guest", "Zoë's"]))


def faces(seed: int, count: int = 1) -> Templates:
    raw = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    return Templates.normalized(raw, "test@1")


class GalleryMachine(RuleBasedStateMachine):
    """Every handle must at all times agree with a dictionary of template id to name and vector."""

    lasting = False

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.handles: list[Gallery] = []
        self.model: dict[int, tuple[str, Templates]] = {}
        self.tags: dict[str, set[str]] = {}
        self.used: set[int] = set()

    def open(self) -> Gallery:
        return open_gallery(f"sqlite:///{self.folder / 'people.db'}" if self.lasting else "memory:")

    @initialize()
    def start(self) -> None:
        self.handles = [self.open()]
        if self.lasting:
            self.handles.append(self.open())

    def teardown(self) -> None:
        for handle in self.handles:
            handle.close()
        shutil.rmtree(self.folder)

    def record(self, name: str, templates: Templates, ids: list[int]) -> None:
        assert not self.used & set(ids)
        self.used |= set(ids)
        self.model.update({id_: (name, templates[i]) for i, id_ in enumerate(ids)})

    def drop(self, ids: list[int]) -> None:
        for id_ in ids:
            name, _ = self.model.pop(id_)
            if all(owner != name for owner, _ in self.model.values()):
                self.tags.pop(name, None)

    @rule(which=st.integers(0, 1), name=NAMES, seed=SEEDS, count=st.integers(0, 3), tags=TAGS)
    def add(self, which: int, name: str, seed: int, count: int, tags: set[str]) -> None:
        templates = faces(seed, count)
        enrolled = self.handles[which % len(self.handles)].add(name, templates, tags=tags)
        assert [e.identity for e in enrolled] == [name] * count
        self.record(name, templates, [e.template_id for e in enrolled])
        if count:
            self.tags.setdefault(name, set()).update(tags)

    @rule(which=st.integers(0, 1), name=NAMES, tags=TAGS)
    def set_tags(self, which: int, name: str, tags: set[str]) -> None:
        handle = self.handles[which % len(self.handles)]
        if any(owner == name for owner, _ in self.model.values()):
            handle.set_tags(name, tags)
            self.tags[name] = set(tags)
        else:
            with pytest.raises(IdentityNotFound):
                handle.set_tags(name, tags)

    @rule(which=st.integers(0, 1), items=st.lists(st.tuples(NAMES, SEEDS), max_size=6))
    def add_many(self, which: int, items: list[tuple[str, int]]) -> None:
        handle = self.handles[which % len(self.handles)]
        enrolled = handle.add_many([(name, faces(seed)) for name, seed in items])
        for (name, seed), enrollment in zip(items, enrolled, strict=True):
            assert enrollment.identity == name
            self.record(name, faces(seed), [enrollment.template_id])

    @precondition(lambda self: self.used)
    @rule(which=st.integers(0, 1))
    def add_to_another_space(self, which: int) -> None:
        with pytest.raises(SpaceMismatch):
            self.handles[which % len(self.handles)].add("Ada", Templates(faces(1).vectors, "other@1"))

    @rule(which=st.integers(0, 1), name=NAMES)
    def remove_identity(self, which: int, name: str) -> None:
        handle = self.handles[which % len(self.handles)]
        ids = [id_ for id_, (owner, _) in self.model.items() if owner == name]
        if ids:
            assert handle.remove_identity(name) == len(ids)
        else:
            with pytest.raises(IdentityNotFound):
                handle.remove_identity(name)
        self.drop(ids)

    @rule(which=st.integers(0, 1), name=NAMES, new=NAMES, merge=st.booleans())
    def rename(self, which: int, name: str, new: str, merge: bool) -> None:
        handle = self.handles[which % len(self.handles)]
        owners = [owner for owner, _ in self.model.values()]
        if name not in owners:
            with pytest.raises(IdentityNotFound):
                handle.rename(name, new, merge=merge)
        elif new != name and new in owners and not merge:
            with pytest.raises(IdentityExists):
                handle.rename(name, new)
        else:
            count = owners.count(name) + (owners.count(new) if new != name else 0)
            assert handle.rename(name, new, merge=merge) == count
            self.model = {id_: (new if owner == name else owner, face) for id_, (owner, face) in self.model.items()}
            self.tags[new] = self.tags.pop(name, set()) | self.tags.get(new, set())

    @rule(which=st.integers(0, 1), place=st.integers(-3, 30))
    def remove_template(self, which: int, place: int) -> None:
        # Ids that were given out, in use or not, and a few that never were.
        id_ = sorted(self.used)[place] if 0 <= place < len(self.used) else place
        handle = self.handles[which % len(self.handles)]
        if id_ in self.model:
            handle.remove_template(id_)
            self.drop([id_])
        else:
            with pytest.raises(TemplateNotFound):
                handle.remove_template(id_)

    @precondition(lambda self: self.lasting)
    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.handles[which].close()
        self.handles[which] = self.open()

    @precondition(lambda self: self.lasting)
    @rule(which=st.integers(0, 1), snapshot=st.booleans())
    def compact(self, which: int, snapshot: bool) -> None:
        handle = self.handles[which]
        if isinstance(handle, SqlGallery):
            handle.compact(snapshot=snapshot)
            assert handle.check() == []

    @rule(
        seed=SEEDS,
        top=st.integers(1, 6),
        threshold=st.one_of(st.none(), st.floats(-1, 1)),
        tags=st.one_of(st.none(), TAGS),
        identities=st.one_of(st.none(), st.sets(NAMES)),
    )
    def search(
        self, seed: int, top: int, threshold: float | None, tags: set[str] | None, identities: set[str] | None
    ) -> None:
        probe = faces(seed)
        best: dict[str, tuple[float, int]] = {}
        for id_, (name, template) in sorted(self.model.items()):
            if tags is not None and not tags & self.tags.get(name, set()):
                continue
            if identities is not None and name not in identities:
                continue
            score = float(paired_scores(probe.vectors, template.vectors)[0])
            if (threshold is None or score >= threshold) and (name not in best or score > best[name][0]):
                best[name] = (score, id_)
        expected = sorted(best.items(), key=lambda item: (-item[1][0], item[1][1]))[:top]
        for handle in self.handles:
            (found,) = handle.search(probe, top=top, threshold=threshold, tags=tags, identities=identities)
            assert [(m.identity, (m.score, m.template_id)) for m in found] == expected

    @rule(name=NAMES)
    def list_all(self, name: str) -> None:
        owners = [owner for owner, _ in self.model.values()]
        ids = sorted(id_ for id_, (owner, _) in self.model.items() if owner == name)
        for handle in self.handles:
            assert handle.identities() == sorted((owner, owners.count(owner)) for owner in set(owners))
            assert len(handle) == len(self.model)
            assert handle.count_identities() == len(set(owners))
            assert handle.identities(after=name, limit=2) == [i for i in handle.identities() if i[0] > name][:2]
            if ids:
                assert handle.tags(name) == sorted(self.tags.get(name, ()))
                found, templates = handle.templates(name)
                assert found == ids
                expected = np.concatenate([self.model[id_][1].vectors for id_ in ids])
                assert np.array_equal(templates.vectors, expected)


class SqliteMachine(GalleryMachine):
    lasting = True


class EncryptedMachine(GalleryMachine):
    lasting = True

    def open(self) -> Gallery:
        key = self.folder / "key"
        key.write_text("5c" * 32)
        return open_gallery(f"sqlite:///{self.folder / 'people.db'}?encrypted=yes&key_file={key}&codec=int8&audit=all")


_SETTINGS = settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
TestMemory = GalleryMachine.TestCase
TestMemory.settings = _SETTINGS
TestSqlite = SqliteMachine.TestCase
TestSqlite.settings = _SETTINGS
TestEncrypted = EncryptedMachine.TestCase
TestEncrypted.settings = settings(_SETTINGS, max_examples=12)
