"""What the pages' tests share."""

import pytest
from starlette.testclient import TestClient

import showcase
from mneme.embedders import LocalEmbedder
from showcase.models import Answer, ModelError
from showcase.work.remembered import Remembered


@pytest.fixture(scope="session")
def local():
    """The real model; loaded once."""
    return LocalEmbedder()


@pytest.fixture(scope="session")
def remembered(local):
    """The same, which embeds no text twice."""
    return Remembered(local)


class ScriptedModel:
    """Answers at once with words of the question, and does what a test tells it to."""

    name = "scripted"
    description = "a model that tests have written"

    def __init__(self):
        self.trouble = None
        self.questions = []
        self.failure = None
        """Raised instead of an answer."""
        self.whole = True
        self.waited = 0.0
        self.gate = None
        """To be waited for before an answer."""
        self.closed = 0

    def answer(self, messages, *, say=lambda _: None, stopped=lambda: False, most_tokens=200):
        question = messages[-1]["content"]
        self.questions.append(question)
        if self.gate is not None:
            self.gate.wait(30)
        if self.failure is not None:
            self.trouble = self.failure
            raise ModelError(self.failure)
        pieces = ["This ", "answers: ", question]
        for piece in pieces:
            say(piece)
        return Answer("".join(pieces), tokens=1000, seconds=0.5, waited=self.waited, whole=self.whole and not stopped())

    def probe(self):
        self.trouble = self.failure

    def close(self):
        self.closed += 1


@pytest.fixture
def model():
    return ScriptedModel()


@pytest.fixture
def site(model, local):
    """The whole application in a client of its own, whose forms come from its own pages."""
    made = showcase.app(showcase.Settings(embedder=local, answers=model))
    with TestClient(made, base_url="http://127.0.0.1", headers={"origin": "http://127.0.0.1"}) as client:
        yield client


@pytest.fixture
def state(site):
    return site.app.state.showcase
