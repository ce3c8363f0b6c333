"""SIGKILL at any instant: the run goes on to the same bits, and no file is left over."""

import random
import time

import pytest
from runs import JUDGED, LEFT, SETUPS, finished, kill, left_in, resumable, started, state_of


@pytest.fixture(scope="module")
def whole(request, tmp_path_factory):
    """Runs that nothing ended: what they left, and how long they took."""
    kernels = request.config.getoption("--kernels")
    done = {}

    def run(setup):
        if setup not in done:
            out = tmp_path_factory.mktemp("whole") / "run"
            began = time.monotonic()
            status, said = finished(started(setup, out, kernels=kernels))
            assert status == 0, said
            done[setup] = (state_of(out), time.monotonic() - began)
        return done[setup]

    return run


def killed_until_done(setup, out, draw, seconds, kills, kernels):
    """Run and kill, up to `kills` times, then let the run come to its end; return the kills."""
    count = 0
    while True:
        process = started(setup, out, resumable(out), kernels)
        if count < kills:
            time.sleep(draw.uniform(0.1 * seconds, 0.9 * seconds))
            if process.poll() is None:
                kill(process)
                count += 1
                continue
        status, said = finished(process)
        assert status == 0, f"after {count} kills: {said}"
        return count


def check(setup, whole, folder, seed, kills, kernels):
    expected, seconds = whole(setup)
    out = folder / f"{setup}-{seed}"
    count = killed_until_done(setup, out, random.Random(seed), seconds, kills, kernels)
    assert state_of(out) == expected, f"other bits after {count} kills"
    wanted = LEFT if SETUPS[setup] is None else JUDGED
    assert left_in(out) <= wanted, "files are left over"
    assert left_in(out) >= wanted - {"loss.png"}
    return count


@pytest.mark.parametrize("setup", ["program"])
def test_a_killed_run_goes_on_to_the_same_bits(setup, whole, tmp_path, pytestconfig):
    check(setup, whole, tmp_path, 1, 2, pytestconfig.getoption("--kernels"))


@pytest.mark.slow_faults
@pytest.mark.parametrize("setup", SETUPS)
def test_25_kills_of_each_set_up(setup, whole, tmp_path, pytestconfig, record_property):
    kernels = pytestconfig.getoption("--kernels")
    kills = runs = 0
    while kills < 25:
        kills += check(setup, whole, tmp_path, runs, min(5, 25 - kills), kernels)
        runs += 1
    record_property(f"SIGKILL, {setup}", f"{kills} kills in {runs} runs, 0 lost")
