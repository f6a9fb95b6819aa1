"""LeNet's training step in PyTorch: forward, cross-entropy, backward, SGD; the loss is read."""


def load():
    """Import the package."""
    import torch  # noqa: F401


def version():
    """Of PyTorch."""
    import torch

    return f"PyTorch {torch.__version__}"


def lenet(sizes=(20, 50, 500)):
    """The net of Caffe's and Caffe2's MNIST tutorials."""
    from torch import nn

    first, second, hidden = sizes
    return nn.Sequential(
        nn.Conv2d(1, first, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * second, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def make(threads, batch=64, way="eager", momentum=False):
    """The step on a batch in memory.

    ``way``: "eager", "channels-last" or "compile". ``momentum``: Caffe's solver (momentum 0.9, weight decay
    0.0005, biases at twice the rate) instead of plain SGD.
    """
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = lenet()
    x, y = torch.rand(batch, 1, 28, 28), torch.randint(0, 10, (batch,))
    if way == "channels-last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if momentum:
        biases = [p for p in net.parameters() if p.dim() == 1]
        update = torch.optim.SGD([p for p in net.parameters() if p.dim() > 1], 0.01, 0.9, weight_decay=0.0005)
        update.add_param_group({"params": biases, "lr": 0.02})
    else:
        update = torch.optim.SGD(net.parameters(), lr=0.01)
    run = torch.compile(net) if way == "compile" else net

    def step():
        update.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(run(x), y)
        loss.backward()
        update.step()
        return loss.item()

    return step


def make_gemm(threads, batch=64):
    """The step's floating point operations as large matrix products (backward without the data's gradient)."""
    import torch

    torch.set_num_threads(threads)
    macs = batch * (20 * 25 * 576 * 2 + 50 * 500 * 64 * 3 + 800 * 500 * 3 + 500 * 10 * 3)
    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, max(1, round(macs / size / size)))
    return lambda: torch.mm(a, b)
