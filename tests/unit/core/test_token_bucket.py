"""Token buckets, alone and one a key."""

from __future__ import annotations

import pytest

from mcast.core.token_bucket import TokenBucket, TokenBuckets


def test_a_bucket_fills_to_its_depth_and_lends() -> None:
    bucket = TokenBucket(10.0, 20.0, now=0.0)
    assert bucket.take(20, 0.0)
    assert not bucket.take(1, 0.05)
    assert bucket.take(1, 0.1)
    bucket.spend(10, 0.1)
    assert bucket.level(0.1) == pytest.approx(-10.0)
    assert bucket.when(1, 0.1) == pytest.approx(1.2)
    assert bucket.level(100.0) == 20.0
    assert bucket.when(1, 100.0) == 100.0
    bucket.credit(100.0, 50.0)
    assert bucket.level(100.0) == 50.0
    bucket.credit(5.0, 50.0)
    assert bucket.level(200.0) == 50.0


def test_quotas_push_out_the_oldest() -> None:
    quotas = TokenBuckets(1.0, 1.0, 2)
    first = quotas.of("a", 0.0)
    assert quotas.of("a", 0.0) is first
    quotas.of("b", 0.0)
    quotas.of("c", 0.0)
    assert len(quotas) == 2
    assert quotas.of("a", 0.0) is not first
    quotas.credit(5.0, 6.0, 0.0)
    assert quotas.of("a", 0.0).take(6.0, 0.0)
    assert quotas.of("new", 0.0).take(6.0, 0.0)
    assert not quotas.of("later", 100.0).take(1.1, 100.0)


def test_a_bucket_can_be_retuned() -> None:
    bucket = TokenBucket(100.0, 1000.0, 0.0)
    bucket.retune(10.0, 50.0, 0.0)
    assert bucket.level(0.0) == 50.0
    bucket.spend(50.0, 0.0)
    assert bucket.level(1.0) == 10.0
