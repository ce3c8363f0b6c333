"""What is exported computes the same in onnxruntime, and in ONNX's own evaluator."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import onnx
import pytest

import tensorlite as tl
from tensorlite import nn
from tensorlite.nn import functional as F
from tensorlite.recording.trees import leaves


def in_onnxruntime(proto: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    given = {i.name: int(i.name.removeprefix("input_")) for i in session.get_inputs()}
    return session.run(None, {name: inputs[i] for name, i in given.items()})


def in_reference(proto: onnx.ModelProto, inputs: list[np.ndarray]) -> list[np.ndarray]:
    reference = pytest.importorskip("onnx.reference")
    for node in proto.graph.node:  # what onnx 1.23.2's evaluator cannot do
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "ConvTranspose" and options["group"] > 1:
            pytest.skip("onnx.reference: ConvTranspose in groups raises")
        if node.op_type == "RNN" and options["activations"] == [b"Relu"]:
            pytest.skip("onnx.reference: RNN knows no Relu")
    names = [i.name for i in proto.graph.input]
    with np.errstate(all="ignore"):
        return reference.ReferenceEvaluator(proto).run(None, dict(zip(names, inputs, strict=True)))


RUNNERS = [in_onnxruntime, in_reference]


def compare(model: Any, proto: onnx.ModelProto, args: tuple, run: Any) -> None:
    with tl.no_grad():
        wanted = [x for x in leaves(model(*args)) if isinstance(x, tl.Tensor)]
    found = run(proto, [x.numpy() for x in args])
    assert len(found) == len(wanted)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        rtol = 1e-2 if want.dtype == np.float16 else 1e-4
        np.testing.assert_allclose(got, want.numpy(), rtol=rtol, atol=rtol / 10)


def layers() -> list:
    """A layer an entry: its module and its inputs; seeds are fixed by `tl.manual_seed`."""
    x, image, line = tl.randn(2, 5, 6), tl.randn(2, 4, 8, 8), tl.randn(2, 4, 10)
    activations = [
        *(nn.ReLU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.ELU(0.5), nn.SELU()),
        *(nn.CELU(2.0), nn.LeakyReLU(0.2), nn.PReLU(), nn.Hardtanh(), nn.Hardswish(), nn.ReLU6()),
        *(nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh(), nn.Softplus(2.0, 3.0), nn.Softsign()),
        *(nn.LogSigmoid(), nn.Softmax(-1), nn.LogSoftmax(1), nn.Softmin(-1), nn.GLU(), nn.RReLU()),
        *(nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.Threshold(0.1, 2.0)),
        *(
            nn.Linear(6, 3),
            nn.Linear(6, 3, bias=False),
            nn.Identity(),
            nn.Dropout(),
            nn.LayerNorm(6),
        ),
        *(
            nn.LayerNorm(6, elementwise_affine=False),
            nn.RMSNorm(6),
            nn.BatchNorm1d(5),
            nn.Flatten(),
        ),
        *(nn.LSTM(6, 3, num_layers=2, bidirectional=True), nn.GRU(6, 3), nn.RNN(6, 3)),
        *(nn.LSTM(6, 4, proj_size=2), nn.RNN(6, 3, nonlinearity="relu", batch_first=True)),
        nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
    ]
    images = [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, dilation=2),
        *(nn.Conv2d(4, 6, (3, 2), padding="same"), nn.Conv2d(4, 2, 3, padding_mode="reflect")),
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
        *(nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(3, 2, 1)),
        *(nn.MaxPool2d(2, return_indices=True), nn.LPPool2d(2, 2), nn.AdaptiveAvgPool2d((3, 1))),
        *(nn.AvgPool2d(2, divisor_override=3), nn.AdaptiveMaxPool2d(2), nn.AdaptiveAvgPool2d(1)),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        *(nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)),
        *(nn.LocalResponseNorm(2), nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2)),
        *(nn.Upsample(scale_factor=2), nn.Upsample(size=(5, 11), mode="bilinear")),
        *(nn.Upsample(scale_factor=1.5, mode="bicubic", align_corners=True), nn.Unfold(3, 2)),
        *(nn.ZeroPad2d(1), nn.ReflectionPad2d(2), nn.ReplicationPad2d((1, 2, 0, 1))),
        *(nn.CircularPad2d(2), nn.ConstantPad2d(1, 0.5), nn.Dropout2d(), nn.Unflatten(1, (2, 2))),
    ]
    lines = [
        nn.Conv1d(4, 2, 3),
        nn.ConvTranspose1d(4, 2, 3),
        nn.AvgPool1d(2),
        nn.AdaptiveMaxPool1d(3),
    ]
    solids = [nn.Conv3d(4, 2, 2), nn.MaxPool3d(2), nn.AvgPool3d(2), nn.ConvTranspose3d(4, 2, 2)]
    indices = tl.tensor([[1, 2, 0], [4, 4, 3]])
    return [
        *[(m, (x,)) for m in activations],
        *[(m, (image,)) for m in images],
        *[(m, (line,)) for m in lines],
        *[(m, (tl.randn(1, 4, 4, 4, 4),)) for m in solids],
        (nn.Fold((4, 5), 2), (tl.randn(1, 12, 12),)),
        (nn.Embedding(5, 3, padding_idx=0), (indices,)),
        (nn.Bilinear(3, 4, 2), (tl.randn(5, 3), tl.randn(5, 4))),
        (nn.CosineSimilarity(), (tl.randn(5, 3), tl.randn(5, 3))),
        (nn.PairwiseDistance(), (tl.randn(5, 3), tl.randn(5, 3))),
        (nn.MultiheadAttention(6, 2, batch_first=True), (x, x, x)),
        (nn.TransformerDecoderLayer(6, 2, 8), (x, x)),
        (nn.SmoothL1Loss(), (x, tl.randn(2, 5, 6))),
        (nn.BCEWithLogitsLoss(), (x, tl.rand(2, 5, 6))),
        (nn.LSTMCell(6, 3), (tl.randn(2, 6),)),
        (nn.GRUCell(6, 3), (tl.randn(2, 6),)),
    ]


tl.manual_seed(5)
LAYERS = layers()


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize(
    ("model", "args"), LAYERS, ids=[f"{i}-{type(m).__name__}" for i, (m, _) in enumerate(LAYERS)]
)
def test_a_layer_gives_the_same(model, args, run):
    proto = tl.onnx.export(model.train(), args)
    assert model.training  # as it was
    compare(model.eval(), proto, args, run)


# --- axes of any length -------------------------------------------------------------------------


class TinyGpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.place = nn.Embedding(11, 8), nn.Embedding(16, 8)
        self.norm, self.qkv, self.out = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, tokens):
        batch, time = tokens.shape
        x = self.token(tokens) + self.place(tl.arange(time))
        heads = self.qkv(self.norm(x)).view(batch, time, 3, 2, 4).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, time, 8))
        return x @ self.token.weight.T


class SharedHeads(nn.Module):
    def forward(self, x):
        batch, time, _ = x.shape
        q = x.view(batch, time, 4, 2).transpose(1, 2)
        k = x[..., 2:6].view(batch, time, 2, 2).transpose(1, 2)
        return F.scaled_dot_product_attention(q, k, k * 2, is_causal=True, enable_gqa=True)


def convnet():
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    )


ANY_LENGTH = {
    "gpt": (TinyGpt, {0: "batch", 1: "time"}, [(3, 5), (1, 1), (2, 16)], 11),
    "shared heads": (SharedHeads, {0: "batch", 1: "time"}, [(2, 5, 8), (1, 3, 8)], None),
    "convnet": (convnet, {0: "n", 2: "h", 3: "w"}, [(2, 3, 8, 8), (1, 3, 12, 9)], None),
    "lstm": (lambda: nn.LSTM(3, 4, 2), {0: "time", 1: "batch"}, [(5, 2, 3), (1, 4, 3)], None),
    "flattened": (lambda: Flattened(), [0, 1], [(4, 2, 3), (1, 5, 3)], None),
    "from one": (lambda: nn.Linear(3, 2), {0: "batch"}, [(1, 3), (7, 3)], None),
}


class Flattened(nn.Module):
    def forward(self, x):
        n = x.shape[0]
        flat = x.reshape(n, -1)
        wide = tl.cat((flat, tl.zeros(n, 2)), 1)
        return wide.std(dim=1), x.flatten(0, 1), x[:, : x.shape[1] // 1], wide.triu(1)


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("name", ANY_LENGTH)
def test_axes_of_any_length(name, run):
    build, axes, shapes, integers = ANY_LENGTH[name]
    tl.manual_seed(2)
    model = build()

    def inputs(shape):
        return (tl.randn(shape) if integers is None else tl.randint(0, integers, shape),)

    proto = tl.onnx.export(model, inputs(shapes[0]), dynamic_axes={"input_0": axes})
    model.eval()
    for shape in shapes:
        compare(model, proto, inputs(shape), run)


def test_names_and_shapes_are_said():
    file = io.BytesIO()
    proto = tl.onnx.export(
        convnet(),
        tl.zeros(2, 3, 8, 8),
        file,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=18,
    )
    assert onnx.load_from_string(file.getvalue()) == proto
    assert proto.opset_import[0].version == 18
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*proto.graph.input, *proto.graph.output)
    }
    assert shapes == {"image": ["batch", 3, 8, 8], "logits": ["batch", 2]}
    constants = {t.name for t in proto.graph.initializer}
    assert {"0.weight", "0.bias", "6.weight", "6.bias"} <= constants


@pytest.mark.parametrize("run", RUNNERS)
@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_dtypes(dtype, run):
    x = tl.randn(4, 6).to(getattr(tl, dtype))
    # onnxruntime 1.32 has no Erf of float64, so no GELU
    model = nn.Sequential(nn.Linear(6, 3), nn.SiLU()).to(getattr(tl, dtype)).eval()
    compare(model, tl.onnx.export(model, x, opset_version=18), (x,), run)


# --- what cannot be exported --------------------------------------------------------------------


def step(x):
    return (x * 2).sum()


REFUSED = {
    "branch": (lambda x: x if x.sum() > 0 else -x, "depend on values"),
    "numpy": (lambda x: x * x.numpy().mean(), "depend on values"),
    "no form": (lambda x: tl.linalg.svd(x)[1], "svd .* has no form in ONNX"),
    "random": (lambda x: F.dropout(x), "random numbers"),
    "write": (lambda x: x.clone().__setitem__(0, 1.0), "writes into a Tensor"),
    "array": (lambda x: x * float(x.array[0, 0]), "depends on the inputs"),
    "nothing": (lambda x: None, "no Tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_a_sentence(name, tmp_path):
    model, message = REFUSED[name]
    with pytest.raises(tl.onnx.ExportError, match=message):
        tl.onnx.export(model, tl.randn(3, 3), tmp_path / "model.onnx")
    assert not any(tmp_path.iterdir())


def test_a_loop_over_an_axis_is_refused():
    with pytest.raises(tl.onnx.ExportError, match="different number of operations"):
        tl.onnx.export(lambda x: sum(x), tl.randn(3, 2), dynamic_axes={"input_0": [0]})


def test_an_axis_that_must_be_fixed_is_named():
    up = nn.Upsample(scale_factor=2, mode="bilinear")
    with pytest.raises(tl.onnx.ExportError, match="leave these axes out of dynamic_axes"):
        tl.onnx.export(up, tl.randn(1, 2, 4, 4), dynamic_axes={"input_0": [2]})


def test_a_captured_step_is_refused():
    with pytest.raises(TypeError, match="captured"):
        tl.onnx.export(tl.capture(step), tl.randn(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset_version": 12}, "18 to 23"),
        ({"input_names": ["a", "b"]}, "1 Tensors"),
        ({"output_names": ["a", "b"]}, "returns 1"),
        ({"dynamic_axes": {"y": [0]}}, "names 'y'"),
        ({"dynamic_axes": {"input_0": [4]}}, "no axis 4"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        tl.onnx.export(step, tl.randn(3), **options)
