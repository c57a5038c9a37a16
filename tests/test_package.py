"""`import mnv1`: what it offers, and what it loads."""

import subprocess
import sys

import pytest

import mnv1
from tests.conftest import ROOT, SLOW, outside_of_this_run


def in_a_process_of_its_own(code):
    command = [sys.executable, "-c", code]
    environment = outside_of_this_run(PYTHONPATH=str(ROOT))
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_alone_loads_neither_torch_nor_pandas():
    code = "import sys, mnv1; print(*dir(mnv1)); print(*sys.modules)"
    loaded = in_a_process_of_its_own(code)
    assert "MobileNetV1" in loaded
    assert not {"torch", "pandas", "numpy"} & set(loaded)


def test_counting_and_reading_need_no_torch():
    code = """if True:
        import sys, mnv1
        print(mnv1.count(mnv1.network_layers()).macs, mnv1.load.__module__, mnv1.find_runs.__module__)
        print(*sys.modules)
    """
    macs, *loaded = in_a_process_of_its_own(code)
    assert macs == "568740352"
    assert "pandas" in loaded
    assert "torch" not in loaded


def test_every_name_is_the_one_of_its_module():
    from mnv1.net.model import MobileNetV1

    assert mnv1.MobileNetV1 is MobileNetV1
    for name in mnv1.__all__:
        assert name in dir(mnv1)
        assert getattr(mnv1, name).__name__ == name
        assert f"`{name}`" in mnv1.__doc__


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match="module 'mnv1' has no attribute 'MobileNetV2'"):
        _ = mnv1.MobileNetV2


def test_every_test_that_is_listed_as_slow_exists():
    for stem, names in SLOW.items():
        (path,) = (ROOT / "tests").rglob(f"{stem}.py")
        text = path.read_text(encoding="utf8")
        for name in names:
            assert f"def {name.partition('[')[0]}(" in text, name
