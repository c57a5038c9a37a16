"""Data sets: where their files are looked for, and one line that says what is wrong with them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

from mnv1.training.recipe import DataName, Recipe, TrainError

FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""

SYNTHETIC_SIZE = 1024


class Pictures(Protocol):
    """PIL images with their labels."""

    def __getitem__(self, index: int) -> tuple[Any, int]: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class DataSet:
    """Pictures to train and to test with, and what the labels mean."""

    train: Pictures
    test: Pictures
    classes: tuple[str, ...]


def load_data(recipe: Recipe, root: Path) -> DataSet:
    """The pictures of a recipe, cut to its limits. Raises `TrainError` when they are missing or damaged."""
    found = _LOADERS[recipe.data](root)
    return DataSet(
        _limited(found.train, recipe.limit_train, "train"),
        _limited(found.test, recipe.limit_test, "test"),
        found.classes,
    )


@dataclass(frozen=True)
class _Grey:
    """Grey pictures `(N, H, W)` with their labels."""

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.images[index]), int(self.labels[index])

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _Some:
    pictures: Pictures
    indices: list[int]

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.pictures[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def spread(count: int, number: int) -> list[int]:
    """At most so many of `count` indices, evenly spread: the first ones of a folder would all be of one class."""
    return [place * count // number for place in range(number)] if number < count else list(range(count))


def _limited(pictures: Pictures, limit: int | None, part: str) -> Pictures:
    if limit is None:
        return pictures
    if limit > len(pictures):
        raise TrainError(f"--limit-{part}: {limit}, but there are only {len(pictures)} images")
    return _Some(pictures, spread(len(pictures), limit))


def _cifar10(root: Path) -> DataSet:
    """torchvision's CIFAR-10, downloaded where that is possible; files that are there are never overwritten."""
    set_of = datasets.CIFAR10
    archive, unpacked = root / set_of.filename, root / set_of.base_folder
    wrong = _first_damaged(unpacked, [*set_of.train_list, *set_of.test_list])
    if unpacked.exists() and wrong:
        raise TrainError(f"{unpacked / wrong}: damaged or missing; delete {unpacked} to have it made anew")
    if archive.exists() and not unpacked.exists() and not check_integrity(str(archive), set_of.tgz_md5):
        raise TrainError(f"{archive}: damaged (its MD5 is not {set_of.tgz_md5}); replace or delete it")
    try:
        parts = [set_of(root, train=train, download=not unpacked.exists()) for train in (True, False)]
    except OSError as error:
        raise TrainError(
            f"CIFAR-10 is not in {root} and cannot be downloaded ({_reason(error)}): put {set_of.filename} from "
            f"{set_of.url} there, or name its folder with --data-root"
        ) from None
    except Exception as error:  # what unpickling and unpacking raise is of any type
        raise TrainError(f"{root}: CIFAR-10's files cannot be read ({_reason(error)})") from None
    return DataSet(parts[0], parts[1], tuple(parts[0].classes))


def _first_damaged(folder: Path, files: Sequence[Sequence[str]]) -> str | None:
    return next((name for name, md5 in files if not check_integrity(str(folder / name), md5)), None)


def _fashion_mnist(root: Path) -> DataSet:
    """Fashion-MNIST in torchvision's layout, or the four idx files in one folder, such as Debian's."""
    folders = (root / "FashionMNIST" / "raw", root, DEBIAN_FASHION)
    folder = next((one for one in folders if _idx_file(one, "train-images-idx3-ubyte")), None)
    if folder is None:
        raise TrainError(
            f"Fashion-MNIST is neither in {root} nor in {DEBIAN_FASHION}: on Debian run `apt install "
            "dataset-fashion-mnist`, or name the folder of its four idx files (.gz or not) with --data-root"
        )
    train, test = (
        _Grey(_read_idx(folder, f"{part}-images-idx3-ubyte", 3), _read_idx(folder, f"{part}-labels-idx1-ubyte", 1))
        for part in ("train", "t10k")
    )
    for part in (train, test):
        if len(part.images) != len(part.labels) or int(part.labels.max(initial=0)) >= len(FASHION_CLASSES):
            raise TrainError(f"{folder}: damaged: images and labels do not belong together")
    return DataSet(train, test, FASHION_CLASSES)


def _idx_file(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray[Any, Any]:
    """An array of bytes in the idx format of MNIST: a magic number, the sizes as big-endian 32-bit, the values."""
    path = _idx_file(folder, name)
    if path is None:
        raise TrainError(f"{folder / name}: missing (.gz or not); the data set has four such files")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise TrainError(f"{path}: damaged or unreadable ({_reason(error)}); replace it") from None
    start = 4 * (dimensions + 1)
    header = np.frombuffer(content[:start], dtype=">i4")
    if len(header) != dimensions + 1 or header[0] != 0x0800 + dimensions or len(content) != start + header[1:].prod():
        raise TrainError(f"{path}: damaged: it is no idx file of {dimensions} dimensions; replace it")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(header[1:])


def _folder(root: Path) -> DataSet:
    """Pictures in folders by class: `root/train/CLASS/*.png` and `root/test/CLASS/*.png` (or `val`)."""
    test = next((root / name for name in ("test", "val") if (root / name).is_dir()), root / "test")
    try:
        parts = [datasets.ImageFolder(str(path)) for path in (root / "train", test)]
    except OSError as error:
        raise TrainError(
            f"{root}: no data set of pictures ({_reason(error)}): it needs train/CLASS/ and test/CLASS/ with pictures; "
            "name it with --data-root"
        ) from None
    if parts[0].classes != parts[1].classes:
        raise TrainError(f"{root}: the folders of train and {test.name} have different classes")
    return DataSet(parts[0], parts[1], tuple(parts[0].classes))


def _synthetic(_: Path) -> DataSet:
    """torchvision's random pictures with random labels: for trying things out, there is nothing to learn from them."""
    train, test = (
        datasets.FakeData(SYNTHETIC_SIZE, (3, 32, 32), 10, random_offset=offset) for offset in (0, SYNTHETIC_SIZE)
    )
    return DataSet(cast(Pictures, train), cast(Pictures, test), tuple(f"class {number}" for number in range(10)))


_LOADERS: dict[DataName, Callable[[Path], DataSet]] = {
    "cifar10": _cifar10,
    "fashion-mnist": _fashion_mnist,
    "folder": _folder,
    "synthetic": _synthetic,
}


def _reason(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text or type(error).__name__


def _name(pictures: Pictures, index: int) -> str:
    """A picture's file, where it has one of its own."""
    if isinstance(pictures, _Some):
        return _name(pictures.pictures, pictures.indices[index])
    samples = getattr(pictures, "samples", None)
    return str(samples[index][0]) if samples else f"picture {index}"


def _mixed(*numbers: int) -> int:
    """One seed of several numbers. torch's generator on the CPU looks at 32 bits alone, so all must go into those."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class Inputs(Dataset[tuple[torch.Tensor, int]]):
    """Pictures as the network's inputs.

    What is random about a picture (its flip) depends on the seed, the epoch and the picture alone, so it is the same
    with any number of loader workers and of processes, and after a resume.
    """

    def __init__(self, pictures: Pictures, transform: Callable[[Any], torch.Tensor], seed: int, epoch: int) -> None:
        self._pictures, self._transform, self._seed, self._epoch = pictures, transform, seed, epoch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        before = torch.get_rng_state()
        # Not torch.manual_seed: it also seeds devices, which takes five times as long as all the rest.
        torch.default_generator.manual_seed(_mixed(self._seed, self._epoch, index))
        try:
            image, label = self._pictures[index]
            return self._transform(image), int(label)
        except Exception as error:  # PIL raises types of many kinds for pictures that it cannot read
            raise TrainError(f"{_name(self._pictures, index)}: cannot be read ({_reason(error)})") from None
        finally:
            torch.set_rng_state(before)

    def __len__(self) -> int:
        return len(self._pictures)


def shuffled_batches(
    count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, world: int = 1
) -> list[list[int]]:
    """Indices of one epoch's batches; of each batch the share of one process among `world`.

    The batches of all processes together are the same for any number of them. A last batch that would leave a process
    fewer than two images is left out, because BatchNorm cannot train on them.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(_mixed(seed, epoch))).tolist()
    batches = [order[start : start + batch_size] for start in range(0, count, batch_size)]
    return [batch[rank::world] for batch in batches if len(batch) >= 2 * world]


def ordered_batches(count: int, batch_size: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    """Indices of all images in their order, in batches; the share of one process among `world`."""
    share = list(range(count))[rank::world]
    return [share[start : start + batch_size] for start in range(0, len(share), batch_size)]
