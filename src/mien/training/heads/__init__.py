"""Class centers that are divided among processes, all of them or a sample at each step.

``sharded`` is the head; ``products`` and ``cross_entropy`` are its two large computations; ``sampling`` says which
process has which class and which classes take part in a step. What a loss does with the cosines is in
``mien.training.losses``.
"""

from __future__ import annotations

from mien.training.heads.sharded import ShardedHead, whole_centers

__all__ = ["ShardedHead", "whole_centers"]
