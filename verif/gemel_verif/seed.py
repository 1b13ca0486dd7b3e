"""Pytest plugin: one --seed for a run, and a random stream of its own for each test."""

from hashlib import sha256

import numpy as np
import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=0, help="seed of all random tests (default 0)")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('--seed')}"


def stream(seed: int, name: str) -> np.random.Generator:
    """The random generator that belongs to this seed and this name, the same in every process."""
    digest = sha256(f"{seed}:{name}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, np.uint32))


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """The test's own random stream, from --seed and the test's name with its parameters."""
    return stream(int(request.config.getoption("--seed", 0) or 0), request.node.name)
