"""Witnesses: items that say the same are one, whatever their rows call them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from audit.view import Item
from audit.view.item import content_hash

__all__ = ["joined"]


def joined(items: Sequence[Item]) -> list[Item]:
    """Make one cluster of items that say the same or share a cluster, also by way of others.

    Parameters
    ----------
    items : sequence of Item
        Texts and images say the same if they are equal (images by what their files hold), prompts if their options
        are too, in any order; of pairs it is enough to share a text.

    Returns
    -------
    list of Item
        A cluster is called as that of its first item.

    Raises
    ------
    InputError
        If an image cannot be read.

    Examples
    --------
    >>> said = [("a", "Yes."), ("b", "No."), ("c", "Yes."), ("b", "Yes.")]
    >>> [one.cluster for one in joined([Item(id=str(n), cluster=c, text=t) for n, (c, t) in enumerate(said)])]
    ['a', 'a', 'a', 'a']
    """
    if not items:
        return []
    codes: dict[tuple[str, str], int] = {}
    edges = [
        (codes.setdefault(("cluster", item.cluster), len(codes)), codes.setdefault(("said", one), len(codes)))
        for item in items
        for one in _said(item)
    ]
    graph = coo_array((np.ones(len(edges)), np.transpose(edges)), shape=(len(codes), len(codes)))
    parts = connected_components(graph, directed=False)[1]
    first: dict[int, str] = {}
    clusters = [first.setdefault(int(parts[codes["cluster", item.cluster]]), item.cluster) for item in items]
    return [item.model_copy(update={"cluster": one}) for item, one in zip(items, clusters, strict=True)]


def _said(item: Item) -> tuple[str, ...]:
    if item.options is not None:  # shuffled options ask the same
        item = item.model_copy(update={"options": tuple(sorted(item.options))})
    return item.pair or (content_hash(item),)
