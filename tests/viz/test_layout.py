"""The layered layout: what every layout must keep, on graphs of all sorts."""

from __future__ import annotations

import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from freshpot.viz import layout as module
from freshpot.viz.layout import Layout, layered_layout

CHAIN = [(0, 1), (1, 2), (2, 3)]
DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]


def overlaps(sizes: list[tuple[float, float]], found: Layout) -> list[tuple[int, int]]:
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(found.centres, sizes, strict=True)
    ]
    return [
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(boxes), 2)
        if min(a[2], b[2]) - max(a[0], b[0]) > 1e-6 and min(a[3], b[3]) - max(a[1], b[1]) > 1e-6
    ]


graphs = st.integers(1, 14).flatmap(
    lambda n: st.tuples(
        st.lists(st.tuples(st.floats(5, 90), st.floats(5, 40)), min_size=n, max_size=n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30),
    )
)


@settings(max_examples=60, deadline=None)
@given(graphs, st.sampled_from(["TB", "BT", "LR", "RL"]))
def test_nothing_overlaps_and_edges_meet_their_nodes(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]], rankdir: str
) -> None:
    sizes, edges = graph
    found = layered_layout(sizes, edges, rankdir)
    assert overlaps(sizes, found) == []
    for (x, y), (w, h) in zip(found.centres, sizes, strict=True):
        assert w / 2 - 1e-6 <= x <= found.width - w / 2 + 1e-6
        assert h / 2 - 1e-6 <= y <= found.height - h / 2 + 1e-6
    for (source, target), route in zip(edges, found.routes, strict=True):
        if source == target:
            assert route == []
            continue
        for node, point in ((source, route[0]), (target, route[-1])):
            off = [abs(point[i] - found.centres[node][i]) for i in (0, 1)]
            along = 0 if rankdir in ("LR", "RL") else 1
            assert off[along] == pytest.approx(sizes[node][along] / 2)
            assert off[1 - along] == pytest.approx(0)


@pytest.mark.parametrize(
    ("rankdir", "axis", "sign"), [("TB", 1, 1), ("BT", 1, -1), ("LR", 0, 1), ("RL", 0, -1)]
)
def test_edges_point_where_the_layers_grow(rankdir: str, axis: int, sign: int) -> None:
    found = layered_layout([(40, 20)] * 4, DIAMOND, rankdir)
    for source, target in DIAMOND:
        assert sign * (found.centres[target][axis] - found.centres[source][axis]) > 0


def test_a_chain_is_straight() -> None:
    found = layered_layout([(40, 20), (90, 20), (10, 20), (50, 20)], CHAIN)
    assert len({round(x, 6) for x, _ in found.centres}) == 1


def test_crossings_are_undone() -> None:
    """Two rows listed in opposite orders: the layout finds the one without crossings."""
    found = layered_layout([(20, 20)] * 8, [(i, 7 - i) for i in range(4)])
    for i in range(4):
        assert found.centres[i][0] == pytest.approx(found.centres[7 - i][0])


def test_parameters_stay_beside_their_reader() -> None:
    """A source read late lies one layer above its reader, not at the top."""
    found = layered_layout([(20, 20)] * 5, [*CHAIN, (4, 3)])
    assert found.centres[4][1] == found.centres[2][1]


def test_a_long_edge_goes_round_the_nodes_between() -> None:
    sizes = [(40.0, 20.0)] * 4
    found = layered_layout(sizes, [*CHAIN, (0, 3)])
    x = [point[0] for point in found.routes[3][2:-2]]
    assert all(abs(at - found.centres[1][0]) > 20 for at in x)


def test_edges_beyond_the_limit_are_drawn_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BENDS", 0)
    found = layered_layout([(40, 20)] * 4, [*CHAIN, (0, 3)])
    assert len(found.routes[3]) == 4


def test_no_nodes() -> None:
    assert layered_layout([], []).centres == []
