"""3DCellSegNet and its loss in PyTorch, from the paper's description (Fig. 4, equations 5 to 9)."""
import torch
from torch import nn
from torch.nn.functional import softmax


class ResModule(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.batchnorm_module = nn.BatchNorm3d(channels)
        self.conv_module = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, h):
        return h + self.conv_module(torch.relu(self.batchnorm_module(h)))


class CellSegNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(1, 16, 1)
        self.conv2 = nn.Conv3d(16, 32, 3, padding=1)
        self.bnorm1 = nn.BatchNorm3d(32)
        for i, channels in enumerate([32, 64, 64]):
            setattr(self, f"conv{i + 3}", nn.Conv3d(channels, 64, 3, stride=2, padding=1))
            setattr(self, f"resmodule{i + 1}", ResModule(64))
        for i, channels in enumerate([64, 64, 32]):
            setattr(self, f"deconv{i + 1}", nn.ConvTranspose3d(64, channels, 4, stride=2, padding=1))
            setattr(self, f"bnorm{i + 2}", nn.BatchNorm3d(channels))
        self.conv6 = nn.Conv3d(32, 3, 3, padding=1)

    def forward(self, x):
        c1 = torch.relu(self.bnorm1(self.conv2(self.conv1(x))))
        c2 = self.resmodule1(self.conv3(c1))
        c3 = self.resmodule2(self.conv4(c2))
        h = self.resmodule3(self.conv5(c3))
        for deconv, norm, skip in [
            (self.deconv1, self.bnorm2, c3),
            (self.deconv2, self.bnorm3, c2),
            (self.deconv3, self.bnorm4, c1),
        ]:
            z, y, x = skip.shape[2:]
            h = torch.relu(norm(deconv(h)))[:, :, :z, :y, :x] + skip
        return softmax(self.conv6(h), dim=1)


def loss(p, truth, weight):
    """p [n, 3, z, y, x]; truth one-hot of the same shape; weight of the truth's class [n, 1, z, y, x]."""

    def dice(q, g):
        return 1 - (2 * (q * g * weight).sum() + 1) / ((q * q).sum() + (g * g).sum() + 1)

    foreground = p[:, 2:]
    return dice(p[:, :2], truth[:, :2]) + dice(foreground / (foreground + 0.1), truth[:, 2:])


def example(seed=0):
    """A network whose batch norms are not the identity."""
    torch.manual_seed(seed)
    network = CellSegNet()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            for tensor, low, high in [
                (module.weight, 0.75, 1.25),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ]:
                nn.init.uniform_(tensor, low, high)
    return network
