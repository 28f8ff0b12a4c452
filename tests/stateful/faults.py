"""A store that fails on command, and an embedder that knows a dozen texts."""

from mneme import InputTooLongError, StoreBackendError
from mneme.ports import Store
from mneme.testing import ScriptedEmbedder

VERBS = [name for name in vars(Store) if not name.startswith("_") and name != "name"]


class FaultyStore:
    """Passes every verb on, but for one that it was told to spoil."""

    def __init__(self, inner):
        self.inner = inner
        self.calm()

    @property
    def name(self):
        return self.inner.name

    def spoil(self, number, *, after=False):
        """Fail at the verb of this number from now: before it does anything, or once it has done all of it."""
        self._left, self._after, self.fired = number, after, False

    def calm(self):
        self._left, self._after, self.fired = 0, False, False


def _verb(name):
    def verb(self, *args, **kwargs):
        self._left -= 1
        if self._left != 0:
            return getattr(self.inner, name)(*args, **kwargs)
        self.fired = True
        if not self._after:
            raise StoreBackendError(f"{name} failed before it did anything, as the test told it to")
        getattr(self.inner, name)(*args, **kwargs)
        raise RuntimeError(f"{name} was interrupted once it was done, as the test told it to")

    return verb


for _name in VERBS:
    setattr(FaultyStore, _name, _verb(_name))


class Vocabulary(ScriptedEmbedder):
    """Knows some texts, finds one too long, and fails while it is told to."""

    def __init__(self, mapping, too_long):
        super().__init__(mapping)
        self.too_long = too_long
        self.broken = False

    def embed(self, text):
        self._refuse([text])
        return super().embed(text)

    def embed_many(self, texts):
        self._refuse(texts)
        return super().embed_many(texts)

    def _refuse(self, texts):
        if self.broken:
            raise RuntimeError("the embedder is broken, as the test told it to be")
        if self.too_long in texts:
            raise InputTooLongError("the text is too long")
