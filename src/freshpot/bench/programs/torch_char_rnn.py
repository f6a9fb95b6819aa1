"""The same step as Caffe2's example char_rnn in PyTorch: LSTM, linear layer, cross-entropy, SGD."""

from .torch_lenet import load, version  # noqa: F401

CHARACTERS = 65


def make(threads, hidden=50, length=25, batch=1):
    """One piece of text: forward from the state before it, backward, update, loss."""
    import torch

    torch.set_num_threads(threads)
    lstm, output = torch.nn.LSTM(CHARACTERS, hidden), torch.nn.Linear(hidden, CHARACTERS)
    update = torch.optim.SGD([*lstm.parameters(), *output.parameters()], lr=0.1)
    text = torch.nn.functional.one_hot(torch.randint(0, CHARACTERS, (length, batch)), CHARACTERS).float()
    following = torch.randint(0, CHARACTERS, (length * batch,))
    state = [torch.zeros(1, batch, hidden), torch.zeros(1, batch, hidden)]

    def step():
        update.zero_grad(set_to_none=True)
        values, last = lstm(text, tuple(state))
        loss = torch.nn.functional.cross_entropy(output(values).flatten(0, 1), following)
        loss.backward()
        update.step()
        state[:] = [part.detach() for part in last]
        return loss.item()

    return step
