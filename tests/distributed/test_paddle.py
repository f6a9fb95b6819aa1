"""``paddle.distributed`` in two processes, beside what PaddlePaddle 3.3.1 computed (by Gloo, where its Gloo can)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from several import in_processes, results, start

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError
from freshpot.paddle.distributed import _groups

A = [[0.0, 1.0], [2.0, 3.0]]
B = [[10.0, 11.0], [12.0, 13.0]]
#: of both processes; the original has no mean, no exchange of parts and no lists of sums by Gloo
BOTH: dict[str, tuple[Any, Any]] = {
    "world": (
        [0, 2, "rank: 0, nranks: 2, id: 0, ranks: 0, 1; name: _default_pg"],
        [1, 2, "rank: 1, nranks: 2, id: 0, ranks: 0, 1; name: _default_pg"],
    ),
    "sum": ([[10.0, 12.0], [14.0, 16.0]],) * 2,
    "max": (B, B),
    "product": ([[0.0, 11.0], [24.0, 39.0]],) * 2,
    "mean": ([[5.0, 6.0], [7.0, 8.0]],) * 2,
    "all_gather": ([A, B], [A, B]),
    "gather": ([A, B], []),
    "broadcast": (B, B),
    "reduce": ([[10.0, 12.0], [14.0, 16.0]], B),
    "scatter": (A, [[100.0, 101.0], [102.0, 103.0]]),
    "reduce_scatter": ([[10.0, 12.0], [14.0, 16.0]], [[12.0, 14.0], [16.0, 18.0]]),
    "alltoall": ([A, B], [[[1.0, 2.0], [3.0, 4.0]], [[11.0, 12.0], [13.0, 14.0]]]),
    "alltoall_single": ([0, 10], [1, 2, 11, 12]),
    "sent": (A, A),
    "sent later": (A, A),
    "objects": ([{"a": 1}],) * 2,
    "all objects": ([{"r": 0}, {"r": 1}],) * 2,
    "scattered objects": ([{"x": 1}], [{"x": 2}]),
    "groups": (
        ["rank: 0, nranks: 2, id: 10, ranks: 0, 1; name: _default_pg10", -1, False, -1, A],
        ["rank: 1, nranks: 2, id: 10, ranks: 0, 1; name: _default_pg10", -1, False, -1, B],
    ),
    "samplers": ([[[0, 1], [4, 5]], [[0, 2], [0, 4]]], [[[2, 3], [6, 0]], [[1, 6], [3, 5]]]),
}
JOINED, AGAIN = [[12.0, 12.0], [14.0, 14.0]], [[24.0, 24.0], [28.0, 28.0]]
APART = ([[2.0, 2.0], [4.0, 4.0]], [[22.0, 22.0], [24.0, 24.0]])


def test_two_processes(tmp_path: Path) -> None:
    assert results([start(Path(__file__).with_name("paddle_cases.py"), str(tmp_path))]) == [[]]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    begun = found[0]["training"][0]
    for rank in (0, 1):
        assert found[rank].pop("training") == [begun, [JOINED, APART[rank], AGAIN], ["weight", "bias"]]
        assert found[rank] == {name: both[rank] for name, both in BOTH.items()}


PROGRAM = """
import json, os, sys
rank, size = sys.argv[1:3]
os.environ.update(PADDLE_TRAINER_ID=rank, PADDLE_TRAINERS_NUM=size, PADDLE_TRAINER_ENDPOINTS=sys.argv[3])
import freshpot.paddle as paddle
paddle.distributed.init_parallel_env()
x = paddle.ones([1])
paddle.distributed.all_reduce(x)
print(json.dumps([x.item(), paddle.distributed.ParallelEnv().trainer_endpoints]))
"""


def test_paddle_s_own_environment() -> None:
    from freshpot.paddle.distributed._start import _free_port

    place = f"127.0.0.1:{_free_port()}"
    assert in_processes(PROGRAM, 2, place) == [[2, [place]]] * 2


REFUSED: list[tuple[Any, str]] = [
    (lambda: paddle.distributed.new_group([0]), "call init_parallel_env"),
    (lambda: paddle.distributed.get_group(3), "there is no group 3. Known: none"),
    (lambda: paddle.distributed.all_reduce(paddle.ones([1]), op=9), "there is no ReduceOp 9"),
    (
        lambda: paddle.distributed.broadcast(paddle.ones([1]), src=1),
        "src is 1, which is no process of the group",
    ),
    (lambda: paddle.distributed.scatter(paddle.ones([1]), []), "tensor_list has 0 tensors; the group has 1"),
    (lambda: paddle.distributed.alltoall([paddle.ones([1])] * 2, []), "the list has 2 tensors"),
]


@pytest.mark.parametrize(("call", "words"), REFUSED)
def test_refused(call: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_groups, "_world", None)
    monkeypatch.setattr(_groups, "_groups", {})
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ArgumentError, match=words):
        call()


def test_an_environment_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "first")
    with pytest.raises(ArgumentError, match="PADDLE_TRAINER_ID is 'first'"):
        paddle.distributed.get_rank()
