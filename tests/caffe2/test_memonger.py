"""A program that asks for shared gradients trains as one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from caffe2.python import brew, memonger, model_helper, workspace
from freshpot.errors import MissingBlobError


def trained(share: bool) -> np.ndarray:
    workspace.ResetWorkspace()
    model = model_helper.ModelHelper(name="m")
    brew.fc(model, "data", "fc", dim_in=3, dim_out=2, weight_init=("ConstantFill", {"value": 0.5}))
    model.net.SoftmaxWithLoss(["fc", "label"], ["softmax", "loss"])
    model.AddGradientOperators(["loss"])
    if share:
        grads = set(model.param_to_grad.values())
        model.net._net = memonger.share_grad_blobs(model.net, ["loss"], grads, "", share_activations=False)
    workspace.FeedBlob("data", np.arange(6, dtype=np.float32).reshape(2, 3))
    workspace.FeedBlob("label", np.array([0, 1], np.int32))
    workspace.RunNetOnce(model.param_init_net)
    workspace.CreateNet(model.net)
    workspace.RunNet(model.net, 3)
    return workspace.FetchBlob("fc_w_grad")


def test_gradients_are_the_same() -> None:
    np.testing.assert_array_equal(trained(True), trained(False))
    assert np.abs(trained(True)).sum() > 0


def test_a_loss_that_nobody_writes() -> None:
    model = model_helper.ModelHelper(name="m")
    with pytest.raises(MissingBlobError, match="no operator of the net writes this loss"):
        memonger.share_grad_blobs(model.net, ["loss"], set(), "")
