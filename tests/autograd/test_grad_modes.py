"""no_grad and its kin: blocks, and decorators of functions of every kind."""

import asyncio

import pytest

import tensorlite as tl

FORMS = [tl.no_grad, tl.no_grad(), tl.inference_mode, tl.inference_mode(), tl.inference_mode(True)]


def recording():
    return tl.is_grad_enabled()


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.mark.parametrize("form", FORMS)
def test_functions(form):
    assert not form(recording)()
    assert form(recording).__name__ == "recording"
    assert recording()


@pytest.mark.parametrize("form", FORMS)
def test_generators_record_nothing_inside_and_all_outside(form):
    @form
    def steps():
        seen = recording()
        while True:
            try:
                sent = yield seen
                seen = sent, recording()
            except KeyError:
                seen = "caught", recording()

    inside = steps()
    assert next(inside) is False
    assert recording()
    assert inside.send(3) == (3, False)
    assert inside.throw(KeyError) == ("caught", False)
    with tl.no_grad():
        assert inside.send(4) == (4, False)
        assert not recording()
    assert recording()
    inside.close()
    with pytest.raises(StopIteration):
        next(inside)


def test_generators_return_and_clean_up():
    ended = []

    @tl.no_grad()
    def steps():
        try:
            yield 1
        finally:
            ended.append(recording())
        return 7

    def outer():
        return (yield from steps())

    inside = outer()
    assert next(inside) == 1
    with pytest.raises(StopIteration) as stop:
        next(inside)
    assert stop.value.value == 7
    left = steps()
    next(left)
    left.close()
    assert ended == [False, False]
    assert recording()


@pytest.mark.parametrize("form", FORMS)
def test_coroutines_do_not_switch_off_what_runs_between(form):
    seen = []

    @form
    async def quiet():
        for _ in range(3):
            seen.append(("quiet", recording()))
            await asyncio.sleep(0)
        return "done"

    async def loud():
        for _ in range(3):
            seen.append(("loud", recording()))
            await asyncio.sleep(0)

    async def both():
        return await asyncio.gather(quiet(), loud())

    assert run(both()) == ["done", None]
    assert set(seen) == {("quiet", False), ("loud", True)}
    assert [name for name, _ in seen[:4]] == ["quiet", "loud"] * 2
    assert recording()


@pytest.mark.parametrize("form", FORMS)
def test_asynchronous_generators(form):
    ended = []

    @form
    async def steps():
        try:
            for _ in range(3):
                await asyncio.sleep(0)
                yield recording()
        finally:
            ended.append(recording())

    async def outside():
        seen = []
        async for inside in steps():
            seen.append((inside, recording()))
        inside = steps()
        await inside.__anext__()
        await inside.aclose()
        return seen

    assert run(outside()) == [(False, True)] * 3
    assert ended == [False, False]


def test_methods_and_errors():
    class Model:
        @tl.no_grad
        def predict(self, x):
            return x, recording()

    assert Model().predict(3) == (3, False)

    @tl.no_grad
    def fails():
        raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert recording()


def test_enable_grad_and_inference_mode_false():
    with tl.no_grad():
        assert tl.enable_grad(recording)()
        assert tl.enable_grad()(recording)()
        with tl.inference_mode(False):
            assert recording()
        with tl.enable_grad():
            assert recording()
        assert not recording()


def test_set_grad_enabled_is_a_statement_a_block_and_a_decorator():
    tl.set_grad_enabled(False)
    assert not recording()
    tl.set_grad_enabled(True)
    assert recording()
    with tl.set_grad_enabled(False):
        assert not recording()
    assert recording()
    quiet = tl.set_grad_enabled(False)(recording)
    assert recording()
    assert not quiet()
    assert recording()
    with tl.set_grad_enabled(mode=False), tl.set_grad_enabled(True):
        assert recording()
    block = tl.no_grad()
    with block, block:
        assert not recording()
    assert recording()
