"""A training step of Caffe2's example char_rnn: hidden 50, 25 characters, batch 1."""

from __future__ import annotations

from collections.abc import Iterator

from freshpot.bench.jobs._contest import Rival, contest, local, original_caffe2, torch_name
from freshpot.bench.programs import caffe2_char_rnn, torch_char_rnn
from freshpot.bench.rows import Options, Row, job


@job("char-rnn", "char-RNN training step, hidden 50, sequence 25, batch 1")
def char_rnn(options: Options) -> Iterator[Row]:
    yield from contest(
        options,
        "char-RNN step, Caffe2 door",
        local(caffe2_char_rnn.make, options.threads),
        [
            Rival(torch_name("eager"), local(torch_char_rnn.make, options.threads)),
            original_caffe2(options, "caffe2_char_rnn", 1.0),
        ],
    )
