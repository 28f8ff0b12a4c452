"""Translations: one for each language, and never that of a sentence with other numbers or placeholders."""

import pytest

from mneme import SemanticCache
from mneme.guards import DEFAULT_GUARDS
from showcase.work.asking import Reply
from showcase.work.inputs import BadInputError
from showcase.work.phrases import LANGUAGES, PLACEHOLDERS, phrases, slots
from showcase.work.translation import TABLE, Translator


class Scripted:
    """A model that says what the test wrote down."""

    name = "scripted"

    def __init__(self, *replies):
        self.replies = list(replies)

    def ask(self, instruction, text):
        return self.replies.pop(0)


@pytest.fixture
def cache(remembered):
    with SemanticCache(":memory:", remembered, guards=(*DEFAULT_GUARDS, PLACEHOLDERS)) as cache:
        yield cache


@pytest.fixture
def translator(cache):
    return Translator(cache, "translation-one", None)


def test_the_table_carries_numbers_and_placeholders_over(translator):
    done = translator.translate("Your order {Order_Id} has been shipped.", "de")
    assert (done.translation, done.by, done.layer) == ("Ihre Bestellung {Order_Id} wurde versandt", TABLE, None)
    assert translator.translate("Do you want to delete 12 files?", "fr").translation == (
        "Voulez-vous supprimer 12 fichiers ?"
    )


def test_the_same_sentence_in_other_words_is_served_and_not_translated(translator):
    first = translator.translate("Please enter your password", "de")
    second = translator.translate("Enter your password, please", "de")
    assert (second.layer, second.translation, second.stored) == ("semantic", first.translation, first.text)


def test_another_language_is_another_translation(translator):
    german = translator.translate("Where is the station?", "de")
    french = translator.translate("Where is the station?", "fr")
    assert (german.layer, french.layer) == (None, None)
    assert (german.translation, french.translation) == ("Wo ist der Bahnhof?", "Où est la gare ?")


@pytest.mark.parametrize(
    ("stored", "asked", "guard"),
    [
        ("You have 3 new messages", "You have 4 new messages", "numbers"),
        ("The file {file} could not be opened", "The file {filename} could not be opened", "placeholders"),
        ("Two-factor authentication is enabled", "Two-factor authentication is disabled", "opposites"),
    ],
)
def test_what_looks_alike_and_is_not_is_kept_apart_and_it_is_said_why(translator, stored, asked, guard):
    first = translator.translate(stored, "es")
    second = translator.translate(asked, "es")
    assert second.layer is None
    assert second.translation != first.translation
    [refused] = second.refused
    assert (refused.query, refused.translation) == (stored, first.translation)
    assert refused.similarity >= 0.9
    assert refused.why.startswith(f"{guard}:")


def test_without_the_guard_for_placeholders_the_wrong_one_would_be_served(remembered):
    with SemanticCache(":memory:", remembered) as cache:
        translator = Translator(cache, "translation", None)
        translator.translate("The file {file} could not be opened", "de")
        assert translator.translate("The file {filename} could not be opened", "de").layer == "semantic"


def test_what_the_table_does_not_know_is_translated_by_the_model_and_kept(cache):
    translator = Translator(cache, "translation", Scripted(Reply("Der Himmel ist blau.")))
    assert translator.translate("The sky is blue", "de").by == "scripted"
    assert translator.translate("the sky is blue", "de").layer == "exact"


def test_a_translation_is_kept_under_the_name_that_its_model_has_got_meanwhile(cache):
    class Late(Scripted):
        name = ""

        def ask(self, instruction, text):
            self.name = "late"
            return super().ask(instruction, text)

    translator = Translator(cache, "translation", Late(Reply("Der Himmel ist blau.")))
    assert translator.translate("The sky is blue", "de").by == "late"
    assert translator.translate("The sky is blue", "de").layer == "exact"


@pytest.mark.parametrize(
    ("reply", "lost", "cut_off"),
    [(Reply("Sie haben drei Vögel"), ("3",), False), (Reply("Sie haben 3", whole=False), (), True)],
)
def test_a_translation_that_lost_something_or_was_cut_off_is_shown_and_not_kept(cache, reply, lost, cut_off):
    translator = Translator(cache, "translation", Scripted(reply))
    done = translator.translate("You own 3 birds", "de")
    assert (done.translation, done.lost, done.cut_off, done.kept) == (reply.text, lost, cut_off, False)
    assert cache.stats("translation").entries == 0


def test_what_nobody_can_translate_is_refused(translator):
    with pytest.raises(BadInputError, match="not in the phrase table"):
        translator.translate("The sky is blue", "de")


@pytest.mark.parametrize(
    ("text", "language", "says"), [(" ", "de", "empty"), ("a" * 301, "de", "shorten"), ("Hello", "tlh", "no language")]
)
def test_what_cannot_be_asked_is_refused(translator, text, language, says):
    with pytest.raises(BadInputError, match=says):
        translator.translate(text, language)


def test_the_translations_of_one_person_do_not_serve_another(cache):
    ones, others = (
        Translator(cache, "one", Scripted(Reply("Eins"))),
        Translator(cache, "other", Scripted(Reply("Zwei"))),
    )
    assert ones.translate("The sky is blue", "de").translation == "Eins"
    assert others.translate("The sky is blue", "de").translation == "Zwei"


def test_every_phrase_has_every_language_and_the_same_slots():
    for phrase in phrases():
        assert set(phrase.others) == set(LANGUAGES)
        assert {text.count("{}") for text in phrase.others.values()} == {phrase.english.count("{}")}


def test_slots_are_found_in_their_order():
    assert slots("Hi %(name)s, {count} of 1,000 files in <b>%s</b>") == [
        "%(name)s",
        "{count}",
        "1,000",
        "<b>",
        "%s",
        "</b>",
    ]
