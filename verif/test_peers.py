"""The cores' network: every target gets its copy, in each sender's order, nobody waits for ever, full rate."""

import numpy as np
import pytest

from gemel_golden.config import config
from gemel_rtl.noc.peers import PeerNetwork
from gemel_verif.runner import simulate

QUAD = config("nano").override(cores=4)


def run(sent: list[list[tuple[int, int]]], stall: float = 0.0, seed: int = 0) -> list[list[tuple[int, int, int]]]:
    inputs = {"chip": QUAD, "sent": sent, "stall": stall, "seed": seed, "limit": 5000}
    return simulate(PeerNetwork(QUAD), "gemel_peers", "tb_peers", inputs)["got"]


@pytest.mark.parametrize("stall", [0.0, 0.3, 0.7])
def test_every_target_gets_its_copy_in_order(rng: np.random.Generator, stall: float) -> None:
    sent = [[(int(rng.integers(1, 16)), number) for number in range(60)] for _ in range(4)]
    got = run(sent, stall, int(rng.integers(1 << 32)))
    for target, mine in enumerate(got):
        for sender in range(4):
            expected = [number for targets, number in sent[sender] if targets >> target & 1]
            assert [number for _, s, number in mine if s == sender] == expected


def test_a_sender_for_all_goes_at_full_rate() -> None:
    got = run([[(15, number) for number in range(50)], [], [], []])
    for mine in got:
        cycles = [cycle for cycle, _, _ in mine]
        assert cycles == list(range(cycles[0], cycles[0] + 50))


def test_senders_to_all_take_turns() -> None:
    """Four senders that each want every core at once: a copy arrives everywhere in every cycle."""
    got = run([[(15, number) for number in range(20)] for _ in range(4)])
    for mine in got:
        assert mine[-1][0] - mine[0][0] + 1 <= 80 + 4
        senders = [sender for _, sender, _ in mine]
        assert all(sorted(senders[i : i + 4]) == [0, 1, 2, 3] for i in range(4, 72, 4))
