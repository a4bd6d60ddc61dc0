"""Limits: how large a body may be on which path, and how often a key may call."""

from __future__ import annotations

import time

import pytest

from mien.errors import RateLimited
from mien.server import ServerSettings
from mien.server.limits import RateLimit, body_limit

SETTINGS = ServerSettings(max_body_bytes=1_000_000, max_batch_bytes=9_000_000)


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/v1/detect", 1_000_000),
        ("/v1/galleries/staff/identify", 1_000_000),
        ("/v1/galleries/staff/enroll", 9_000_000),
        ("/v1/galleries/staff/identify-batch", 9_000_000),
        ("/v1/jobs/enroll", 9_000_000),
        ("/v1/verify", 2_000_000),
        ("/v1/keys", 0),
        ("/v1/keys/k3v9q0x2m1ab", 0),
        ("/v1/jobs/migrate", 0),
        ("/v1/galleries/a/b/enroll", 1_000_000),
        ("/", 1_000_000),
    ],
)
def test_limits_by_path(path: str, most: int) -> None:
    assert most <= body_limit(SETTINGS, path, json=False) <= most + 100_000
    assert most * 4 / 3 <= body_limit(SETTINGS, path, json=True) <= most * 4 / 3 + 100_000


def test_a_burst_and_then_no_more() -> None:
    limit = RateLimit(per_minute=60, burst=3)
    for _ in range(3):
        limit.take("a")
    with pytest.raises(RateLimited) as raised:
        limit.take("a")
    assert raised.value.retry_after_s is not None
    assert 0 < raised.value.retry_after_s <= 1.01
    limit.take("b")


def test_what_is_refused_is_not_counted() -> None:
    limit = RateLimit(per_minute=1200, burst=1)
    limit.take("a")
    for _ in range(50):
        with pytest.raises(RateLimited):
            limit.take("a")
    time.sleep(0.06)
    limit.take("a")


def test_tokens_come_back_up_to_the_burst() -> None:
    limit = RateLimit(per_minute=6000, burst=2)
    limit.take("a")
    limit.take("a")
    assert limit.spent("a")
    time.sleep(0.1)
    limit.take("a")
    limit.take("a")
    with pytest.raises(RateLimited):
        limit.take("a")


def test_no_limit() -> None:
    limit = RateLimit(per_minute=0, burst=1)
    for _ in range(1000):
        limit.take("a")


def test_many_names_take_no_more_memory() -> None:
    limit = RateLimit(per_minute=60, burst=1)
    for number in range(20_000):
        limit.take(str(number))
    assert len(limit._buckets) <= 10_001


def test_asking_about_many_names_makes_no_spent_bucket_full_again() -> None:
    limit = RateLimit(per_minute=1, burst=1)
    limit.take("guessed at")
    for number in range(20_000):
        assert not limit.spent(str(number))
    assert limit.spent("guessed at")
