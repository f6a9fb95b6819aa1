"""A solver in each of several processes, by the names that programs of the original use; prints its weights' sum."""

from __future__ import annotations

import json
import sys

import caffe

rank, count, file, uid = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
caffe.set_mode_cpu()
caffe.set_solver_count(count)
caffe.set_solver_rank(rank)
caffe.set_multiprocess(True)
solver = caffe.SGDSolver(file)
nccl = caffe.NCCL(solver, uid.encode())
nccl.bcast()
solver.add_callback(nccl)
if solver.param.layer_wise_reduce:
    solver.net.after_backward(nccl)
called = []
solver.add_callback(lambda: called.append("start"), lambda: called.append("ready"))
solver.step(5)
first = solver.net.params["fc"][0]
print(json.dumps([first.data.tolist(), first.diff.tolist(), called.count("ready")]))
