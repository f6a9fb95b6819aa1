"""ResNet's forward pass through ``caffe2.python``, whoever provides it: random weights, images of any size."""

import numpy as np

from .caffe2_lenet import load, version  # noqa: F401

#: depth -> whether blocks have a bottleneck, and how many there are at each size
DEPTHS = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


def make(threads, depth=50, side=64, batch=1):
    """The forward pass; it returns the probabilities."""
    from caffe2.python import brew, model_helper, workspace

    name = f"bench_resnet_{depth}"
    workspace.SwitchWorkspace(name, True)
    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"})
    count = [0]

    def conv(blob, dim_in, dim_out, kernel, stride=1, relu=True):
        count[0] += 1
        blob = brew.conv(
            model, blob, f"conv{count[0]}", dim_in, dim_out, kernel=kernel, stride=stride, pad=kernel // 2,
            no_bias=1,
        )  # fmt: skip
        blob = brew.spatial_bn(model, blob, f"bn{count[0]}", dim_out, epsilon=1e-5, is_test=True)
        return brew.relu(model, blob, blob) if relu else blob

    bottleneck, blocks = DEPTHS[depth]
    blob = conv("data", 3, 64, 7, 2)
    blob = brew.max_pool(model, blob, "pool1", kernel=3, stride=2, pad=1)
    channels = 64
    for stage, repeats in enumerate(blocks):
        width = 64 << stage
        out = width * (4 if bottleneck else 1)
        for block in range(repeats):
            stride = 2 if stage and not block else 1
            shortcut = blob
            if bottleneck:
                branch = conv(conv(blob, channels, width, 1), width, width, 3, stride)
                branch = conv(branch, width, out, 1, relu=False)
            else:
                branch = conv(conv(blob, channels, width, 3, stride), width, out, 3, relu=False)
            if stride > 1 or channels != out:
                shortcut = conv(blob, channels, out, 1, stride, relu=False)
            blob = brew.sum(model, [branch, shortcut], f"sum{stage}_{block}")
            blob, channels = brew.relu(model, blob, blob), out
    side_left = -(-side // 32)
    blob = brew.average_pool(model, blob, "pool5", kernel=side_left, global_pooling=1)
    blob = brew.softmax(model, brew.fc(model, blob, "pred", channels, 1000), "softmax")
    rng = np.random.RandomState(0)
    workspace.FeedBlob("data", rng.rand(batch, 3, side, side).astype(np.float32))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)

    def forward():
        workspace.SwitchWorkspace(name)
        workspace.RunNet(model.net.Name())
        return workspace.FetchBlob(blob)

    return forward
