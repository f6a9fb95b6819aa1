"""ResNet's forward pass in PyTorch: random weights, images of any size, no gradients."""

from .caffe2_resnet import DEPTHS
from .torch_lenet import load, version  # noqa: F401


def resnet(depth):
    """The net, as its authors describe it (stride in the 3 x 3 convolution)."""
    import torch
    from torch import nn

    def conv(dim_in, dim_out, kernel, stride=1, relu=True):
        layers = [
            nn.Conv2d(dim_in, dim_out, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(dim_out),
        ]
        return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))

    class Block(nn.Module):
        def __init__(self, channels, width, out, stride, bottleneck):
            super().__init__()
            if bottleneck:
                layers = [
                    conv(channels, width, 1),
                    conv(width, width, 3, stride),
                    conv(width, out, 1, relu=False),
                ]
            else:
                layers = [conv(channels, width, 3, stride), conv(width, out, 3, relu=False)]
            self.branch = nn.Sequential(*layers)
            same = stride == 1 and channels == out
            self.shortcut = nn.Identity() if same else conv(channels, out, 1, stride, relu=False)

        def forward(self, x):
            return torch.relu_(self.branch(x) + self.shortcut(x))

    bottleneck, blocks = DEPTHS[depth]
    layers = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, repeats in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for block in range(repeats):
            layers.append(Block(channels, width, out, 2 if stage and not block else 1, bottleneck))
            channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000), nn.Softmax(1)
    )


def make(threads, depth=50, side=64, batch=1, way="eager"):
    """The forward pass; it returns the probabilities."""
    import torch

    torch.set_num_threads(threads)
    net, x = resnet(depth).eval(), torch.rand(batch, 3, side, side)
    if way == "channels-last":
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)

    def forward():
        with torch.no_grad():
            return net(x).numpy()

    return forward
