"""Writes the checkpoints of this folder with PyTorch (made with 2.x). Every tensor is a view of few values,
stretched to its shape, so that whole checkpoints take some kilobytes.

The n-th trainable tensor or statistic in the order of src/network/layout.rs holds (n + 1) / 64.
"""
import re
from collections import OrderedDict
from pathlib import Path

import torch

HERE = Path(__file__).parent
LAYOUT = (HERE / "../../../src/network/layout.rs").read_text()
SHAPES = OrderedDict(
    (name, [int(n) for n in shape.split(",")])
    for name, shape in re.findall(r'p\("([\w.]+)", &\[([\d, ]+)\]\)', LAYOUT)
)


def state_dict(dtype, prefix=""):
    tensors = OrderedDict()
    for n, (name, shape) in enumerate(SHAPES.items()):
        tensors[prefix + name] = torch.full((1,), (n + 1) / 64, dtype=dtype).expand(shape)
        if name.endswith("running_mean"):
            counter = name.replace("running_mean", "num_batches_tracked")
            tensors[prefix + counter] = torch.tensor(7)
    return tensors


def transposed():
    """A batch norm as a column of a matrix, and kernels whose elements count up against their strides."""
    tensors = state_dict(torch.float32)
    tensors["bnorm1.weight"] = torch.arange(64.0).reshape(32, 2)[:, 1]
    tensors["conv6.weight"] = torch.arange(3 * 32 * 27.0).reshape(27, 32, 3).permute(2, 1, 0).unflatten(2, (3, 3, 3))
    return tensors


torch.save({"model_state_dict": state_dict(torch.float32)}, HERE / "float.pkl")
torch.save(state_dict(torch.bfloat16), HERE / "bare_bfloat16.pth")
torch.save({"model_state_dict": state_dict(torch.float16, "module.")}, HERE / "parallel_half.pt")
parameters = OrderedDict((k, torch.nn.Parameter(v, False)) for k, v in state_dict(torch.float64).items())
extras = {"epoch": 3, "lr": 1e-4, "best": None, "done": True, "betas": (0.9, 0.999), "losses": [0.5, 0.25],
          "many": 2**40, "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"params": [0]}]}}
torch.save({**extras, "model_state_dict": parameters}, HERE / "parameters_double.pt")
torch.save(transposed(), HERE / "transposed.pt")
torch.save({"model_state_dict": torch.nn.BatchNorm3d(2).state_dict()}, HERE / "legacy.pkl",
           _use_new_zipfile_serialization=False)
torch.save({"model_state_dict": torch.nn.BatchNorm3d(2)}, HERE / "whole_module.pkl")
