"""A training step of Caffe2's example char_rnn through ``caffe2.python``, whoever provides it."""

import numpy as np

from .caffe2_lenet import load, version  # noqa: F401

CHARACTERS = 65


def make(threads, hidden=50, length=25, batch=1):
    """What the example does for each piece of text: feed, run, fetch the loss."""
    from caffe2.python import brew, core, model_helper, optimizer, workspace
    from caffe2.python.rnn_cell import LSTM

    name = "bench_char_rnn"
    workspace.SwitchWorkspace(name, True)
    model = model_helper.ModelHelper(name=name)
    inputs = model.net.AddExternalInputs("input_blob", "seq_lengths", "hidden_init", "cell_init", "target")
    input_blob, seq_lengths, hidden_init, cell_init, target = inputs
    all_hidden, last_hidden, _, last_cell = LSTM(
        model, input_blob, seq_lengths, (hidden_init, cell_init), CHARACTERS, hidden, scope="LSTM"
    )
    output = brew.fc(model, all_hidden, None, dim_in=hidden, dim_out=CHARACTERS, axis=2)
    softmax = model.net.Softmax(output, "softmax", axis=2)
    flat, _ = model.net.Reshape(softmax, ["softmax_reshaped", "_"], shape=[-1, CHARACTERS])
    loss = model.net.AveragedLoss(model.net.LabelCrossEntropy([flat, target], "xent"), "loss")
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.1 * length, policy="step", stepsize=1, gamma=0.9999)
    state = core.Net("prepare_state")
    state.Copy(last_hidden, hidden_init)
    state.Copy(last_cell, cell_init)
    rng = np.random.RandomState(0)
    text = rng.randint(0, CHARACTERS, (length, batch))
    one_hot = np.eye(CHARACTERS, dtype=np.float32)[text]
    following = rng.randint(0, CHARACTERS, length * batch).astype(np.int32)
    lengths = np.array([length] * batch, dtype=np.int32)
    workspace.RunNetOnce(model.param_init_net)
    for blob in (last_hidden, last_cell):
        workspace.FeedBlob(blob, np.zeros([1, batch, hidden], dtype=np.float32))
    for blob, value in (("input_blob", one_hot), ("target", following), ("seq_lengths", lengths)):
        workspace.FeedBlob(blob, value)
    workspace.CreateNet(state)
    workspace.RunNet(state.Name())
    workspace.CreateNet(model.net)

    def step():
        workspace.SwitchWorkspace(name)
        workspace.FeedBlob("seq_lengths", lengths)
        workspace.RunNet(state.Name())
        workspace.FeedBlob("input_blob", one_hot)
        workspace.FeedBlob("target", following)
        workspace.RunNet(model.net.Name())
        return workspace.FetchBlob(loss)

    return step
