"""A layered layout of a directed graph, in the manner of Sugiyama: pure geometry, no drawing.

Four steps: put every node on a layer so that edges point forward; order each layer so that few edges cross; give
places so that edges run straight; route edges through the gaps between nodes. Computed with layers downwards; the
other directions are mirrored from that.

Edges that span very many layers of a very large graph are not routed around nodes but drawn behind them
(:data:`MOST_BENDS`), which keeps 2000 operators a matter of seconds.

Source: Sugiyama, Tagawa, Toda 1981 (the steps); Gansner et al. 1993 (tight layers); Barlow et al. 1972 (pooling of
adjacent violators, here to place one layer's nodes without overlap).
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["MOST_BENDS", "Layout", "layered_layout"]

MOST_BENDS = 60_000  # bends of all routed edges together
LAYER_GAP = 44.0
NODE_GAP = 16.0
BEND_GAP = 9.0
MARGIN = 14.0
_ORDER_SWEEPS = 10
_PLACE_SWEEPS = 16
_BEND_WEIGHT = 6.0  # a bend wants to be straight this much more than a node wants to be central

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Where everything is; units are those of the sizes, the origin is at the top left.

    Attributes:
        centres: of each node.
        routes: of each edge, corner points from the edge of its first node to the edge of its second. Between
            points 0-1, 2-3 … it runs straight along the layers' axis, between 1-2, 3-4 … it swings over.
        width: of the whole picture, margins included.
        height: the same.
        horizontal: True when layers run left to right (or right to left).
    """

    centres: list[Point]
    routes: list[list[Point]]
    width: float
    height: float
    horizontal: bool


@dataclass
class _Layers:
    """Nodes 0..n-1, then bends; all with their layer, size across the layers' axis, and neighbours."""

    layer: list[int]
    breadth: list[float]
    real: int
    before: list[list[int]] = field(default_factory=list)
    after: list[list[int]] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)

    def is_bend(self, node: int) -> bool:
        return node >= self.real


def layered_layout(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], rankdir: str = "TB"
) -> Layout:
    """Place nodes of the given (width, height) and route the edges, given as pairs of node numbers.

    Args:
        sizes: of each node.
        edges: from, to; loops and cycles are allowed.
        rankdir: where layers grow to: "TB" (down), "BT", "LR", "RL".
    """
    horizontal = rankdir in ("LR", "RL")
    breadth = [h if horizontal else w for w, h in sizes]
    depth = [w if horizontal else h for w, h in sizes]
    layer = _assign_layers(len(sizes), edges)
    graph, paths = _insert_bends(layer, breadth, edges)
    _order(graph)
    across = _place(graph)
    starts, thickness = _stack(graph, depth)
    along = [starts[graph.layer[v]] + thickness[graph.layer[v]] / 2 for v in range(len(graph.layer))]
    routes = [_route(path, across, along, starts, thickness, graph, depth) for path in paths]
    centres = [(across[v], along[v]) for v in range(len(sizes))]
    return _oriented(centres, routes, breadth, starts, thickness, rankdir)


def _assign_layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """A layer for each node: every edge, cycles broken, points to a later one, and edges are short."""
    forward = _without_cycles(count, edges)
    after: list[list[int]] = [[] for _ in range(count)]
    before: list[list[int]] = [[] for _ in range(count)]
    for source, target in forward:
        after[source].append(target)
        before[target].append(source)
    order = _topological(count, before, after)
    layer = [0] * count
    for v in order:
        layer[v] = max((layer[u] + 1 for u in before[v]), default=0)
    for _ in range(4):  # pull nodes towards the side where they have more edges
        for v in reversed(order):
            if after[v] and len(after[v]) > len(before[v]):
                layer[v] = min(layer[w] for w in after[v]) - 1
        for v in order:
            if before[v] and len(before[v]) > len(after[v]):
                layer[v] = max(layer[u] for u in before[v]) + 1
    used = {old: new for new, old in enumerate(sorted(set(layer)))}
    return [used[old] for old in layer]


def _without_cycles(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each pair once, loops left out, and edges that close a cycle turned round (depth-first search)."""
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in dict.fromkeys(edges):
        if source != target:
            after[source].append(target)
    state = [0] * count  # 0 new, 1 on the current path, 2 done
    forward: dict[tuple[int, int], None] = {}
    for root in range(count):
        stack = [(root, 0)] if state[root] == 0 else []
        while stack:
            v, at = stack.pop()
            state[v] = 1
            if at == len(after[v]):
                state[v] = 2
                continue
            stack.append((v, at + 1))
            w = after[v][at]
            forward[(w, v) if state[w] == 1 else (v, w)] = None
            if state[w] == 0:
                stack.append((w, 0))
    return list(forward)


def _topological(count: int, before: list[list[int]], after: list[list[int]]) -> list[int]:
    waiting = [len(before[v]) for v in range(count)]
    ready = [v for v in range(count) if not waiting[v]]
    for v in ready:  # grows while it is walked
        for w in after[v]:
            waiting[w] -= 1
            if not waiting[w]:
                ready.append(w)
    return ready


def _insert_bends(
    layer: list[int], breadth: list[float], edges: Sequence[tuple[int, int]]
) -> tuple[_Layers, list[list[int]]]:
    """Add bends on the layers that edges pass; each edge's path of nodes and bends, first to second.

    Edges from one node share their bends, so that a blob read in many places is one line with branches.
    """
    graph = _Layers(list(layer), list(breadth), len(layer))
    longest = _longest_routed(layer, edges)
    trunks: dict[tuple[int, int], int] = {}
    paths = [_bend_path(graph, trunks, source, target, longest) for source, target in edges]
    links: set[tuple[int, int]] = set()
    for path in paths:
        ends = path if graph.layer[path[0]] <= graph.layer[path[-1]] else path[::-1]
        links.update((u, v) for u, v in itertools.pairwise(ends) if graph.layer[v] == graph.layer[u] + 1)
    count = len(graph.layer)
    graph.before = [[] for _ in range(count)]
    graph.after = [[] for _ in range(count)]
    for u, v in sorted(links):
        graph.after[u].append(v)
        graph.before[v].append(u)
    return graph, paths


def _longest_routed(layer: list[int], edges: Sequence[tuple[int, int]]) -> int:
    """The longest span, in layers, so that all edges up to it need no more than MOST_BENDS bends."""
    reach: dict[int, int] = {}
    for source, target in edges:
        reach[source] = max(reach.get(source, 0), abs(layer[target] - layer[source]))
    longest, total = 0, 0
    for span in sorted(reach.values()):
        total += max(span - 1, 0)
        if total > MOST_BENDS:
            break
        longest = span
    return longest


def _bend_path(
    graph: _Layers, trunks: dict[tuple[int, int], int], source: int, target: int, longest: int
) -> list[int]:
    low, high = graph.layer[source], graph.layer[target]
    step = 1 if low < high else -1
    bends = []
    if abs(high - low) <= longest:
        for layer in range(low + step, high, step):
            if (source, layer) not in trunks:
                trunks[source, layer] = len(graph.layer)
                graph.layer.append(layer)
                graph.breadth.append(0.0)
            bends.append(trunks[source, layer])
    return [source, *bends, target]


def _order(graph: _Layers) -> None:
    """Order each layer by the mean place of its neighbours, down and up; the best order met is kept."""
    graph.rows = _first_order(graph)
    best, fewest = [list(row) for row in graph.rows], _crossings(graph)
    place = [0.0] * len(graph.layer)
    for sweep in range(_ORDER_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        neighbours = graph.before if down else graph.after
        for row in graph.rows if down else reversed(graph.rows):
            for i, v in enumerate(row):
                near = neighbours[v]
                place[v] = sum(place[u] for u in near) / len(near) if near else float(i)
            row.sort(key=place.__getitem__)
            for i, v in enumerate(row):
                place[v] = float(i)
        crossings = _crossings(graph)
        if crossings < fewest:
            best, fewest = [list(row) for row in graph.rows], crossings
    graph.rows = best


def _first_order(graph: _Layers) -> list[list[int]]:
    """Layers filled by a depth-first walk, so that what hangs together lies together."""
    rows: list[list[int]] = [[] for _ in range(max(graph.layer, default=-1) + 1)]
    seen = [False] * len(graph.layer)
    roots = sorted(range(len(graph.layer)), key=lambda v: graph.layer[v])
    for root in roots:
        stack = [root]
        while stack:
            v = stack.pop()
            if not seen[v]:
                seen[v] = True
                rows[graph.layer[v]].append(v)
                stack += reversed(graph.after[v])
    return rows


def _crossings(graph: _Layers) -> int:
    """How many pairs of edges cross, over all neighbouring layers."""
    total = 0
    for row in graph.rows[1:]:
        index = {v: i for i, v in enumerate(row)}
        above = graph.rows[graph.layer[row[0]] - 1]
        met: list[int] = []
        for u in above:
            ends = sorted(index[w] for w in graph.after[u] if w in index)
            for end in ends:
                total += len(met) - bisect_right(met, end)
            for end in ends:
                insort(met, end)
    return total


def _place(graph: _Layers) -> list[float]:
    """A place across for every node and bend: near its neighbours, in order, without overlap."""
    across = [0.0] * len(graph.layer)
    gaps = [_gaps(graph, row) for row in graph.rows]
    for row, gap in zip(graph.rows, gaps, strict=True):
        for v, distance in zip(row, gap, strict=True):
            across[v] = distance
        middle = (across[row[0]] + across[row[-1]]) / 2
        for v in row:
            across[v] -= middle
    for sweep in range(_PLACE_SWEEPS):
        final = sweep >= _PLACE_SWEEPS - 8  # at last both sides count
        turn = range(len(graph.rows)) if sweep % 2 == 0 else range(len(graph.rows) - 1, -1, -1)
        for at in turn:
            row = graph.rows[at]
            wish = [_wish(graph, v, across, final, sweep % 2 == 0) for v in row]
            weight = [_BEND_WEIGHT if graph.is_bend(v) else 1.0 for v in row]
            for v, place in zip(row, _spread(wish, weight, gaps[at]), strict=True):
                across[v] = place
    return across


def _gaps(graph: _Layers, row: list[int]) -> list[float]:
    """The least distance of each member of a row from the first one."""
    total, result = 0.0, [0.0]
    for u, v in itertools.pairwise(row):
        gap = BEND_GAP if graph.is_bend(u) or graph.is_bend(v) else NODE_GAP
        total += (graph.breadth[u] + graph.breadth[v]) / 2 + gap
        result.append(total)
    return result[: len(row)]


def _wish(graph: _Layers, v: int, across: list[float], both: bool, down: bool) -> float:
    """Where ``v`` would like to be: at the median of its neighbours; a bend goes on straight."""
    near = graph.before[v] if down else graph.after[v]
    if (both and not graph.is_bend(v)) or not near:
        near = graph.before[v] + graph.after[v]
    if not near:
        return across[v]
    places = sorted(across[u] for u in near)
    half = len(places) // 2
    return places[half] if len(places) % 2 else (places[half - 1] + places[half]) / 2


def _spread(wish: list[float], weight: list[float], gap: list[float]) -> list[float]:
    """Places nearest to the wishes (weighted least squares) that keep the order and the gaps.

    With the gaps subtracted this is isotonic regression: neighbours that violate the order are pooled.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, members
    for place, heavy, distance in zip(wish, weight, gap, strict=True):
        mean, total, members = place - distance, heavy, 1
        while pools and pools[-1][0] > mean:
            other, other_total, other_members = pools.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, members = total + other_total, members + other_members
        pools.append((mean, total, members))
    means = [mean for mean, _, members in pools for _ in range(members)]
    return [mean + distance for mean, distance in zip(means, gap, strict=True)]


def _stack(graph: _Layers, depth: list[float]) -> tuple[list[float], list[float]]:
    """Where each layer begins along the axis, and how thick it is."""
    starts, thickness, at = [], [], 0.0
    for row in graph.rows:
        thick = max((depth[v] for v in row if not graph.is_bend(v)), default=0.0)
        starts.append(at)
        thickness.append(thick)
        at += thick + LAYER_GAP
    return starts, thickness


def _route(
    path: list[int],
    across: list[float],
    along: list[float],
    starts: list[float],
    thickness: list[float],
    graph: _Layers,
    depth: list[float],
) -> list[Point]:
    """Corner points; through the whole thickness of a layer an edge runs straight."""
    first, last = path[0], path[-1]
    if first == last:
        return []
    way = 1.0 if graph.layer[first] <= graph.layer[last] else -1.0
    points = [(across[first], along[first] + way * depth[first] / 2)]
    points.append((across[first], along[first] + way * thickness[graph.layer[first]] / 2))
    for bend in path[1:-1]:
        begin = starts[graph.layer[bend]]
        end = begin + thickness[graph.layer[bend]]
        points += [(across[bend], begin), (across[bend], end)][:: int(way)]
    points.append((across[last], along[last] - way * thickness[graph.layer[last]] / 2))
    points.append((across[last], along[last] - way * depth[last] / 2))
    return points


def _oriented(
    centres: list[Point],
    routes: list[list[Point]],
    breadth: list[float],
    starts: list[float],
    thickness: list[float],
    rankdir: str,
) -> Layout:
    """Move everything into the first quadrant, then turn it to the asked direction."""
    left = min((x - b / 2 for (x, _), b in zip(centres, breadth, strict=True)), default=0.0)
    right = max((x + b / 2 for (x, _), b in zip(centres, breadth, strict=True)), default=0.0)
    for route in routes:
        for x, _ in route:
            left, right = min(left, x), max(right, x)
    wide = right - left + 2 * MARGIN
    long = (starts[-1] + thickness[-1] if starts else 0.0) + 2 * MARGIN

    def turn(point: Point) -> Point:
        x, y = point[0] - left + MARGIN, point[1] + MARGIN
        if rankdir in ("BT", "RL"):
            y = long - y
        return (y, x) if rankdir in ("LR", "RL") else (x, y)

    horizontal = rankdir in ("LR", "RL")
    return Layout(
        centres=[turn(point) for point in centres],
        routes=[[turn(point) for point in route] for route in routes],
        width=long if horizontal else wide,
        height=wide if horizontal else long,
        horizontal=horizontal,
    )
