"""Real MPI processes: the bits of a training do not depend on how many there are."""

from __future__ import annotations

import re

import pytest
from launching import HAS_MPI, WITHOUT, digests, run

pytestmark = pytest.mark.skipif(not HAS_MPI, reason=WITHOUT)


@pytest.mark.parametrize(("kind", "steps"), [("mlp", 50), ("cnn", 50), ("gpt", 50), ("held", 9)])
def test_bits_are_those_of_one_process(kind, steps):
    alone = digests(0, kind, 4, steps)
    assert len(alone) == 1
    assert digests(1, kind, 4, steps) == digests(2, kind, 4, steps) == alone
    four = run(4, "bits.py", kind, 4, steps)
    assert set(re.findall(r"digest (\w+)", four.stdout)) == alone, four.stderr
    assert four.stdout.count("windows") == 4  # not messages: they share memory


def test_bits_of_short_floats():
    alone, two, four = (digests(n, "mlp", 4, 6, DTYPE="bfloat16") for n in (0, 2, 4))
    assert len(alone) == 1 and two == four == alone


def test_shards_that_no_process_has_whole_nodes_of():
    assert digests(0, "mlp", 6, 20) == digests(2, "mlp", 6, 20) == digests(4, "mlp", 6, 20)


def test_other_shards_give_other_bits():  # or the digest would say nothing
    assert digests(0, "mlp", 4, 5) != digests(0, "mlp", 2, 5)


def test_state_is_divided_and_traffic_is_that_of_a_ring():
    out = run(2, "bits.py", "mlp", 2, 10).stdout
    for kept, whole, sent in re.findall(r"kept (\d+) of (\d+) sent (\d+)", out):
        assert int(kept) <= 0.7 * int(whole)  # three blocks of 1024 for two
        assert int(sent) < 10 * 2 * 0.75 * 4 * int(whole) + 30_000


def test_buckets_are_sent_in_the_order_in_which_backward_fills_them():
    done = run(2, "bits.py", "crossed", 2, 6)
    assert digests(0, "crossed", 2, 6) == set(re.findall(r"digest (\w+)", done.stdout))
    queues = re.findall(r"queue (.*)", done.stdout)
    assert len(queues) == 2 and len(set(queues)) == 1
    queue = list(map(int, queues[0].split()))
    # The first bucket has the last layer and the start of the first: it waits for both.
    assert sorted(queue) == list(range(len(queue))) and len(queue) > 4
    assert queue[-1] < 2 and queue != sorted(queue, reverse=True)


def test_killed_on_four_and_resumed_on_two(tmp_path):
    file = tmp_path / "last.safetensors"
    killed = run(4, "bits.py", "cnn", 4, 50, file, 23)
    assert killed.returncode != 0 and "digest" not in killed.stdout
    assert file.exists()
    assert digests(2, "cnn", 4, 50, file) == digests(0, "cnn", 4, 50)


def test_parameters_that_are_not_always_used():
    for alternates in (False, True):  # from step 3 on one rank, or none, uses the second layer
        waiting, not_waiting = (run(2, "unused.py", waits, alternates) for waits in (True, False))
        assert waiting.returncode == 0, waiting.stderr
        assert len(set(waiting.stdout.splitlines())) == 1
        if not alternates:
            assert set(not_waiting.stdout.splitlines()) == set(waiting.stdout.splitlines())
        else:  # in the last step rank 0, for which nothing has changed, cannot know
            assert not_waiting.returncode != 0
            assert re.search(r"than rank 0 could know .*'b.*unused_parameters=", not_waiting.stderr)


def test_env_shows_the_mpi_and_the_ranks_once():
    for ranks, shown in ((0, "1"), (2, "2, started by mpiexec")):
        done = run(ranks, "tensorlite", "env")
        assert done.returncode == 0, done.stderr
        assert re.findall(r"^ranks +(.*)$", done.stdout, re.M) == [shown]
        assert re.search(r"^MPI +mpi4py 4.*mpiexec$", done.stdout, re.M)
