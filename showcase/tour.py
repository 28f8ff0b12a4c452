"""Traffic to look at: prepared questions, asked one after the other by a thread, as an application would."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from mneme import MnemeError
from showcase.models import CutOffError, ModelError

__all__ = ["Tour"]


class Tour:
    """Asks *questions* in turn, once started; one at a time for the whole showcase.

    Args:
        ask: Called with a question, and with what says whether nobody waits for the answer any more.
        questions: What is asked.
        pause: Seconds between two of them, so that one can follow with the eyes.
    """

    def __init__(
        self, ask: Callable[[str, Callable[[], bool]], object], questions: Sequence[str], *, pause: float = 0.35
    ) -> None:
        self._ask = ask
        self._questions = questions
        self.pause = pause
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.done = 0
        self.failure: str | None = None
        """Why the latest one ended early."""

    @property
    def running(self) -> bool:
        """Whether it is asking."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    @property
    def total(self) -> int:
        """How many questions there are."""
        return len(self._questions)

    def start(self) -> bool:
        """Begin, from the first question; false if it runs already."""
        with self._lock:
            if self.running:
                return False
            self._stop.clear()
            self.done, self.failure = 0, None
            self._thread = threading.Thread(target=self._run, name="showcase-tour", daemon=True)
            self._thread.start()
            return True

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        with self._lock:  # one that is just beginning has begun, and ends too
            self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until it has ended by itself."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        for question in self._questions:
            try:
                self._ask(question, self._stop.is_set)
            except CutOffError:
                pass  # shown as a miss; the next question is another
            except (ModelError, MnemeError) as error:
                self.failure = str(error)
                return
            self.done += 1
            if self._stop.wait(self.pause):
                return
