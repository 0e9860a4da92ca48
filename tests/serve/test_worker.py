"""Micro-batching."""

import io
import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest

from seqlab.serve.refused import Refused
from seqlab.serve.uploads import submit_upload
from seqlab.serve.worker import Worker
from seqlab.signals import Signal
from tests.serve.service import LIMITS, wav
from tests.streaming.conftest import RATE, speech


class Blocked:
    """A worker that stands still until released, so that lines gather."""

    def __init__(self, recognizer, waiting=100):
        self.batches = []
        self.worker = Worker(recognizer, waiting, batched=self.batches.append)
        self._begun, self._go_on = threading.Event(), threading.Event()
        self.worker.call(lambda: (self._begun.set(), self._go_on.wait(60)))
        assert self._begun.wait(60)

    def release(self):
        self._go_on.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()
        self.worker.close()


def signal(seconds, seed=0):
    samples = speech(seconds, seed)
    return Signal(samples, 1 / RATE, len(samples) / RATE, "s")


def test_lines_that_wait_are_one_batch_and_read_as_alone(recognizers):
    ears = recognizers["ears"]
    lines = [signal(1 + 0.3 * n, n) for n in range(5)]
    alone = [ears.transcribe_signals([line])[0].text for line in lines]
    assert len(set(alone)) > 1
    with Blocked(ears) as held:
        futures = [held.worker.submit(line) for line in lines]
        held.release()
        assert [future.result(60).text for future in futures] == alone
        assert held.batches == [5]


def test_a_batch_holds_a_minute_with_its_padding(recognizers):
    with Blocked(recognizers["ears"]) as held:
        futures = [held.worker.submit(signal(seconds)) for seconds in (1, 1, 25, 25, 70, 1)]
        held.release()
        for future in futures:
            future.result(60)
        # 25 s x 3 would be 75, so the fourth begins anew; 70 s stands alone
        assert held.batches == [2, 2, 1, 1]


def test_calls_keep_their_place_in_the_row(recognizers):
    order = []
    with Blocked(recognizers["ears"]) as held:
        first = held.worker.submit(signal(1))
        first.add_done_callback(lambda _: order.append("line"))
        call = held.worker.call(lambda: order.append("call"))
        last = held.worker.submit(signal(1))
        held.release()
        call.result(60)
        last.result(60)
        assert order == ["line", "call"]
        assert held.batches == [1, 1]


def test_a_bad_line_fails_alone(recognizers):
    with Blocked(recognizers["ears"]) as held:
        good = [held.worker.submit(signal(1, n)) for n in range(2)]
        bad = held.worker.submit(Signal(np.full(RATE, "a")))
        held.release()
        assert all(future.result(60).text is not None for future in good)
        with pytest.raises(Exception):  # noqa: B017
            bad.result(60)


def test_one_more_than_may_wait_is_refused(recognizers):
    with Blocked(recognizers["ears"], waiting=2) as held:
        kept = [held.worker.submit(signal(1)) for _ in range(2)]
        with pytest.raises(Refused) as refused:
            held.worker.submit(signal(1))
        assert refused.value.status_code == 503
        assert int(refused.value.headers["retry-after"]) >= 1
        held.release()
        assert [future.result(60).text for future in kept]


def test_who_has_left_costs_nothing(recognizers):
    with Blocked(recognizers["ears"]) as held:
        gone, stays = held.worker.submit(signal(1)), held.worker.submit(signal(1))
        assert gone.cancel()
        held.release()
        stays.result(60)
        assert held.batches == [1]
        with pytest.raises(CancelledError):
            gone.result()


def test_a_long_recording_ends_at_the_first_block_after_the_client(recognizers, tmp_path, monkeypatch):
    monkeypatch.setattr("seqlab.serve.uploads.LONG_SECONDS", 1.0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    worker = Worker(recognizers["ears"], 2)
    with pytest.raises(Refused, match="has left"):
        submit_upload(worker, io.BytesIO(wav(speech(3))), "a.wav", LIMITS, lambda: True).result(60)
    stayed = submit_upload(worker, io.BytesIO(wav(speech(3))), "a.wav", LIMITS)
    assert stayed.result(60).duration == 3.0
    worker.close()
    assert list(tmp_path.iterdir()) == []


def test_what_waits_is_done_before_the_end(recognizers):
    held = Blocked(recognizers["ears"])
    future = held.worker.submit(signal(1))
    held.release()
    held.worker.close()
    assert future.done()
