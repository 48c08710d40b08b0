import threading
import time

from serving.periodic import Periodic


def test_it_calls_until_it_is_stopped_also_after_an_error():
    calls, enough = [], threading.Event()

    def work():
        calls.append(time.monotonic())
        if len(calls) == 3:
            enough.set()
        raise ValueError("a fault")

    periodic = Periodic("work", 0.01, work)
    assert enough.wait(10)
    periodic.stop()
    count = len(calls)
    time.sleep(0.1)
    assert len(calls) == count
    assert calls[0] < calls[1] < calls[2]
