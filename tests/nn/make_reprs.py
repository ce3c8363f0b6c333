"""Write reprs.json: what torch's layers say of themselves.

Run with torch 2.13: ``python tests/nn/make_reprs.py``.
"""

from __future__ import annotations

import json
import warnings

import torch
from test_reprs import FILE

LAYERS = """
Linear(2, 3); Linear(2, 3, bias=False); Bilinear(2, 3, 4); Flatten(); Unflatten(1, (2, 3))
Conv1d(2, 3, 3); Conv2d(2, 4, (3, 2), 2, 1, groups=2, bias=False); Identity()
Conv3d(2, 3, 2, dilation=2, padding_mode="circular"); Conv2d(2, 3, 3, padding="same")
ConvTranspose1d(2, 3, 3); ConvTranspose2d(2, 3, 3, 2, 1, 1); ConvTranspose3d(2, 3, 3)
MaxPool1d(2); MaxPool2d(2, padding=(1, 0)); MaxPool3d(2, 1, ceil_mode=True); MaxUnpool1d(2)
MaxUnpool2d(2, 1); MaxUnpool3d((2, 1, 1)); AvgPool1d(2); AvgPool2d(2, (1, 2)); AvgPool3d(2)
LPPool1d(2, 3); LPPool2d(2, 3, 1); LPPool3d(2, 3); AdaptiveAvgPool1d(3); AdaptiveMaxPool1d(3)
AdaptiveAvgPool2d((2, None)); AdaptiveAvgPool3d(1); AdaptiveMaxPool2d(2); AdaptiveMaxPool3d(2)
ReflectionPad1d(1); ReflectionPad2d((1, 2, 0, 1)); ReflectionPad3d(1); ReplicationPad1d(1)
ReplicationPad2d(1); ReplicationPad3d(1); ConstantPad1d(1, 2.5); ConstantPad2d(1, 0)
ConstantPad3d(1, 2); ZeroPad1d(1); ZeroPad2d(1); ZeroPad3d(1); CircularPad1d(1); CircularPad2d(1)
CircularPad3d(1); ReLU(); ReLU(inplace=True); ReLU6(True); SELU(True); SiLU(); Mish(True)
Hardswish(True); Hardsigmoid(True); Sigmoid(); Tanh(); LogSigmoid(); Softsign(); Tanhshrink()
LeakyReLU(0.2, True); ELU(0.5); CELU(0.5, True); GELU(); GELU("tanh"); Softplus(2); Hardshrink()
Softshrink(0.2); Threshold(0.1, 20); Threshold(0.1, 20, True); GLU(); Softmax(1); Softmin()
LogSoftmax(-1); Softmax2d(); Hardtanh(-2, 2); Hardtanh(0, 1, True); RReLU(); RReLU(0.1, 0.2, True)
PReLU(3); Dropout(0.3); Dropout1d(); Dropout2d(0.1, True); Dropout3d(); AlphaDropout()
FeatureAlphaDropout(0.2); BatchNorm1d(3); BatchNorm2d(3, momentum=None, affine=False)
BatchNorm3d(3, 1e-3); BatchNorm1d(3, bias=False); SyncBatchNorm(3); InstanceNorm1d(3)
InstanceNorm2d(3, affine=True); InstanceNorm3d(3); GroupNorm(2, 4); LayerNorm(4)
LayerNorm((2, 3), bias=False); RMSNorm(4); RMSNorm((2, 3), 1e-6); LocalResponseNorm(2)
Embedding(4, 3); EmbeddingBag(4, 3); EmbeddingBag(4, 3, mode="sum", padding_idx=0)
Embedding(4, 3, padding_idx=-1, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True)
RNN(2, 3); RNN(2, 3, nonlinearity="relu"); GRU(2, 3); RNNCell(2, 3); LSTMCell(2, 3, bias=False)
LSTM(2, 3, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, proj_size=2)
RNNCell(2, 3, nonlinearity="relu"); GRUCell(2, 3); Upsample(3); Upsample(scale_factor=(1, 2))
Upsample(scale_factor=2, mode="bilinear"); UpsamplingNearest2d(2); PixelShuffle(2)
UpsamplingBilinear2d(scale_factor=2); PixelUnshuffle(2); ChannelShuffle(2); Unfold(2)
Fold((3, 3), 2); CosineSimilarity(); PairwiseDistance(); MSELoss(); CrossEntropyLoss()
TripletMarginLoss(); TransformerDecoderLayer(4, 2, 8, norm_first=True)
Sequential(Linear(2, 3), ReLU()); ModuleList([ReLU()]); ModuleDict({"a": ReLU()})
LazyLinear(3); LazyConv2d(3, 3); LazyBatchNorm1d()
"""


def main() -> None:
    """Write the file."""
    warnings.simplefilter("ignore")
    layers = [layer.strip() for layer in LAYERS.replace("\n", ";").split(";") if layer.strip()]
    found = {layer: repr(eval(layer, dict(vars(torch.nn)))) for layer in layers}
    FILE.write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main()
