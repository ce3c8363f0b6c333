"""The named datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tensorlite.data.arrays import read_npz
from tensorlite.data.formats import decode_cifar10, decode_idx
from tensorlite.data.glyphs import generate
from tensorlite.data.sources import FileSet
from tensorlite.data.splits import Scaling, Split, Splits
from tensorlite.data.vocabulary import Vocabulary, read_text
from tensorlite.random import Generator

__all__ = ["cifar10", "diabetes", "digits", "fashion_mnist", "mnist", "mnist1d", "text"]

EMBEDDED = Path(__file__).parent / "files"
TEST_FRACTION = 0.2
SPLIT_SEED = 0
DIGIT_NAMES = tuple("0123456789")
PIXELS = Scaling(scale=np.float32(255))

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
MNIST_CHECKSUMS = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
FASHION_MNIST_CHECKSUMS = (
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
IDX_SIZES = dict(zip(IDX_FILES, (47_040_016, 60_008, 7_840_016, 10_008), strict=True))
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"

MNIST = FileSet(
    "mnist",
    dict(zip(IDX_FILES, MNIST_CHECKSUMS, strict=True)),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    suffix=".gz",
    sizes=IDX_SIZES,
)
FASHION_MNIST = FileSet(
    "fashion-mnist",
    dict(zip(IDX_FILES, FASHION_MNIST_CHECKSUMS, strict=True)),
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    suffix=".gz",
    sizes=IDX_SIZES,
    hint="On Debian and Ubuntu install the package dataset-fashion-mnist",
)
CIFAR10 = FileSet(
    "cifar10",
    {CIFAR10_ARCHIVE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    sizes={CIFAR10_ARCHIVE: 170_052_171},
)


def digits() -> Splits:
    """Handwritten digits: 1,797 grey images of 8×8 pixels, embedded in the package.

    Features (N, 1, 8, 8) in 0..1, labels 0..9; a stratified 20 % is for testing.

    Examples
    --------
    >>> tl.data.digits().train.features.shape
    (1438, 1, 8, 8)
    """
    location = EMBEDDED / "digits.npz"
    arrays = read_npz(location, ("images", "labels"))
    images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    scaling = Scaling(scale=np.float32(16))
    train, test = _divide(scaling.apply(images[:, None]), labels, strata=labels)
    return Splits(
        name="digits",
        task="classification",
        train=train,
        test=test,
        source="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI "
        "Machine Learning Repository",
        licence="CC BY 4.0",
        location=str(location),
        classes=DIGIT_NAMES,
        feature_scaling=scaling,
    )


def diabetes() -> Splits:
    """Disease progression of 442 patients after a year, embedded in the package.

    Features (N, 10): age, sex, body mass index, blood pressure and six serum measurements;
    targets (N,). Both have mean 0 and variance 1 over the training samples; `feature_scaling`
    and `target_scaling` give the raw units back. A random 20 % is for testing.

    Examples
    --------
    >>> tl.data.diabetes().train.features.shape
    (354, 10)
    """
    location = EMBEDDED / "diabetes.npz"
    arrays = read_npz(location, ("features", "target"))
    raw_features, raw_targets = arrays["features"], arrays["target"]
    train, test = _divide(raw_features, raw_targets, strata=np.zeros(len(raw_targets)))
    features, targets = (Scaling(part.mean(axis=0), part.std(axis=0)) for part in train)
    return Splits(
        name="diabetes",
        task="regression",
        train=Split(features.apply(train.features), targets.apply(train.targets)),
        test=Split(features.apply(test.features), targets.apply(test.targets)),
        source="B. Efron, T. Hastie, I. Johnstone, R. Tibshirani, Least Angle Regression, "
        "Annals of Statistics 32 (2004)",
        licence="published with the paper; no licence stated",
        location=str(location),
        feature_scaling=features,
        target_scaling=targets,
    )


def mnist1d() -> Splits:
    """MNIST-1D: 4,000 training and 1,000 test signals of 40 points, generated.

    Features (N, 1, 40) with mean 0 and variance 1, labels 0..9. A convolutional network reaches
    about 0.93, a fully connected one 0.6. Greydanus and Kobak, arXiv:2011.14439.

    Examples
    --------
    >>> tl.data.mnist1d().train.features.shape
    (4000, 1, 40)
    """
    signals, labels = generate(5000, Generator(SPLIT_SEED))
    signals = signals[:, None]
    return Splits(
        name="mnist1d",
        task="classification",
        train=Split(signals[:4000], labels[:4000]),
        test=Split(signals[4000:], labels[4000:]),
        source="S. Greydanus and D. Kobak, Scaling Down Deep Learning with MNIST-1D, ICML 2024, "
        "arXiv:2011.14439",
        licence="generated here",
        location="generated",
        classes=DIGIT_NAMES,
    )


def mnist() -> Splits:
    """MNIST: 60,000 training and 10,000 test images of handwritten digits.

    Features (N, 1, 28, 28) in 0..1, labels 0..9. Read from `FileSet.folders` or downloaded.

    Raises
    ------
    FileNotFoundError
        If the files are nowhere and cannot be downloaded.
    ValueError
        If a file is truncated or damaged.

    Examples
    --------
    >>> if "mnist" in [it.name for it in tl.data.describe() if it.present]:
    ...     print(tl.data.mnist().train.features.shape)
    """
    return _idx_images(
        MNIST,
        DIGIT_NAMES,
        source="Y. LeCun, C. Cortes, C. Burges, The MNIST Database of Handwritten Digits",
        licence="CC BY-SA 3.0",
    )


def fashion_mnist() -> Splits:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothes, a harder MNIST.

    Features (N, 1, 28, 28) in 0..1, labels 0..9. Errors as in `mnist`.

    Examples
    --------
    >>> if "fashion-mnist" in [it.name for it in tl.data.describe() if it.present]:
    ...     print(tl.data.fashion_mnist().train.features.shape)
    """
    classes = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot"
    return _idx_images(
        FASHION_MNIST,
        tuple(classes.split()),
        source="H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, arXiv:1708.07747",
        licence="MIT, Zalando SE",
    )


def cifar10() -> Splits:
    """CIFAR-10: 50,000 training and 10,000 test colour photographs in ten classes.

    Features (N, 3, 32, 32) in 0..1, labels 0..9. Errors as in `mnist`.

    Examples
    --------
    >>> if "cifar10" in [it.name for it in tl.data.describe() if it.present]:
    ...     print(tl.data.cifar10().train.features.shape)
    """
    files, folder = CIFAR10.read()
    arrays = decode_cifar10(files[CIFAR10_ARCHIVE])
    train, test = (Split(PIXELS.apply(images), labels) for images, labels in arrays.values())
    classes = "airplane automobile bird cat deer dog frog horse ship truck"
    return Splits(
        name="cifar10",
        task="classification",
        train=train,
        test=test,
        source="A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        licence="no licence stated; free for research with citation",
        location=str(folder),
        classes=tuple(classes.split()),
        feature_scaling=PIXELS,
    )


def text(path: str | Path | None = None) -> Splits:
    """Return a text for a character model: features are characters, targets the next ones.

    Parameters
    ----------
    path : str or Path, optional
        A UTF-8 file. By default the help texts that come with Python (about 465,000 characters;
        they differ between versions of Python).

    Returns
    -------
    Splits
        Features and targets (T,) int64; the last 10 % of the text is for testing. `classes` are
        the characters: ``Vocabulary(splits.classes)`` encodes and decodes.

    Raises
    ------
    ValueError
        If there are too few characters.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> splits = tl.data.text()
    >>> splits.task
    'language'
    """
    content, location = read_text(path)
    if len(content) < 20:
        raise ValueError(f"{location} has {len(content)} characters: too short to learn from")
    vocabulary = Vocabulary(content)
    tokens = vocabulary.encode(content)
    cut = int(0.9 * len(tokens))
    train, test = tokens[:cut], tokens[cut:]
    return Splits(
        name="text",
        task="language",
        train=Split(train[:-1], train[1:]),
        test=Split(test[:-1], test[1:]),
        source="Python's help texts" if path is None else "your file",
        licence="PSF licence" if path is None else "its owner's",
        location=location,
        classes=vocabulary.characters,
    )


def _idx_images(files: FileSet, classes: tuple[str, ...], source: str, licence: str) -> Splits:
    content, folder = files.read()
    arrays = [decode_idx(content[file]) for file in IDX_FILES]
    train, test = (
        Split(PIXELS.apply(images[:, None]), labels.astype(np.int64))
        for images, labels in (arrays[:2], arrays[2:])
    )
    return Splits(
        name=files.name,
        task="classification",
        train=train,
        test=test,
        source=source,
        licence=licence,
        location=str(folder),
        classes=classes,
        feature_scaling=PIXELS,
    )


def _divide(features: np.ndarray, targets: np.ndarray, strata: np.ndarray) -> tuple[Split, Split]:
    """Set aside the same random fraction of every stratum for testing, keeping the order."""
    order = Generator(SPLIT_SEED).permutation(len(targets))
    held_out = np.zeros(len(targets), dtype=bool)
    for stratum in np.unique(strata):
        members = order[strata[order] == stratum]
        held_out[members[: round(TEST_FRACTION * len(members))]] = True
    return (
        Split(features[~held_out], targets[~held_out]),
        Split(features[held_out], targets[held_out]),
    )
