"""Data sets: each layout is found, and what is missing or damaged is one line; nothing is overwritten."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import socket
import struct
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import CIFAR10

from mnv1.training import data as module
from mnv1.training.data import Inputs, load_data, ordered_batches, shuffled_batches
from mnv1.training.loop import Trainer
from mnv1.training.recipe import Recipe, TrainError
from mnv1.training.transforms import article_transform

CIFAR, FASHION, FOLDER = (Recipe(data=name) for name in ("cifar10", "fashion-mnist", "folder"))
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """A small archive in CIFAR-10's own format, with the checksums that torchvision looks for."""
    source = tmp_path / "source" / CIFAR10.base_folder
    source.mkdir(parents=True)
    random = np.random.default_rng(0)

    def write(name: str, content: object) -> list[str]:
        path = source / name
        path.write_bytes(pickle.dumps(content))
        return [name, hashlib.md5(path.read_bytes()).hexdigest()]

    def batch(name: str) -> list[str]:
        pixels = random.integers(0, 256, (20, 3072), dtype=np.uint8)
        return write(name, {"data": pixels, "labels": [number % 10 for number in range(20)]})

    train = [batch(f"data_batch_{number}") for number in range(1, 6)]
    test = [batch("test_batch")]
    meta = write("batches.meta", {"label_names": CLASSES})
    root = tmp_path / "data"
    root.mkdir()
    with tarfile.open(root / CIFAR10.filename, "w:gz") as archive:
        archive.add(source, CIFAR10.base_folder)
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", test)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta[1]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5((root / CIFAR10.filename).read_bytes()).hexdigest())
    return root


def test_cifar10_is_unpacked_from_its_archive_and_found_again(cifar):
    for _ in range(2):
        found = load_data(CIFAR, cifar)
        assert (len(found.train), len(found.test), found.classes) == (100, 20, tuple(CLASSES))
        image, label = found.train[13]
        assert (image.size, image.mode, label) == ((32, 32), "RGB", 3)


def test_a_damaged_archive_is_one_line_and_stays_as_it_is(cifar):
    archive = cifar / CIFAR10.filename
    damaged = archive.read_bytes()[:-100]
    archive.write_bytes(damaged)
    with pytest.raises(TrainError, match=r"cifar-10-python\.tar\.gz: damaged \(its MD5 is not"):
        load_data(CIFAR, cifar)
    assert archive.read_bytes() == damaged
    assert [path.name for path in cifar.iterdir()] == [CIFAR10.filename]


def test_a_damaged_unpacked_file_is_one_line_and_stays_as_it_is(cifar):
    load_data(CIFAR, cifar)
    path = cifar / CIFAR10.base_folder / "data_batch_3"
    path.write_bytes(b"nothing")
    with pytest.raises(TrainError, match="data_batch_3: damaged or missing; delete"):
        load_data(CIFAR, cifar)
    assert path.read_bytes() == b"nothing"


def test_without_files_and_internet_a_line_says_where_to_put_them(tmp_path, monkeypatch):
    with socket.socket() as nobody:  # a port at which nobody listens
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{nobody.getsockname()[1]}/{CIFAR10.filename}")
        with pytest.raises(TrainError) as error:
            load_data(CIFAR, tmp_path)
    assert f"CIFAR-10 is not in {tmp_path} and cannot be downloaded (" in str(error.value)
    assert f"put {CIFAR10.filename} from {CIFAR10.url} there, or name its folder with --data-root" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_network_trains_on_cifar10s_own_format(cifar):
    recipe = replace(CIFAR, alpha=0.25, resolution=32, limit_train=48, batch_size=16)
    made = Trainer(recipe, load_data(recipe, cifar), torch.device("cpu"))
    row = made.train_epoch()
    assert 1 < row["train_loss"] < 5
    assert int(made.confusion.sum()) == 20


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">{values.ndim + 1}i", 0x0800 + values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """The four files of Fashion-MNIST, packed, in one folder; no other is installed."""
    monkeypatch.setattr(module, "DEBIAN_FASHION", tmp_path / "nowhere")
    random = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    return tmp_path


def unpack(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in source.glob("*.gz"):
        (target / path.stem).write_bytes(gzip.decompress(path.read_bytes()))


@pytest.mark.parametrize("layout", ["packed", "torchvision", "debian"])
def test_fashion_mnist_is_found_in_every_layout(fashion, tmp_path, monkeypatch, layout):
    root = fashion
    if layout == "torchvision":
        root = tmp_path / "data"
        unpack(fashion, root / "FashionMNIST" / "raw")
    elif layout == "debian":
        root = tmp_path / "empty"
        monkeypatch.setattr(module, "DEBIAN_FASHION", fashion)
    found = load_data(FASHION, root)
    assert (len(found.train), len(found.test), found.classes[9]) == (30, 10, "Ankle boot")
    image, label = found.train[13]
    assert (image.size, image.mode, label) == ((28, 28), "L", 3)
    assert tuple(article_transform(64, train=True)(image).shape) == (3, 64, 64)


@pytest.mark.skipif(not module.DEBIAN_FASHION.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist_is_whole(tmp_path):
    found = load_data(FASHION, tmp_path)
    assert (len(found.train), len(found.test)) == (60_000, 10_000)
    assert Counter(int(found.test[i][1]) for i in range(10_000)) == dict.fromkeys(range(10), 1000)


def test_missing_fashion_mnist_says_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "DEBIAN_FASHION", tmp_path / "nowhere")
    with pytest.raises(TrainError, match=r"neither in .* nor in .*nowhere: on Debian run `apt install"):
        load_data(FASHION, tmp_path)


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped", "missing", "short"])
def test_a_damaged_idx_file_is_named_in_a_line(fashion, damage):
    path = fashion / "t10k-images-idx3-ubyte.gz"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {
                "cut": content[:-20],
                "garbage": b"<html>not found</html>",
                "flipped": content[:500] + bytes(byte ^ 255 for byte in content[500:600]) + content[600:],
                "short": gzip.compress(gzip.decompress(content)[:-1]),
            }[damage]
        )
    before = {one: one.read_bytes() for one in fashion.glob("*.gz")}
    with pytest.raises(TrainError, match="t10k-images-idx3-ubyte") as error:
        load_data(FASHION, fashion)
    assert "\n" not in str(error.value)
    assert {one: one.read_bytes() for one in fashion.glob("*.gz")} == before


def test_images_and_labels_that_do_not_belong_together_are_refused(fashion):
    (fashion / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(29, dtype=np.uint8))))
    with pytest.raises(TrainError, match="images and labels do not belong together"):
        load_data(FASHION, fashion)


def pictures(root: Path, part: str, classes: list[str]) -> None:
    for name in classes:
        (root / part / name).mkdir(parents=True)
        Image.new("RGB", (40, 30), "red").save(root / part / name / "1.png")


def test_a_folder_of_pictures_is_a_data_set(tmp_path):
    pictures(tmp_path, "train", ["cat", "dog"])
    pictures(tmp_path, "val", ["cat", "dog"])
    found = load_data(FOLDER, tmp_path)
    assert (len(found.train), len(found.test), found.classes) == (2, 2, ("cat", "dog"))
    assert tuple(Inputs(found.train, article_transform(32, train=True), 0, 1)[1][0].shape) == (3, 32, 32)


def test_a_folder_without_pictures_or_with_other_classes_is_refused(tmp_path):
    with pytest.raises(TrainError, match="no data set of pictures"):
        load_data(FOLDER, tmp_path)
    pictures(tmp_path, "train", ["cat", "dog"])
    pictures(tmp_path, "test", ["cat", "cow"])
    with pytest.raises(TrainError, match="different classes"):
        load_data(FOLDER, tmp_path)


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    pictures(tmp_path, "train", ["cat"])
    pictures(tmp_path, "test", ["cat"])
    (tmp_path / "train" / "cat" / "1.png").write_bytes(b"no picture")
    found = load_data(FOLDER, tmp_path)
    with pytest.raises(TrainError, match=r"1\.png: cannot be read"):
        Inputs(found.train, article_transform(32, train=True), 0, 1)[0]


def test_a_limit_takes_pictures_of_all_classes(tmp_path):
    pictures(tmp_path, "train", ["cat", "cow", "dog"])
    pictures(tmp_path, "test", ["cat", "cow", "dog"])
    for name in ("cat", "cow", "dog"):
        for number in (2, 3):
            Image.new("RGB", (40, 30), "red").save(tmp_path / "train" / name / f"{number}.png")
    found = load_data(replace(FOLDER, limit_train=3), tmp_path)
    assert [found.train[index][1] for index in range(3)] == [0, 1, 2]


def test_limits_cut_and_a_limit_beyond_the_data_is_refused(fashion):
    found = load_data(replace(FASHION, limit_train=7, limit_test=10), fashion)
    assert (len(found.train), len(found.test)) == (7, 10)
    with pytest.raises(TrainError, match="--limit-test: 11, but there are only 10 images"):
        load_data(replace(FASHION, limit_test=11), fashion)


@given(count=st.integers(2, 300), batch_size=st.integers(2, 64), world=st.integers(1, 4), epoch=st.integers(1, 50))
def test_processes_share_the_batches_that_one_would_have(count, batch_size, world, epoch):
    alone = shuffled_batches(count, batch_size, 7, epoch)
    shares = [shuffled_batches(count, batch_size, 7, epoch, rank, world) for rank in range(world)]
    together = [sorted(index for share in batch for index in share) for batch in zip(*shares, strict=True)]
    assert together == [sorted(batch) for batch in alone[: len(together)]]
    assert all(len(share) >= 2 for batch in zip(*shares, strict=True) for share in batch)
    assert len(alone) - len(together) <= (batch_size < 2 * world) * len(alone) + 1
    seen = [index for batch in alone for index in batch]
    assert len(seen) == len(set(seen))
    assert count - len(seen) <= 1


@given(count=st.integers(1, 200), batch_size=st.integers(1, 64), world=st.integers(1, 4))
def test_every_test_image_is_looked_at_once(count, batch_size, world):
    seen = [i for rank in range(world) for batch in ordered_batches(count, batch_size, rank, world) for i in batch]
    assert sorted(seen) == list(range(count))


def test_epochs_are_shuffled_anew_and_repeat_by_seed():
    assert shuffled_batches(100, 10, 0, 1) == shuffled_batches(100, 10, 0, 1)
    assert shuffled_batches(100, 10, 0, 1) != shuffled_batches(100, 10, 0, 2)
    assert shuffled_batches(100, 10, 0, 1) != shuffled_batches(100, 10, 1, 1)


def test_the_flip_of_a_picture_depends_on_seed_epoch_and_picture_alone(fashion):
    found = load_data(FASHION, fashion)
    transform = article_transform(32, train=True)

    def look(seed: int, epoch: int) -> list[bytes]:
        return [Inputs(found.train, transform, seed, epoch)[i][0].numpy().tobytes() for i in range(30)]

    assert look(0, 1) == look(0, 1)
    assert look(0, 1) != look(0, 2)
    assert look(0, 1) != look(1, 1)
