"""The client against a real server: the same results and the same errors as the library's."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien
from mien import AsyncClient, Client
from mien.errors import (
    BadImage,
    BadInput,
    Forbidden,
    GalleryExists,
    GalleryNotFound,
    IdentityExists,
    IdentityNotFound,
    MienError,
    NoFace,
    QualityRefused,
    SeveralFaces,
    SpaceMismatch,
    TemplateNotFound,
    TooLarge,
    Unauthorized,
)
from mien.images import load
from mien.images.samples import Samples
from mien.recognizer import Outcome

CLOSE = 1e-5


def pairs(found: list[list[mien.Match]]) -> list[list[tuple[Any, ...]]]:
    return [[(m.identity, m.rank, m.template_id) for m in matches] for matches in found]


@pytest.mark.parametrize("largest", [False, True])
def test_faces_are_the_librarys(client: Client, real: mien.Recognizer, samples: Samples, largest: bool) -> None:
    here, there = real.detect(samples.group, largest=largest), client.detect(samples.group, largest=largest)
    assert len(there) == len(here) == (1 if largest else 6)
    for name, close in (("xyxy", 1e-3), ("landmarks", 1e-3), ("scores", CLOSE)):
        np.testing.assert_allclose(getattr(there, name), getattr(here, name), atol=close)


def test_templates_are_the_librarys(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    here, there = real.analyze(samples.group), client.analyze(samples.group)
    assert there.size_wh == here.size_wh
    assert there.templates.space == here.templates.space
    np.testing.assert_allclose(there.templates.vectors, here.templates.vectors, atol=CLOSE)
    np.testing.assert_allclose(there.faces.landmarks, here.faces.landmarks, atol=1e-3)
    assert there.chips.pixels.shape == (6, 0, 0, 3)


def test_quality_is_the_librarys(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    here, there = real.assess(samples.group), client.assess(samples.group)
    assert there.names == here.names
    np.testing.assert_allclose(there.unified, here.unified, atol=0.051)
    np.testing.assert_allclose(there.measures, here.measures, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(there.components, here.components, atol=0.051)


def test_comparisons_are_the_librarys(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    a, b, other = samples.obama[0], samples.obama[1], samples.biden
    for first, second in ((a, b), (a, other)):
        here, there = real.verify(first, second), client.verify(first, second)
        assert there.score == pytest.approx(here.score, abs=CLOSE)
        assert there.threshold == pytest.approx(here.threshold, abs=CLOSE)
        assert (there.match, there.space) == (here.match, here.space)
        assert there.probability == pytest.approx(here.probability, abs=CLOSE)
    assert client.verify(a, b, threshold=0.99).match is False
    assert client.verify(a, b, fmr=1e-4).threshold == pytest.approx(real.threshold_at(fmr=1e-4), abs=CLOSE)
    x, y = real.analyze(a).templates, real.analyze(other).templates
    assert client.compare(x, y).score == pytest.approx(real.compare(x, y).score, abs=CLOSE)
    group = real.analyze(samples.group).templates
    np.testing.assert_allclose(client.scores(x, group), x.vectors @ group.vectors.T, atol=CLOSE)


def test_images_may_be_given_in_every_way(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    path = samples.obama[0]
    pixels = load(path)
    expected = real.detect(path).xyxy
    with Image.open(path) as picture:
        sources: list[Any] = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), pixels, picture]
        for source in sources:
            np.testing.assert_allclose(client.detect(source).xyxy, expected, atol=1.0)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    np.testing.assert_allclose(client.detect(bgr, color="bgr").xyxy, real.detect(pixels).xyxy, atol=1e-3)


def test_people_are_enrolled_found_and_removed(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    first = client.enroll("default", "Barack Obama", samples.obama[0], tags=("politics",))
    client.enroll("default", "Joe Biden", samples.biden)
    people = client.gallery()
    assert (len(people), people.count_identities(), people.space) == (2, 2, real.space)
    with mien.open_gallery("memory:") as own:
        real.enroll(own, "Barack Obama", samples.obama[0], tags=("politics",))
        real.enroll(own, "Joe Biden", samples.biden)
        for options in ({}, {"top": 2, "threshold": -1.0}, {"top": 2, "threshold": -1.0, "tags": ["politics"]}):
            here = real.identify(own, samples.obama[1], **options)
            there = client.identify("default", samples.obama[1], **options)
            assert pairs(there) == pairs(here)
            for ours, theirs in zip(here[0], there[0], strict=True):
                assert theirs.score == pytest.approx(ours.score, abs=CLOSE)
                assert theirs.probability == pytest.approx(ours.probability, rel=1e-4)
        assert people.identities() == own.identities()
        ids, templates = people.templates("Barack Obama")
        assert ids == [first.template_id] == people.template_ids("Barack Obama")
        np.testing.assert_allclose(templates.vectors, own.templates("Barack Obama")[1].vectors, atol=CLOSE)
        found = client.search("default", templates, top=1)
        assert found[0][0].score == pytest.approx(1, abs=CLOSE)
    assert people.tags("Barack Obama") == ["politics"]
    people.set_tags("Barack Obama", ["x", "y"])
    assert people.tags("Barack Obama") == ["x", "y"]
    assert people.rename("Barack Obama", "B. O.") == 1
    with pytest.raises(IdentityExists):
        people.rename("B. O.", "Joe Biden")
    assert people.rename("B. O.", "Joe Biden", merge=True) == 2
    people.remove_template(first.template_id)
    with pytest.raises(TemplateNotFound):
        people.remove_template(first.template_id)
    assert people.remove_identity("Joe Biden") == 1
    with pytest.raises(IdentityNotFound):
        people.remove_identity("Joe Biden")
    assert people.identities() == []


def test_names_are_only_names(client: Client, samples: Samples) -> None:
    strange = "../a/b?c=d&e#f %2e\N{GRINNING FACE} ' --"
    client.enroll("default", strange, samples.biden)
    assert client.gallery().identities() == [(strange, 1)]
    assert client.gallery().tags(strange) == []
    for name in ("..", ".", "a/b", "", "x" * 65, "sqlite:///x.db"):
        with pytest.raises(BadInput):
            client.gallery(name)


def test_templates_are_enrolled(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    templates = real.analyze(samples.group).templates
    people = client.gallery()
    added = people.add("Crew", templates, tags=["nasa"])
    assert [enrollment.identity for enrollment in added] == ["Crew"] * 6
    np.testing.assert_allclose(people.templates("Crew")[1].vectors, templates.vectors, atol=CLOSE)
    with pytest.raises(SpaceMismatch):
        people.add("Other", mien.Templates(templates.vectors, "other@00000000"))
    with pytest.raises(SpaceMismatch):
        client.search("default", mien.Templates(templates.vectors, "other@00000000"))


def test_pages_make_one_list(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    template = real.analyze(samples.biden).templates
    people = client.gallery()
    names = [f"person {number:02}" for number in range(23)]
    people.add_many((name, template) for name in names)
    assert people.identities() == [(name, 1) for name in names]
    assert people.identities(limit=5, after="person 03") == [(name, 1) for name in names[4:9]]
    assert people.identities(containing="N 2") == [(name, 1) for name in names[20:]]


def test_galleries_are_made_and_deleted(client: Client) -> None:
    made = client.create_gallery("staff", codec="int8", retention_days=30)
    assert (made.name, made.options.codec, made.options.retention_days, made.templates) == ("staff", "int8", 30, 0)
    with pytest.raises(GalleryExists):
        client.create_gallery("staff")
    assert [found.name for found in client.galleries()] == ["default", "staff"]
    assert client.gallery("staff").options == made.options
    assert client.delete_gallery("staff") == 0
    with pytest.raises(GalleryNotFound):
        client.gallery("staff").summary()


def test_many_people_are_enrolled_in_order(client: Client, samples: Samples, tmp_path: Path) -> None:
    nobody = tmp_path / "nobody.png"
    Image.new("RGB", (200, 200), (90, 120, 90)).save(nobody)
    text = tmp_path / "text.jpg"
    text.write_text("no image at all")
    items: list[tuple[str, Any]] = [
        ("Obama", samples.obama[0]),
        ("Nobody", nobody),
        ("Gone", tmp_path / "gone.jpg"),
        ("Text", text),
        ("Group", samples.group),
        ("Biden", samples.biden),
    ]
    outcomes = list(client.enroll_many("default", iter(items), parallel=3))
    kinds = [type(outcome.result) for outcome in outcomes]
    assert kinds == [mien.Enrollment, NoFace, BadImage, BadImage, SeveralFaces, mien.Enrollment]
    for outcome, (_, path) in zip(outcomes[2:4], items[2:4], strict=True):
        assert isinstance(outcome.result, MienError)
        assert outcome.result.message.startswith(str(path))
    assert client.gallery().identities() == [("Biden", 1), ("Obama", 1)]
    found = list(client.identify_many("default", [samples.obama[1], text, samples.group]))
    assert [len(o.result) if isinstance(o.result, list) else o.result.code for o in found] == [1, "bad_image", 6]


def test_a_poor_face_is_refused_as_by_the_library(client: Client, real: mien.Recognizer, samples: Samples) -> None:
    dark = (load(samples.obama[0]) * 0.06).astype(np.uint8)
    with mien.open_gallery("memory:") as own, pytest.raises(QualityRefused) as here:
        real.enroll(own, "Obama", dark)
    with pytest.raises(QualityRefused) as there:
        client.enroll("default", "Obama", dark)
    assert there.value.reasons == here.value.reasons


def test_too_large_is_the_servers_word(make_server: Callable[..., Any], samples: Samples) -> None:
    small = make_server(max_body_bytes=10_000)
    with Client(small.url, retries=0) as client:
        with pytest.raises(TooLarge):
            client.detect(samples.group)
        with pytest.raises(TooLarge):
            client.detect(b"\xff" * 30_000_000)


def test_keys_decide(keyed_server: Any, samples: Samples) -> None:
    with Client(keyed_server.url) as client, pytest.raises(Unauthorized):
        client.models()
    with Client(keyed_server.url, "mien_wrong_key") as client, pytest.raises(Unauthorized):
        client.detect(samples.biden)
    with Client(keyed_server.url, keyed_server.key("read")) as client:
        assert len(client.detect(samples.biden)) == 1
        assert client.whoami()["scopes"] == ["read"]
        with pytest.raises(Forbidden):
            client.enroll("default", "Joe Biden", samples.biden)
        with pytest.raises(Forbidden):
            client.create_gallery("staff")


def test_what_the_server_says_of_itself(client: Client, real: mien.Recognizer) -> None:
    assert client.version().version == mien.__version__
    used = {model.name: model.space for model in client.models() if model.in_use}
    assert used == {"yunet": None, "sface": real.space}
    assert client.calibration(fmr=1e-4)["threshold"] == pytest.approx(real.threshold_at(fmr=1e-4), abs=CLOSE)


def test_the_async_client_gives_the_same(server: Any, real: mien.Recognizer, samples: Samples) -> None:
    async def work() -> tuple[Any, ...]:
        async with AsyncClient(server.url) as client:
            people = client.gallery()
            items = [("Obama", samples.obama[0]), ("Group", samples.group), ("Biden", samples.biden)]
            enrolled: list[Outcome[mien.Enrollment]] = []
            async for outcome in client.enroll_many("default", items):
                enrolled.append(outcome)
            faces, verdict = await asyncio.gather(
                client.detect(samples.group), client.verify(samples.obama[0], samples.obama[1])
            )
            with pytest.raises(IdentityNotFound):
                await people.tags("Group")
            return (
                enrolled,
                faces,
                verdict,
                await people.identities(),
                await client.identify("default", samples.obama[1]),
            )

    enrolled, faces, verdict, names, found = asyncio.run(work())
    assert [type(outcome.result) for outcome in enrolled] == [mien.Enrollment, SeveralFaces, mien.Enrollment]
    np.testing.assert_allclose(faces.xyxy, real.detect(samples.group).xyxy, atol=1e-3)
    assert verdict.score == pytest.approx(real.verify(samples.obama[0], samples.obama[1]).score, abs=CLOSE)
    assert names == [("Biden", 1), ("Obama", 1)]
    assert found[0][0].identity == "Obama"


def test_both_clients_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    from mien.client import AsyncRemoteGallery, RemoteGallery

    assert public(Client) - public(AsyncClient) == {"talk"} - public(AsyncClient)
    assert public(AsyncClient) - public(Client) == {"described"}
    # What needs no request of its own, or would hide one behind an attribute.
    assert public(RemoteGallery) - public(AsyncRemoteGallery) == {"space", "options", "add_many", "close"}


def test_methods_are_documented_with_their_arguments() -> None:
    import inspect

    assert list(inspect.signature(Client.detect).parameters) == ["self", "source", "largest", "color"]
    assert "channel order" in (Client.detect.__doc__ or "")
    with pytest.raises(TypeError):
        Client("http://127.0.0.1:1").detect(b"", largets=True)  # type: ignore[call-arg]
