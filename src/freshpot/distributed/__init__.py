"""Several processes that work on one model: how they find each other, and what they compute together.

Owned here: `group` (sums, copies and gatherings of tensors over processes), `meeting` (finding each other) and `launch`
(starting them). All of it is torch.distributed's work: Gloo between CPUs, NCCL between GPUs. Who calls it: Caffe2's
operators on a common world, Caffe's `NCCL` and ``caffe train -gpu 0,1``, ``paddle.distributed``.
"""
