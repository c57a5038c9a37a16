"""CPU quotas as the kernel tells of them: trees of files as it makes them, counts that are made up."""

import pytest

from mnv1.measure.quota import Quotas, ThrottleMeter, Throttling, facts, most_threads, verdict, warnings

V1, V2 = "cgroup cgroup rw,cpu,cpuacct", "cgroup2 cgroup2 rw,nsdelegate"


class Tree:
    """A fake /proc/self, and groups below `top` as a mount shows them."""

    def __init__(self, folder, version=2):
        self.proc, self.top, self.version = folder / "proc", folder / "cgroup fs", version
        self.proc.mkdir()
        self.mounts = []

    def is_in(self, path, root="/", others=()):
        """This process is in the group `path`, and the part of the tree from `root` on is mounted."""
        own = f"4:cpu,cpuacct:{path}" if self.version == 1 else f"0::{path}"
        (self.proc / "cgroup").write_text("\n".join([*others, own]) + "\n")
        place = str(self.top).replace(" ", "\\040")
        about = V1 if self.version == 1 else V2
        lines = ["22 1 0:21 / /proc rw - proc proc rw", f"31 24 0:28 {root} {place} rw shared:9 - {about}"]
        (self.proc / "mountinfo").write_text("\n".join(lines) + "\n")
        return self

    def group(self, path, quota=None, periods=0, throttled=0, seconds=0.0):
        folder = self.top / path
        folder.mkdir(parents=True, exist_ok=True)
        counted = f"nr_periods {periods}\nnr_throttled {throttled}\n"
        if self.version == 1:
            (folder / "cpu.cfs_quota_us").write_text(f"{-1 if quota is None else int(quota * 1e5)}\n")
            (folder / "cpu.cfs_period_us").write_text("100000\n")
            (folder / "cpu.stat").write_text(f"{counted}throttled_time {int(seconds * 1e9)}\n")
        else:
            limit = "max" if quota is None else int(quota * 1e5)
            (folder / "cpu.max").write_text(f"{limit} 100000\n")
            (folder / "cpu.stat").write_text(f"usage_usec 9\n{counted}throttled_usec {int(seconds * 1e6)}\n")
        return self

    def read(self):
        return Quotas(self.proc)


@pytest.fixture(params=[1, 2])
def tree(request, tmp_path):
    return Tree(tmp_path, request.param)


def test_a_quota_is_read_with_its_counts(tree):
    tree.is_in("/box").group("").group("box", 1.5, 341, 294, 12.5)
    assert tree.read().cpus == 1.5
    assert tree.read().counts() == [Throttling(1.5, 341, 294, 12.5)]


def test_no_quota(tree):
    tree.is_in("/box").group("").group("box")
    assert tree.read().cpus is None
    assert tree.read().counts() == []
    assert tree.read().since([]) is None


def test_the_tightest_of_nested_groups_decides_and_the_one_that_was_stopped_is_told(tree):
    tree.is_in("/pod/box").group("").group("pod", 1.0, 10, 0).group("pod/box", 4.0, 10, 0)
    quotas = tree.read()
    assert quotas.cpus == 1.0
    before = quotas.counts()
    tree.group("pod", 1.0, 30, 7, 0.5)
    assert quotas.since(before) == Throttling(1.0, 20, 7, 0.5)


def test_a_container_with_a_namespace_sees_itself_at_the_root(tree):
    tree.is_in("/").group("", 0.5)
    assert tree.read().cpus == 0.5


def test_a_container_without_a_namespace_sees_its_path_as_outside_and_only_its_part_of_the_tree(tree):
    tree.is_in("/docker/abc/inner", root="/docker/abc").group("", 2.5).group("inner")
    assert tree.read().cpus == 2.5


def test_a_group_that_is_not_below_what_is_mounted_is_looked_for_where_it_is_mounted(tree):
    tree.is_in("/../other", root="/docker/abc").group("", 3.0)
    assert tree.read().cpus == 3.0


def test_both_versions_at_once_the_first_one_has_the_cpus(tmp_path):
    tree = Tree(tmp_path, 1).is_in("/box", others=("12:memory:/elsewhere", "0::/")).group("box", 1.5)
    with (tree.proc / "mountinfo").open("a") as file:
        file.write(f"41 31 0:38 / {tmp_path / 'unified'} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cpu.max").write_text("10000 100000\n")
    assert tree.read().cpus == 1.5


@pytest.mark.parametrize("text", ["", "nonsense\n", "a b\n", "100000 0\n", "-5 100000\n"])
def test_what_cannot_be_read_is_no_quota(tmp_path, text):
    tree = Tree(tmp_path).is_in("/box").group("box")
    (tree.top / "box" / "cpu.max").write_text(text)
    assert tree.read().cpus is None


def test_without_proc_there_is_no_quota(tmp_path):
    assert Quotas(tmp_path / "nowhere").cpus is None
    (tmp_path / "cgroup").write_text("0::/\n")
    assert Quotas(tmp_path).cpus is None  # no mountinfo
    (tmp_path / "mountinfo").write_text("short - line\n31 24 0:28 / /nowhere rw - cgroup2 cgroup2 rw\n")
    assert Quotas(tmp_path).cpus is None  # nothing there


def test_counts_that_vanish_count_nothing(tree):
    tree.is_in("/box").group("box", 1.5, 3, 1)
    quotas = tree.read()
    (tree.top / "box" / "cpu.stat").unlink()
    assert quotas.counts() == [Throttling(1.5)]


def test_the_meter_tells_of_each_stop_once(tree):
    tree.is_in("/box").group("box", 1.5, 3, 1)
    meter = ThrottleMeter(tree.read())
    assert not meter.throttled()
    tree.group("box", 1.5, 9, 1)
    assert not meter.throttled()
    tree.group("box", 1.5, 10, 2)
    assert meter.throttled()
    assert not meter.throttled()


@pytest.mark.parametrize(
    ("cpus", "quota", "threads"), [(2, None, 2), (8, 1.5, 1), (8, 0.5, 1), (8, 4.0, 4), (2, 16.0, 2), (8, 2.99, 2)]
)
def test_no_more_threads_than_cpus_and_quota_allow(cpus, quota, threads):
    assert most_threads(cpus, quota) == threads


@pytest.mark.parametrize(
    ("quota", "threads", "said"),
    [
        (None, 2, []),
        (2.0, 2, []),
        (1.5, 1, ["1.5 CPUs: 1 thread instead of one for each of 2 CPUs", "--cpuset-cpus"]),
        (1.5, 2, ["1.5 CPUs, and 2 threads are throttled: use --threads 1, or", "--cpuset-cpus"]),
        (0.5, 1, ["0.5 CPUs, so that even one thread is throttled", "--cpuset-cpus=0"]),
    ],
)
def test_a_warning_says_what_is_wrong_and_what_to_do(quota, threads, said):
    found = warnings(2, quota, threads)
    assert len(found) == bool(said)
    assert all(part in found[0] for part in said)


@pytest.mark.parametrize(
    ("found", "threads", "said"),
    [
        (Throttling(1.5, 341, 294), 2, "whole CPUs (--cpuset-cpus) or use --threads 1"),
        (Throttling(1.0, 341, 294), 1, "something else in it works meanwhile"),
        (Throttling(0.5, 341, 294), 1, "even one thread is throttled; give it a whole CPU"),
    ],
)
def test_the_verdict_on_throttling_is_one_line(found, threads, said):
    line = verdict(found, threads)
    assert line.startswith(f"throttled in 294 of 341 periods: the container's CPU quota of {found.quota:g} CPU")
    assert said in line
    assert "\n" not in line


def test_what_did_nothing_is_not_told():
    assert verdict(None, 2) == verdict(Throttling(1.5), 2) == verdict(Throttling(1.5, 1000, 9), 2) == ""
    assert facts(None) == {}
    assert facts(Throttling(1.5, 7, 3, 0.5)) == {"cpu_periods": 7, "throttled_periods": 3, "throttled_time": 0.5}
