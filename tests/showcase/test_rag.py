"""Answers from documents: served with their sources, and gone when a document changes."""

import pytest

from mneme import SemanticCache
from mneme.testing import HashEmbedder
from showcase.work.asking import Reply
from showcase.work.inputs import BadInputError
from showcase.work.passages import Library, Shelf, paragraphs
from showcase.work.rag import Desk

DOCUMENTS = {
    "keys": "# Keys\n\nTo change the encryption key, add a new key to the ring and then remove the old one from it.\n",
    "space": "# Space\n\nWhen the cache is full, the entries that were used longest ago are evicted before others.\n",
    "time": "# Time\n\nAn entry that has a time to live is invisible from the very moment at which it has expired.\n",
    "hosts": "# Hosts\n\nSeveral processes of one host may share a file and see at once what any of them writes.\n",
}


class Parrot:
    """Answers with what it was shown, and counts."""

    name = "parrot"

    def __init__(self, before=None, *, whole=True):
        self.asked = []
        self._before = before
        self._whole = whole

    def ask(self, instruction, text):
        self.asked.append(text)
        if self._before is not None:
            self._before()
        return Reply(f"Because {text[:40]}", whole=self._whole)


@pytest.fixture(scope="module")
def shelf():
    return Shelf(DOCUMENTS, HashEmbedder(256))


@pytest.fixture
def cache(shelf):
    with SemanticCache(":memory:", shelf.embedder) as cache:
        yield cache


@pytest.fixture
def desk(cache, shelf):
    return Desk(cache, "rag-one", Library(shelf), Parrot())


def test_a_paragraph_that_the_embedder_cannot_read_is_left_out(local):
    readable = "How a password is reset: open the settings, choose security, and follow the link that is sent to you."
    shelf = Shelf({"page": f"# Page\n\n{readable}\n\n{readable} 🎉\n\n{readable.upper()}"}, local)
    assert [(passage.number, passage.text) for passage in shelf.passages] == [(0, readable), (1, readable.upper())]
    assert len(shelf.vectors) == 2


def test_the_same_question_in_other_words_gets_the_same_answer_and_sources_without_the_model(local):
    model = Parrot()
    shelf = Shelf.of_this_project(local, ("encryption", "guards"))
    with SemanticCache(":memory:", local) as cache:
        desk = Desk(cache, "rag", Library(shelf), model)
        first = desk.ask("How do I change the encryption key?")
        second = desk.ask("How can I change the encryption key?")
    assert first.layer is None
    assert "encryption" in {source.document for source in first.sources}
    assert (second.layer, second.stored) == ("semantic", "How do I change the encryption key?")
    assert (second.answer, second.sources) == (first.answer, first.sources)
    assert len(model.asked) == 1


def test_a_changed_document_removes_the_answers_made_from_it_and_no_others(cache, shelf):
    desk = Desk(cache, "rag", Library(shelf), Parrot())
    asked = ["change the encryption key in the ring", "entries evicted when the cache is full"]
    answers = {question: desk.ask(question) for question in asked}
    edited = desk.edit(answers[asked[0]].sources[0].number, "The key is changed by the landlord alone, on Sundays.")
    held = {q: edited.passage.document in {s.document for s in a.sources} for q, a in answers.items()}
    assert held[asked[0]]
    assert {kept.question for kept in edited.removed} == {question for question in asked if held[question]}
    assert {kept.question for kept in edited.stayed} == {question for question in asked if not held[question]}
    assert edited.version == 2
    again = desk.ask(asked[0])
    assert again.layer is None
    assert "landlord" in " ".join(source.text for source in again.sources)


def test_a_rewritten_passage_is_found_by_its_new_words_and_not_by_its_old_ones(shelf):
    library = Library(shelf)

    def first(question):
        found = library.nearest(shelf.embedder.embed(question), 1)[0]
        return found.passage.number, found.similarity

    number, similarity = first("change the encryption key in the ring")
    assert number == 0
    library.rewrite(0, "Giraffes sleep standing in the savannah.")
    assert first("do giraffes sleep standing")[0] == 0
    assert first("change the encryption key in the ring")[1] < similarity


def test_an_answer_is_not_kept_if_its_document_changed_while_the_model_was_busy(cache, shelf):
    library = Library(shelf)
    desk = Desk(cache, "rag", library, Parrot(before=lambda: library.rewrite(0, "Something else altogether.")))
    answered = desk.ask("change the encryption key in the ring")
    assert not answered.kept
    assert desk.kept() == ()


def test_an_answer_is_not_kept_if_its_document_changes_while_it_is_stored(cache, shelf, monkeypatch):
    desk, put = Desk(cache, "rag", Library(shelf), Parrot()), cache.put

    def changed_just_before(*args, **options):
        desk.edit(0, "Something else altogether.")
        return put(*args, **options)

    monkeypatch.setattr(cache, "put", changed_just_before)
    assert not desk.ask("change the encryption key in the ring").kept
    assert desk.kept() == ()


def test_an_answer_that_was_cut_off_is_shown_and_not_kept(cache, shelf):
    desk = Desk(cache, "rag", Library(shelf), Parrot(whole=False))
    answered = desk.ask("change the encryption key in the ring")
    assert answered.answer
    assert not answered.kept
    assert desk.kept() == ()


def test_what_one_person_writes_and_asks_is_not_seen_by_another(cache, shelf):
    ones, others = (Desk(cache, name, Library(shelf), Parrot()) for name in ("one", "other"))
    ones.edit(0, "The key is under the mat, as everybody knows.")
    ones.ask("where is the key")
    assert others.library.passage(0) == shelf.passages[0]
    assert others.kept() == ()
    assert not any("mat" in source.text for source in others.ask("where is the key").sources)


def test_a_model_that_fails_leaves_nothing_behind(cache, shelf):
    def fail():
        raise ConnectionError("the model is not there")

    desk = Desk(cache, "rag", Library(shelf), Parrot(before=fail))
    with pytest.raises(ConnectionError):
        desk.ask("change the encryption key")
    assert desk.kept() == ()


def test_without_a_model_the_nearest_passage_is_the_answer(cache, shelf):
    answered = Desk(cache, "rag", Library(shelf), None).ask("change the encryption key in the ring")
    assert answered.answer == answered.sources[0].text
    assert answered.model == ""


@pytest.mark.parametrize(("question", "says"), [("  ", "empty"), ("why " * 500, "shorten it"), ("a\0b", "no text")])
def test_a_question_that_cannot_be_asked_is_refused_and_nothing_is_kept(desk, question, says):
    with pytest.raises(BadInputError, match=says):
        desk.ask(question)
    assert desk.kept() == ()


def test_a_question_that_the_embedder_cannot_read_is_refused_with_the_reason(local):
    with SemanticCache(":memory:", local) as cache:
        desk = Desk(cache, "rag", Library(Shelf(DOCUMENTS, local)), Parrot())
        with pytest.raises(BadInputError, match="cannot be looked up"):
            desk.ask("\N{GRINNING FACE}")


def test_a_passage_that_cannot_be_written_changes_nothing(desk):
    with pytest.raises(BadInputError, match="passage is empty"):
        desk.edit(0, " ")
    with pytest.raises(KeyError):
        desk.edit(99, "Something.")
    assert desk.library.edited == ()
    assert set(desk.library.versions.values()) == {1}


def test_paragraphs_have_no_code_no_tables_and_no_marks():
    page = (
        "# Title\n\nShort one.\n\n```python\nprint('this is code and it has many words in it, more than ten')\n```\n\n"
        "## Part\n\nThis paragraph only introduces the list that comes below, in more than ten words:\n\n"
        "A **paragraph** with [a link](https://example.org) and `code` that has more than ten words.\n\n"
        "| a | table |\n|---|---|\n| of | many many many many many many many many words |\n"
    )
    assert list(paragraphs(page)) == [("Part", "A paragraph with a link and code that has more than ten words.")]


def test_one_person_keeps_so_many_answers_and_no_more(cache, shelf, monkeypatch):
    monkeypatch.setattr("showcase.work.room.make_room.__defaults__", (2,))
    desk = Desk(cache, "rag", Library(shelf), Parrot())
    for question in ("change the encryption key", "evicted when the cache is full", "invisible when expired"):
        desk.ask(question)
    assert [kept.question for kept in desk.kept()] == ["evicted when the cache is full", "invisible when expired"]


def test_an_answer_is_kept_under_the_name_that_its_model_has_got_meanwhile(cache, shelf):
    class Late(Parrot):
        name = ""

        def ask(self, instruction, text):
            self.name = "late"
            return super().ask(instruction, text)

    desk = Desk(cache, "rag", Library(shelf), Late())
    assert desk.ask("change the encryption key").model == "late"
    assert [entry.scope["model"] for entry in cache.entries(namespace="rag")] == ["late"]
    assert desk.ask("change the encryption key").layer == "exact"
