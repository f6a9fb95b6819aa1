"""Steps of an MNIST epoch from where the data lie: Caffe2's LMDB reader, and the PyTorch tutorial's loader."""

import itertools

import numpy as np

MEAN, STD = 0.1307, 0.3081
#: channels of the first and second convolution, units of the hidden layer
NETS = {"LeNet": (20, 50, 500), "the tutorial's net": (10, 20, 50)}


def make_caffe2(source, batch=64, net="LeNet"):
    """A step of the Caffe2 tutorial: read, decode, cast, scale, train; the loss is fetched."""
    from caffe2.python import core, model_helper, optimizer, workspace

    from .caffe2_lenet import build

    name = "bench_epoch_" + net
    workspace.SwitchWorkspace(name, True)
    model = model_helper.ModelHelper(name=name, arg_scope={"order": "NCHW"})
    image, label = model.TensorProtosDBInput(
        [], ["data_uint8", "label"], batch_size=batch, db=source, db_type="lmdb"
    )
    data = model.Cast(image, "data", to=core.DataType.FLOAT)
    data = model.Scale(data, data, scale=float(1.0 / 256))
    data = model.StopGradient(data, data)
    loss = build(model, data, label, NETS[net])
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, base_learning_rate=0.01, policy="fixed")
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    proto_name = model.net.Proto().name

    def step():
        workspace.SwitchWorkspace(name)
        workspace.RunNet(proto_name)
        return workspace.FetchBlob("loss")

    return step


def make_torch(images, labels, threads, batch=64, net="LeNet"):
    """A step of the PyTorch tutorial's loop: the next batch of its DataLoader, forward, backward, SGD.

    Pictures are made one by one, as torchvision does it: a PIL image, ToTensor, Normalize.
    """
    import torch
    from PIL import Image

    from .torch_lenet import lenet

    torch.set_num_threads(threads)

    class Pictures(torch.utils.data.Dataset):
        def __init__(self):
            self.data, self.targets = torch.from_numpy(images), torch.from_numpy(labels).long()

        def __len__(self):
            return len(self.data)

        def __getitem__(self, index):
            picture, target = self.data[index], int(self.targets[index])
            return normalize(to_tensor(Image.fromarray(picture.numpy(), mode="L"))), target

    def to_tensor(picture):
        made = torch.from_numpy(np.array(picture, np.uint8, copy=True))
        made = made.view(picture.size[1], picture.size[0], len(picture.getbands()))
        return made.permute((2, 0, 1)).contiguous().to(dtype=torch.get_default_dtype()).div(255)

    def normalize(picture):
        picture = picture.clone()
        mean = torch.as_tensor((MEAN,), dtype=picture.dtype, device=picture.device)
        std = torch.as_tensor((STD,), dtype=picture.dtype, device=picture.device)
        return picture.sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=batch, shuffle=True)
    module = lenet(NETS[net])
    update = torch.optim.SGD(module.parameters(), lr=0.01)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def step():
        data, target = next(batches)
        update.zero_grad()
        loss = torch.nn.functional.cross_entropy(module(data), target)
        loss.backward()
        update.step()
        return loss.item()

    return step
