"""Which blobs of a net follow one another in one place: their live ranges, and two ways to put ranges together.

Owned here: the search, greedy or for the least memory. Who calls it: `memonger`.

Source: caffe2/python/memonger.py.
"""

from __future__ import annotations

import enum
import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

log = logging.getLogger("memonger")


class LiveRange(NamedTuple):
    """From which operator on a blob is there, which one is the last to read it, and its bytes; None: not known."""

    defined: int | None
    used: int | None
    size: int | None


#: a blob's name and its range
Entry = tuple[str, LiveRange]
#: blobs that follow one another in one place
Place = list[Entry]


class AssignmentAlgorithm(enum.Enum):
    """How places are found: quickly, or with the least memory."""

    GREEDY = 0
    DYNAMIC_PROGRAMMING = 1


def compute_ranges(
    linearized_ops: Sequence[Any], blob_sizes: Mapping[str, int] | None = None
) -> dict[str, LiveRange]:
    """The live range of every blob of operators that run in this order.

    Raises:
        KeyError: sizes are given, but not this blob's.
    """
    if not blob_sizes:
        log.warning("Provide blob sizes to get more accurate assignments.")
    ranges: dict[str, LiveRange] = {}
    for i, op in enumerate(linearized_ops):
        for name in op.input:
            known = ranges.get(name, LiveRange(None, None, None))
            ranges[name] = known._replace(used=i, size=blob_sizes[name] if blob_sizes else None)
        for name in op.output:
            known = ranges.get(name, LiveRange(None, None, None))
            first = i if known.defined is None else known.defined
            ranges[name] = known._replace(defined=first, size=blob_sizes[name] if blob_sizes else None)
    return ranges


def is_compatible(candidate_range: LiveRange, assignment: Place, static_blobs: Collection[str]) -> bool:
    """Whether a blob may follow the last one of a place: it begins when that one is no longer read."""
    name, last = assignment[-1]
    if name in static_blobs:
        return False
    if candidate_range.defined is None or last.defined is None or last.used is None:
        return False
    return candidate_range.defined > last.used


def compute_blob_assignments(assignments: Sequence[Place]) -> dict[str, str]:
    """Blob -> the name of its place, which is that of the last blob in it; places of one blob are left out."""
    return {name: place[-1][0] for place in assignments if len(place) > 1 for name, _ in place}


def _size(place: Place) -> int:
    return max((entry.size or 0 for _, entry in place), default=0)


def get_memory_usage(assignments: Sequence[Place]) -> int:
    """Bytes of all places."""
    return sum(_size(place) for place in assignments)


def compute_assignments_greedy(
    ranges_sorted: Sequence[Entry], init_assignments: list[Place] | None = None
) -> list[Place]:
    """Each blob, in order, into the free place whose size is nearest, or into a new one."""
    places = init_assignments or []
    visited = {name for place in places for name, _ in place}
    for name, entry in ranges_sorted:
        if name in visited:
            continue
        free = [place for place in places if is_compatible(entry, place, ())]
        if free:
            min(free, key=lambda place: abs(_size(place) - (entry.size or 0))).append((name, entry))
        else:
            places.append([(name, entry)])
    return places


def compute_assignments_dp(
    ranges_sorted: Sequence[Entry],
    init_assignment: list[Place] | None,
    counter: list[int] | None = None,
) -> list[Place]:
    """The places with the least memory, by dynamic programming over blobs that are sorted by their last use.

    Args:
        ranges_sorted: the blobs.
        init_assignment: places that are there already.
        counter: a list of one number that counts the calls, for a line in the log.
    """
    counter = counter or [0]
    counter[0] += 1
    if counter[0] % 5000 == 0:
        log.info(
            "Finding assignments %s (%s -> %s)...",
            counter[0],
            ranges_sorted[0][1].defined,
            ranges_sorted[-1][1].used,
        )
    start = init_assignment or []
    best: list[list[Place]] = []
    for i, (_, entry) in enumerate(ranges_sorted):
        before = next(
            (k for k in range(i - 1, -1, -1) if all(is_compatible(entry, place, ()) for place in best[k])), -1
        )
        so_far = start if before < 0 else best[before]
        best.append(
            _place_last(ranges_sorted[before + 1 : i + 1], so_far, best[-1] if best else start, counter)
        )
    return best[-1]


def _copied(places: Sequence[Place]) -> list[Place]:
    return [list(place) for place in places]


def _place_last(
    ranges: Sequence[Entry], places: list[Place], best_without: list[Place], counter: list[int]
) -> list[Place]:
    """The best places when the last blob of some, which can follow none of the others, is put somewhere."""
    last = ranges[-1]
    found = []
    for i, place in enumerate(places):
        if not is_compatible(last[1], place, ()):
            continue
        here = [*place, last]
        rest = _copied(places[:i] + places[i + 1 :])
        if len(ranges) > 1:
            found.append([*compute_assignments_dp(ranges[:-1], rest, counter), here])
        else:
            found.append([*_copied(places[:i]), here, *_copied(places[i + 1 :])])
    found.append([*_copied(best_without), [last]])
    return min(found, key=get_memory_usage)


def get_updated_ranges(ranges: Sequence[Entry], max_live: int | None = None) -> list[Entry]:
    """Ranges without gaps: from -1 on, up to ``max_live`` (default: one behind the last use), of size 1."""
    if max_live is None:
        max_live = max(entry.used for _, entry in ranges if entry.used) + 1
    return [
        (
            name,
            LiveRange(
                -1 if entry.defined is None else entry.defined,
                max_live if entry.used is None else entry.used,
                1 if entry.size is None else entry.size,
            ),
        )
        for name, entry in ranges
    ]


def compute_assignments(
    ranges: Mapping[str, LiveRange], static_blobs: Collection[str], algo: AssignmentAlgorithm
) -> list[Place]:
    """Places for all blobs; static ones have their own.

    Raises:
        ValueError: an algorithm that there is not.
    """
    by_use = sorted(ranges.items(), key=lambda each: (each[1].used is None, each[1].used))
    entries = get_updated_ranges(by_use)
    sharable = [each for each in entries if each[0] not in static_blobs]
    log.info("Total sharable blobs %s", len(sharable))
    if algo is AssignmentAlgorithm.DYNAMIC_PROGRAMMING:
        places = compute_assignments_dp(sharable, [])
    elif algo is AssignmentAlgorithm.GREEDY:
        places = compute_assignments_greedy(sharable, [])
    else:
        raise ValueError(f"algo is {algo!r}; known are {', '.join(map(str, AssignmentAlgorithm))}.")
    return places + [[each] for each in entries if each[0] in static_blobs]


def verify_assignments(assignments: Sequence[Place]) -> None:
    """Check that the blobs of a place do not meet.

    Raises:
        AssertionError: two do.
    """
    for place in assignments:
        for one, other in itertools.pairwise(place):
            if (one[1].used or 0) >= (other[1].defined or 0):
                raise AssertionError(f"{one[0]} {one[1]} is still used when {other[0]} {other[1]} begins")
