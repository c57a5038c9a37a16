"""How pytest runs the cases. What the hooks do is in `mnv1.suite.hooks`."""

from pathlib import Path

import pytest

from mnv1.suite import hooks
from mnv1.suite.options import add_options


def pytest_addoption(parser):
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    hooks.configure(config, Path(__file__).parent)


def pytest_generate_tests(metafunc):
    hooks.suite_of(metafunc.config).parametrize(metafunc)


@pytest.fixture
def case(request):
    return hooks.suite_of(request.config).case(request.param)


layer_case = model_case = pair = training_case = training_pair = gain = case


@pytest.fixture
def sweep(request, benchmark):
    """Hands over what was measured of a case: `sweep(case)`."""
    return lambda case: hooks.suite_of(request.config).replay(case, benchmark)
