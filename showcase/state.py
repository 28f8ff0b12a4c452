"""What all pages share: one cache in one file, the embedder, the model, and what happened lately."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mneme import Embedder, SemanticCache
from mneme.embedders import LocalEmbedder
from showcase import seeds
from showcase.models import Answer, CutOffError, Message, Model, choose
from showcase.models.asker import Asker
from showcase.models.base import never, unheard
from showcase.recorder import Recorder, Seen
from showcase.settings import Settings
from showcase.tour import Tour

__all__ = ["STRESS", "Asked", "State"]

FILE = "showcase.db"
THRESHOLD = 0.85
# The namespace of the stress run.
STRESS = "stress"
# The page about tenants shows what a quota does.
QUOTAS = {"globex": 4}
INSTRUCTION = "Answer in one or two short sentences."


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and how it was answered."""

    response: Any
    seen: Seen | None
    """What the cache reported; `None` if nobody heard of it."""
    seconds: float
    computed: Answer | None = None
    """What the model said, if it was asked."""

    @property
    def outcome(self) -> str:
        """`exact`, `semantic` or `miss`."""
        return self.seen.outcome if self.seen else "miss"


class State:
    """Opened with the application, closed with it.

    Raises:
        ValueError: The endpoint is no address.
        ImportError: The local embedder is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # What can fail comes first, so that nothing is left behind.
        self.embedder: Embedder = settings.embedder or LocalEmbedder()
        self.model: Model = settings.answers or choose(settings.endpoint, settings.model, settings.api_key)
        self._temporary = None if settings.folder else tempfile.TemporaryDirectory(prefix="mneme-showcase-")
        self.folder = settings.folder or Path(self._temporary.name if self._temporary else ".")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.asker = Asker(self.model)
        self.recorder = Recorder(apart=(STRESS,))
        self.file = self.folder / FILE
        self.cache = self.open_cache(FILE, metrics_hook=self.recorder, namespace_quotas=QUOTAS)
        self.started = time.time()
        self.tour = Tour(lambda question, stopped: self.ask_model(question, stopped=stopped), seeds.story())
        self._closing: list[Callable[[], object]] = [self.tour.stop]

    def open_cache(self, name: str, **options: Any) -> SemanticCache:
        """A cache in a file of the showcase's folder, for pages that want one of their own; they close it."""
        return SemanticCache(self.folder / name, self.embedder, **{"similarity_threshold": THRESHOLD, **options})

    def on_close(self, close: Callable[[], object]) -> None:
        """Call *close* when the application ends, before the shared cache is closed."""
        self._closing.append(close)

    def ask(
        self,
        query: str,
        compute: Callable[[str], Any],
        *,
        namespace: str = "default",
        scope: Any = None,
        **options: Any,
    ) -> Asked:
        """What `get_or_compute` gives, and which layer it came from. *options* are its own.

        Raises: as `get_or_compute`.
        """
        with self.recorder.asking(query, scope) as asking:
            begun = time.perf_counter()
            response = self.cache.get_or_compute(query, compute, namespace=namespace, scope=scope, **options)
            seconds = time.perf_counter() - begun
        return Asked(response, asking.seen, seconds)

    def ask_model(
        self,
        question: str,
        *,
        namespace: str = "default",
        instruction: str = INSTRUCTION,
        scope: Any = None,
        say: Callable[[str], None] = unheard,
        stopped: Callable[[], bool] = never,
        begin: Callable[[], object] = lambda: None,
        **options: Any,
    ) -> Asked:
        """The answer of the model to *question*, from the cache if it has one.

        Model and instruction are part of the scope, as everything is that changes an answer and is not the question.

        Args:
            question: What is asked; alone what is compared by meaning.
            namespace: As for `get_or_compute`.
            instruction: The system prompt.
            scope: Joins the scope: a mapping.
            say: Gets the pieces of a computed answer as they come.
            stopped: Whether nobody waits for the answer any more.
            begin: Called before the model is asked, which is when the cache has no answer.
            **options: As for `get_or_compute`.

        Raises:
            ModelError: The model did not answer.
            CutOffError: It was cut off, which is not kept.
            ValueError: The question is empty or too long.
        """
        begun: list[str] = []
        computed: list[Answer] = []

        def compute(question: str) -> str:
            begun.append(question)
            begin()
            answer = self.model.answer(self.turns(question, instruction), say=say, stopped=stopped)
            if not answer.whole:
                raise CutOffError(answer)
            computed.append(answer)
            return answer.text

        def cost(_: Any) -> float:
            return self.cost_of(computed[0]) if computed else 0.0

        whole_scope = self.scope(instruction, scope)
        while True:
            try:
                asked = self.ask(question, compute, namespace=namespace, scope=whole_scope, cost=cost, **options)
            except CutOffError:
                if begun or stopped():
                    raise
                continue  # somebody else asked the same, was waited for, and left before the answer was whole
            return Asked(asked.response, asked.seen, asked.seconds, computed[0] if computed else None)

    def scope(self, instruction: str = INSTRUCTION, more: Any = None) -> dict[str, Any]:
        """What must be equal for an answer of the model to serve again."""
        if not self.model.name:
            self.model.probe()
        return {"model": self.model.name, "instruction": instruction, **(more or {})}

    def turns(self, question: str, instruction: str = INSTRUCTION) -> Sequence[Message]:
        """The chat that the model gets."""
        return [{"role": "system", "content": instruction}, {"role": "user", "content": question}]

    def cost_of(self, answer: Answer) -> float:
        """What an answer is taken to have cost, in euros."""
        return answer.tokens * self.settings.price / 1e6

    def close(self) -> None:
        """Let go of everything, and remove what is temporary. Again is harmless."""
        while self._closing:
            self._closing.pop()()
        self.cache.close()
        self.model.close()
        if self._temporary is not None:
            self._temporary.cleanup()
